//! The library from end to end: a model file, ONNX Runtime, a mask.

#![allow(clippy::unwrap_used)]

#[path = "../../../crates/inference/tests/threshold/mod.rs"]
mod threshold;

mod ensembles;
mod spacing;
mod stages;
mod tiles;

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::OnceLock;

use image::{GrayImage, Luma, Rgb, Rgb32FImage};
use ndarray::{Array4, Axis};
use ort::environment::Environment;
use seg_contract::{Element, InputForm, OutputKind, Rgb16Image, SizePolicy};
use seg_inference::library::{Build, Search};
use seg_inference::{Cleanup, ModelOutput, Options, Segmenter, Session, Settings, Tiles, Tiling, Views};

use tiles::tiles;

/// ONNX Runtime on the CPU, which a process can start once; with the CPU alone a static does no
/// harm.
fn environment() -> &'static Environment {
    static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| Search::from_env(None, Build::Cpu).locate().unwrap().load().unwrap())
}

/// Creates an image whose left half is red.
fn half_red(width: u32, height: u32) -> Rgb32FImage {
    Rgb32FImage::from_fn(width, height, |x, _| Rgb([if 2 * x < width { 0.9 } else { 0.1 }, 0.7, 0.2]))
}

/// Creates its mask.
fn left_half(width: u32, height: u32) -> GrayImage {
    GrayImage::from_fn(width, height, |x, _| Luma([u8::from(2 * x < width)]))
}

#[test]
fn a_mask_has_the_images_own_size_and_the_models_classes() {
    let stretched = SizePolicy::Resize { height: 16, width: 64 };
    let folder = tempfile::tempdir().unwrap();
    for (name, policy, width, height, network) in [
        ("at its own size", SizePolicy::Native, 33, 20, [20, 33]),
        ("one pixel", SizePolicy::Native, 1, 1, [8, 8]),
        ("narrower than the network", SizePolicy::Native, 2, 30, [30, 8]),
        ("shrunk", stretched, 128, 64, [16, 64]),
        ("grown", stretched, 2, 3, [16, 64]),
    ] {
        let model = threshold::write(folder.path(), policy);
        let mut segmenter = Segmenter::open(environment(), &model, &Options::default()).unwrap();
        let segmentation = segmenter.segment(&half_red(width, height)).unwrap();
        assert_eq!(segmentation.network, network, "{name}");
        assert_eq!(segmentation.mask, left_half(width, height), "{name}");
    }
}

#[test]
fn one_session_takes_any_number_and_size_of_images() {
    let folder = tempfile::tempdir().unwrap();
    let model = threshold::write(folder.path(), SizePolicy::Native);
    let options = Options { threads: NonZeroUsize::new(1), ..Options::default() };
    let mut session = Session::open(environment(), &model, &options).unwrap();
    for shape in [(1, 3, 8, 8), (3, 3, 9, 12), (2, 3, 8, 8)] {
        let (n, _, h, w) = shape;
        let input = Array4::from_shape_fn(shape, |(n, c, y, x)| if c == 0 { (n + y * x) as f32 } else { 7.0 });
        let output = session.run(input.view()).unwrap();
        let expected = Array4::from_shape_fn((n, 2, h, w), |(n, class, y, x)| {
            let red = (n + y * x) as f32;
            if class == 0 { -red } else { red }
        });
        assert_eq!(output, expected, "{shape:?}");
    }
}

#[test]
fn a_model_of_any_form_gives_the_same_masks() {
    let folder = tempfile::tempdir().unwrap();
    let size = Some([20, 33]);
    for (name, input, output) in [
        ("bytes", InputForm { element: Element::U8, ..InputForm::default() }, OutputKind::Logits),
        ("probabilities", InputForm::default(), OutputKind::Probabilities),
        ("masks", InputForm::default(), OutputKind::Mask),
        ("one size", InputForm { size, ..InputForm::default() }, OutputKind::Logits),
        ("four at once", InputForm { batch: Some(4), ..InputForm::default() }, OutputKind::Mask),
        ("all", InputForm { element: Element::U8, batch: Some(2), size }, OutputKind::Mask),
    ] {
        let model = threshold::write_as(folder.path(), input, output);
        let mut segmenter = Segmenter::open(environment(), &model, &Options::default()).unwrap();
        assert_eq!(segmenter.segment(&half_red(33, 20)).unwrap().mask, left_half(33, 20), "{name}");
        let other = segmenter.segment(&half_red(34, 20)).map(|segmentation| segmentation.mask);
        match (input.size, output) {
            // A model that gives probabilities is run in tiles of the only size.
            (None, _) | (_, OutputKind::Logits) => assert_eq!(other.unwrap(), left_half(34, 20), "{name}"),
            _ => {
                let message = other.unwrap_err().to_string();
                assert!(
                    message.contains("images of 20x33 (height x width) only, this one is 20x34"),
                    "{name}: {message}"
                );
            }
        }
    }
}

#[test]
fn a_graph_of_one_batch_takes_any_number_of_images() {
    let folder = tempfile::tempdir().unwrap();
    let input = InputForm { batch: Some(2), ..InputForm::default() };
    let images = |n| Array4::from_shape_fn((n, 3, 8, 9), |(n, _, y, x)| if (n + y + x) % 3 == 0 { 0.5 } else { -0.5 });
    for output in [OutputKind::Logits, OutputKind::Mask] {
        let model = threshold::write_as(folder.path(), input, output);
        let mut session = Session::open(environment(), &model, &Options::default()).unwrap();
        for n in [1, 2, 3, 5] {
            let images = images(n);
            match session.infer(images.view()).unwrap() {
                ModelOutput::Scores(scores) => {
                    assert_eq!(output, OutputKind::Logits);
                    assert_eq!(scores.index_axis(Axis(1), 1), images.index_axis(Axis(1), 0), "{n} images");
                }
                ModelOutput::Masks(masks) => {
                    assert_eq!(output, OutputKind::Mask);
                    let expected = images.index_axis(Axis(1), 0).mapv(|red| u8::from(red > 0.0));
                    assert_eq!(masks, expected, "{n} images");
                    let message = session.run(images.view()).unwrap_err().to_string();
                    assert!(message.contains("gives masks and no scores"), "{message}");
                }
            }
        }
    }
}

#[test]
fn what_the_model_cannot_take_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let model = threshold::write(folder.path(), SizePolicy::Native);
    let mut segmenter = Segmenter::open(environment(), &model, &Options::default()).unwrap();
    for (name, image, part) in [
        ("no pixels", Rgb32FImage::new(0, 0), "no pixels"),
        ("not a number", Rgb32FImage::from_pixel(8, 8, Rgb([f32::NAN, 0.0, 0.0])), "128 values"),
    ] {
        let message = segmenter.segment(&image).unwrap_err().to_string();
        assert!(message.contains(part), "{name}: {message}");
    }
    let mut session = Session::open(environment(), &model, &Options::default()).unwrap();
    let message = session.run(Array4::zeros((1, 5, 8, 8)).view()).unwrap_err().to_string();
    assert!(message.contains("[1, 5, 8, 8]"), "{message}");
}

/// Creates a segmenter of the threshold model.
fn segmenter(folder: &Path, policy: SizePolicy, settings: Settings) -> Segmenter {
    let model = threshold::write(folder, policy);
    Segmenter::open(environment(), &model, &Options::default()).unwrap().with(settings).unwrap()
}

#[test]
fn the_examples_model_is_the_one_that_the_tests_write() {
    let bytes = threshold::model(SizePolicy::Native).to_bytes().unwrap();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/inference/tests/threshold.onnx");
    if std::env::var_os("SEG_WRITE_EXAMPLE").is_some() {
        std::fs::write(path, &bytes).unwrap();
    }
    assert!(std::fs::read(path).unwrap() == bytes, "write `{path}` again: run this test with SEG_WRITE_EXAMPLE=1");
}

#[test]
fn sixteen_bits_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let mut segmenter = segmenter(folder.path(), SizePolicy::Native, Settings::default());
    // All 65,536 levels; the model finds those above one half.
    let ramp = Rgb16Image::from_fn(256, 256, |x, y| Rgb([(256 * y + x) as u16, 0, 0]));
    let mask = segmenter.segment(&ramp).unwrap().mask;
    for (x, y, label) in mask.enumerate_pixels() {
        assert_eq!(label[0] == 1, 256 * y + x > 32767, "level {}", 256 * y + x);
    }
}

#[test]
fn thresholds_and_cleaning_change_the_mask_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut image = half_red(20, 12);
    image.put_pixel(15, 5, Rgb([0.9, 0.0, 0.0]));
    image.put_pixel(5, 5, Rgb([0.1, 0.0, 0.0]));
    let cleanup = |cleanup| Settings { cleanup: [("nucleus".into(), cleanup)].into(), ..Settings::default() };
    let threshold = |threshold| Settings { threshold: Some(threshold), ..Settings::default() };
    for (name, settings, expected) in [
        ("as it is", Settings::default(), 120),
        ("the largest area", cleanup(Cleanup { largest_component: true, ..Cleanup::default() }), 119),
        ("no specks", cleanup(Cleanup { min_area: 2, ..Cleanup::default() }), 119),
        ("no holes", cleanup(Cleanup { fill_holes: true, ..Cleanup::default() }), 121),
        ("all", threshold(0.0), 240),
        ("none", threshold(1.0), 0),
    ] {
        let found = segmenter(folder.path(), SizePolicy::Native, settings).segment(&image).unwrap();
        assert_eq!(found.mask.iter().map(|label| u64::from(*label)).sum::<u64>(), expected, "{name}");
    }
}

#[test]
fn what_a_model_cannot_do_is_refused_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let stretched = SizePolicy::Resize { height: 16, width: 64 };
    let auto = |overlap| Settings { tiles: Tiles::Auto { overlap }, ..Settings::default() };
    let cleanup = Settings { cleanup: [("cell".into(), Cleanup::default())].into(), ..Settings::default() };
    for (name, policy, settings, part) in [
        ("tiles of a stretched image", stretched, tiles(64, 0.25), "stretched to 16x64"),
        ("too small a tile", SizePolicy::Native, tiles(4, 0.25), "sides of at least 8"),
        ("too large an overlap", SizePolicy::Native, tiles(64, 0.9), "an overlap of 0 to 0.75"),
        ("too large an overlap of large images", SizePolicy::Native, auto(0.9), "an overlap of 0 to 0.75"),
        ("no number", SizePolicy::Native, auto(f64::NAN), "an overlap of NaN"),
        ("a threshold beyond 1", SizePolicy::Native, Settings { threshold: Some(1.5), ..Settings::default() }, "1.5"),
        ("no such class", SizePolicy::Native, cleanup, "it has `nucleus`"),
    ] {
        let model = threshold::write(folder.path(), policy);
        let segmenter = Segmenter::open(environment(), &model, &Options::default()).unwrap();
        let message = segmenter.with(settings).unwrap_err().to_string();
        assert!(message.contains(part), "{name}: {message}");
    }
}

#[test]
fn a_model_that_gives_masks_says_what_it_cannot_give() {
    let folder = tempfile::tempdir().unwrap();
    let model = threshold::write_as(folder.path(), InputForm::default(), OutputKind::Mask);
    let plain = Settings::default;
    for (settings, part) in [
        (Settings { probabilities: true, ..plain() }, "a map of them"),
        (Settings { views: Views::Flips, ..plain() }, "averaging views"),
        (Settings { threshold: Some(0.5), ..plain() }, "a threshold"),
        (Settings { tiles: Tiles::Of(Tiling::default()), ..plain() }, "blending tiles"),
    ] {
        let segmenter = Segmenter::open(environment(), &model, &Options::default()).unwrap();
        let message = segmenter.with(settings).unwrap_err().to_string();
        assert!(message.contains(part) && message.contains("--output probabilities"), "{part}: {message}");
    }
}
