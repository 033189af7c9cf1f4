//! The library from end to end: a model file, ONNX Runtime, a mask.

#![allow(clippy::unwrap_used)]

#[path = "../../crates/inference/tests/threshold/mod.rs"]
mod threshold;

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use image::{DynamicImage, GrayImage, Luma, Rgb, Rgb32FImage};
use ndarray::{Array4, Axis};
use ort::environment::Environment;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seg_contract::{ColorOrder, Element, InputForm, OutputKind, Pixels, Reading, Rgb16Image, SizePolicy, Spacing};
use seg_data::{Format, Header, ReadError, add_format};
use seg_inference::library::{Build, Search};
use seg_inference::{
    Cleanup, EnsembleError, ModelFile, ModelOutput, Options, Segmenter, Session, Settings, Tiles, Tiling, Uncertainty,
    Views,
};
use seg_onnx::forms;
use seg_onnx::graph::{Conv, Dim, GraphBuilder, Tensor};
use seg_runtime::pipeline::{self, Task, create_folders};
use seg_runtime::save::{Finished, Place, ResultWriter, Save};

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
fn tiles_of_any_image_answer_as_the_whole_does() {
    let folder = tempfile::tempdir().unwrap();
    let with = |tiles| Settings { tiles, probabilities: true, ..Settings::default() };
    let mut whole = segmenter(folder.path(), SizePolicy::Native, with(Tiles::Off));
    for (name, side, overlap, width, height, tiles) in [
        ("smaller than a tile", 32, 0.25, 9, 7, 1),
        ("one row of tiles", 32, 0.25, 200, 20, 8),
        ("many", 16, 0.5, 100, 61, 84),
        ("side by side", 20, 0.0, 60, 41, 9),
    ] {
        let tiling = Tiles::Of(Tiling { size: [side; 2], overlap });
        let image = Rgb32FImage::from_fn(width, height, |x, y| Rgb([((x * 7 + y * 13) % 31) as f32 / 31.0, 0.0, 0.0]));
        let expected = whole.segment(&image).unwrap();
        let expected_probabilities = expected.probabilities.unwrap();
        for batch in [1, 3] {
            let settings = Settings { batch: NonZeroUsize::new(batch), ..with(tiling) };
            let found = segmenter(folder.path(), SizePolicy::Native, settings).segment(&image).unwrap();
            assert_eq!((found.tiles, found.network), (Some(tiles), [side; 2]), "{name}");
            assert_eq!(found.mask, expected.mask, "{name}, batch {batch}");
            let worst = (found.probabilities.unwrap() - &expected_probabilities)
                .iter()
                .fold(0.0_f32, |worst, error| worst.max(error.abs()));
            assert!(worst < 1e-6, "{name}, batch {batch}: {worst}");
        }
    }
}

#[test]
fn views_and_members_are_averaged_and_their_variance_told() {
    let folder = tempfile::tempdir().unwrap();
    let model = threshold::write(folder.path(), SizePolicy::Native);
    let image = half_red(20, 12);
    let settings = |views, uncertainty| Settings { views, probabilities: true, uncertainty, ..Settings::default() };
    let single = segmenter(folder.path(), SizePolicy::Native, settings(Views::None, None)).segment(&image).unwrap();
    let models = [model.clone(), model.clone()];
    for (name, views, models) in [
        ("flips", Views::Flips, &models[..1]),
        ("members", Views::None, &models[..]),
        ("both", Views::Flips, &models[..]),
    ] {
        let ensemble = Segmenter::open_ensemble(environment(), models, &Options::default()).unwrap();
        let settings = settings(views, Some(Uncertainty::Variance));
        let found = ensemble.with(settings).unwrap().segment(&image).unwrap();
        // The model looks at each pixel alone, so all views and equal members agree.
        assert_eq!((&found.mask, &found.probabilities), (&single.mask, &single.probabilities), "{name}");
        assert!(found.uncertainty.unwrap().iter().all(|variance| *variance == 0.0), "{name}");
    }
    let alone = Segmenter::open(environment(), &model, &Options::default()).unwrap();
    let message = alone.with(settings(Views::None, Some(Uncertainty::Variance))).unwrap_err().to_string();
    assert!(message.contains("`--tta flips`"), "{message}");

    let mut entropy = segmenter(folder.path(), SizePolicy::Native, settings(Views::None, Some(Uncertainty::Entropy)));
    let sure = entropy.segment(&Rgb32FImage::from_pixel(9, 9, Rgb([1.0, 0.0, 0.0]))).unwrap().uncertainty.unwrap();
    let unsure = entropy.segment(&Rgb32FImage::from_pixel(9, 9, Rgb([0.5, 0.0, 0.0]))).unwrap().uncertainty.unwrap();
    assert!(sure.iter().all(|value| *value < 0.6) && unsure.iter().all(|value| (value - 1.0).abs() < 1e-6));
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

fn tiles(side: usize, overlap: f64) -> Settings {
    Settings { tiles: Tiles::Of(Tiling { size: [side; 2], overlap }), ..Settings::default() }
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

#[test]
fn an_ensemble_is_the_same_in_any_order_of_its_members() {
    let folder = tempfile::tempdir().unwrap();
    let any = threshold::write(folder.path(), SizePolicy::Native);
    let only = |name: &str, size| {
        let model = threshold::write_as(folder.path(), InputForm { size, ..InputForm::default() }, OutputKind::Logits);
        let path = folder.path().join(name);
        std::fs::rename(model, &path).unwrap();
        path
    };
    let (small, large) = (only("small.onnx", Some([20, 33])), only("large.onnx", Some([32, 40])));
    let open = |models: &[_]| Segmenter::open_ensemble(environment(), models, &Options::default());
    for models in [[&any, &small], [&small, &any]] {
        let mut ensemble = open(&models).unwrap();
        for (size, tiles) in [((33, 20), None), ((50, 30), Some(4))] {
            let found = ensemble.segment(&half_red(size.0, size.1)).unwrap();
            assert_eq!((found.network, found.tiles), ([20, 33], tiles), "{models:?}");
            assert_eq!(found.mask, left_half(size.0, size.1), "{models:?}");
        }
    }
    for models in [[&small, &large], [&large, &small]] {
        let error = open(&models).unwrap_err();
        assert!(error.to_string().contains("differ in the sizes that their graphs take"), "{error}");
    }
    let error = open(&[&small, &any, &large]).unwrap_err();
    assert!(error.to_string().contains("differ in the sizes"), "{error}");
}

#[test]
fn each_member_normalises_images_by_its_own_mean_and_deviation() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, mean: [f32; 3], std: [f32; 3], element| {
        let mut model = threshold::model(SizePolicy::Native);
        (model.contract.input.mean, model.contract.input.std) = (mean.to_vec(), std.to_vec());
        model.contract.input.form.element = element;
        forms::apply(&mut model.graph, "logits", &model.contract).unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, model.to_bytes().unwrap()).unwrap();
        path
    };
    let floats = write("floats.onnx", [0.3, 0.4, 0.5], [0.2, 0.25, 0.3], Element::Float);
    let others = write("others.onnx", [0.6, 0.1, 0.2], [0.11, 0.3, 0.1], Element::Float);
    let bytes = write("bytes.onnx", [0.45, 0.1, 0.2], [0.13, 0.3, 0.1], Element::U8);
    let red = |x: u32, y: u32| Rgb([((x * 7 + y * 13) % 32 * 8) as f32 / 255.0, 0.25, 0.75]);
    let image = Rgb32FImage::from_fn(30, 21, red);
    let whole = Settings { probabilities: true, ..Settings::default() };
    let tiled = Settings { tiles: Tiles::Of(Tiling { size: [16, 16], overlap: 0.25 }), ..whole.clone() };
    for (name, settings, second) in
        [("whole", &whole, &others), ("in tiles", &tiled, &others), ("a graph that takes bytes", &whole, &bytes)]
    {
        let alone = |path: &Path| {
            let model = Segmenter::open(environment(), path, &Options::default()).unwrap();
            model.with(settings.clone()).unwrap().segment(&image).unwrap().probabilities.unwrap()
        };
        let (one, other) = (alone(&floats), alone(second));
        assert!((&one - &other).iter().any(|difference| difference.abs() > 0.1), "{name}: the members are alike");
        let expected = one.clone() + (other - &one) / 2.0;
        for models in [[&floats, second], [second, &floats]] {
            let ensemble = Segmenter::open_ensemble(environment(), &models, &Options::default()).unwrap();
            let found = ensemble.with(settings.clone()).unwrap().segment(&image).unwrap().probabilities.unwrap();
            let worst = (found - &expected).iter().fold(0.0_f32, |worst, error| worst.max(error.abs()));
            // The mean of two numbers is rounded in another order, and tiles are weighted.
            assert!(worst < 2e-7, "{name}: {worst}");
        }
    }
}

#[test]
fn models_are_told_by_the_bytes_that_were_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = threshold::write(folder.path(), SizePolicy::Native);
    let sha256 = seg_contract::sha256(std::fs::read(&path).unwrap());
    let segmenter = Segmenter::open_ensemble(environment(), &[&path, &path], &Options::default()).unwrap();
    // As a training that goes on would.
    std::fs::write(&path, "another model").unwrap();
    let expected = ModelFile { file: "threshold.onnx".into(), file_raw: None, sha256 };
    assert_eq!(segmenter.files(), [expected.clone(), expected]);
    let alone = segmenter.as_ref()[0].runs_on().nodes.values().sum::<usize>();
    assert_eq!(segmenter.runs_on().nodes.values().sum::<usize>(), 2 * alone, "the nodes of both");
}

#[test]
fn models_that_differ_are_no_ensemble() {
    let folder = tempfile::tempdir().unwrap();
    let first = threshold::write(folder.path(), SizePolicy::Native);
    let mut other = threshold::model(SizePolicy::Native);
    other.contract.input.color = ColorOrder::Bgr;
    let path = folder.path().join("other.onnx");
    std::fs::write(&path, other.to_bytes().unwrap()).unwrap();
    let error = Segmenter::open_ensemble(environment(), &[first, path], &Options::default()).unwrap_err();
    assert!(error.to_string().contains("differ in the order of the colours"), "{error}");
    let none: [&Path; 0] = [];
    let error = Segmenter::open_ensemble(environment(), &none, &Options::default()).unwrap_err();
    assert!(matches!(error, EnsembleError::Empty));
}

#[test]
fn what_is_cut_for_its_size_overlaps_as_asked() {
    let folder = tempfile::tempdir().unwrap();
    let image = half_red(1600, 1536);
    for (name, tiles, expected) in [
        ("unless asked", Tiles::default(), 4 * 4),
        ("not at all", Tiles::Auto { overlap: 0.0 }, 4 * 3),
        ("by half", Tiles::Auto { overlap: 0.5 }, 6 * 5),
    ] {
        let settings = Settings { tiles, ..Settings::default() };
        let found = segmenter(folder.path(), SizePolicy::Native, settings).segment(&image).unwrap();
        assert_eq!((found.tiles, found.network), (Some(expected), [512; 2]), "{name}");
        assert_eq!(found.mask, left_half(1600, 1536), "{name}");
    }
}

/// A writer with a defect.
struct Panics(Place);

impl ResultWriter for Panics {
    fn place(&self) -> &Place {
        &self.0
    }

    fn write(&self, _: &mut Finished<'_>, _: &mut dyn Write) -> io::Result<()> {
        panic!("this writer has a defect")
    }
}

#[test]
fn a_stage_that_panics_ends_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("a.png");
    DynamicImage::from(half_red(9, 9)).to_rgb8().save(&input).unwrap();
    let out = folder.path().to_path_buf();
    let (done, waiting) = mpsc::channel();
    // More images than there are places in the queues.
    let tasks: Vec<_> = (0..200).map(|index| Task { input: input.clone(), name: index.to_string() }).collect();
    let mut segmenters = [segmenter(folder.path(), SizePolicy::Native, Settings::default())];
    thread::spawn(move || {
        let place = Place { save: Save::Mask, folder: "masks".into(), extension: "png" };
        let writers: [Box<dyn ResultWriter>; 1] = [Box::new(Panics(place))];
        create_folders(&out, &writers).unwrap();
        let run = || pipeline::run(&mut segmenters, &tasks, &out, &writers, |_, _| ControlFlow::Continue(()));
        let _ = done.send(catch_unwind(AssertUnwindSafe(run)).is_err());
    });
    assert_eq!(waiting.recv_timeout(Duration::from_secs(60)), Ok(true));
}

/// A format whose decoder has a defect.
struct Defective;

impl Format for Defective {
    fn name(&self) -> &'static str {
        "DEFECT"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["defect"]
    }

    fn sniff(&self, head: &[u8]) -> bool {
        head.starts_with(b"DEFECT")
    }

    fn stored_size(&self, _: &Path, _: BufReader<File>) -> Result<(u32, u32), ReadError> {
        panic!("this decoder cannot tell the size")
    }

    fn header(&self, _: &Path, bytes: &[u8]) -> Result<Header, ReadError> {
        assert!(bytes.len() > 6, "this decoder cannot read the header");
        Ok(Header { width: 9, height: 9, orientation: 1 })
    }

    fn decode(&self, _: &Path, _: &[u8]) -> Result<DynamicImage, ReadError> {
        panic!("this decoder cannot decode")
    }
}

#[test]
fn a_decoder_that_panics_costs_one_image() {
    add_format(&Defective);
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let good = folder.path().join("good.png");
    DynamicImage::from(half_red(9, 9)).to_rgb8().save(&good).unwrap();
    let bad = [write("head.defect", b"DEFECT"), write("rows.png", b"DEFECT later")];
    let inputs = [&good, &bad[0], &good, &bad[1], &good];
    let tasks: Vec<_> = inputs
        .iter()
        .zip(0..)
        .map(|(input, index)| Task { input: (*input).clone(), name: index.to_string() })
        .collect();
    for tiles in [Tiles::Off, Tiles::Of(Tiling { size: [8; 2], overlap: 0.25 })] {
        let settings = Settings { tiles, ..Settings::default() };
        let mut segmenters = [segmenter(folder.path(), SizePolicy::Native, settings)];
        let place = Place { save: Save::Mask, folder: "masks".into(), extension: "png" };
        let writers: [Box<dyn ResultWriter>; 1] = [Box::new(Empty(place))];
        let out = folder.path().join("out");
        create_folders(&out, &writers).unwrap();
        let paths = inputs.iter().map(|path| path.as_path());
        let largest = pipeline::largest_at_once(paths, segmenters[0].contract(), segmenters[0].settings());
        assert!(largest > 0, "{tiles:?}");
        let mut messages = vec![None; tasks.len()];
        pipeline::run(&mut segmenters, &tasks, &out, &writers, |index, result| {
            messages[index] = result.err().map(|error| {
                assert!(error.is_about_the_image(), "{error}");
                error.to_string()
            });
            ControlFlow::Continue(())
        });
        for (index, part) in [(1, "cannot read the header"), (3, "cannot decode")] {
            let message = messages[index].take().unwrap();
            assert!(message.contains("DEFECT files panicked") && message.contains(part), "{tiles:?}: {message}");
        }
        assert_eq!(messages, vec![None; tasks.len()], "{tiles:?}");
    }
}

/// A writer of empty files.
struct Empty(Place);

impl ResultWriter for Empty {
    fn place(&self) -> &Place {
        &self.0
    }

    fn write(&self, _: &mut Finished<'_>, _: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn images_of_any_size_keep_it() {
    const SIDE_MAX: u32 = 4096;
    let folder = tempfile::tempdir().unwrap();
    let tiling = Tiles::Of(Tiling { size: [256; 2], overlap: 0.25 });
    let mut segmenters = [
        (SizePolicy::Native, Tiles::Off),
        (SizePolicy::Native, tiling),
        (SizePolicy::Resize { height: 16, width: 64 }, Tiles::default()),
    ]
    .map(|(policy, tiles)| segmenter(folder.path(), policy, Settings { tiles, ..Settings::default() }));
    let mut random = ChaCha8Rng::seed_from_u64(11);
    // As many sides of 1 to 2 as of 2048 to 4096.
    let mut side = || f64::from(SIDE_MAX).powf(random.random()) as u32;
    let sizes: Vec<_> = (0..24).map(|_| [side(), side()]).collect();
    let edges = [[1, 1], [1, SIDE_MAX], [SIDE_MAX, 1], [SIDE_MAX, 70], [SIDE_MAX, SIDE_MAX]];
    for [width, height] in sizes.into_iter().chain(edges) {
        let image = half_red(width, height);
        for segmenter in &mut segmenters {
            let mask = segmenter.segment(&image).unwrap().mask;
            let tiles = segmenter.settings().tiles;
            assert_eq!(mask.dimensions(), (width, height), "{tiles:?}");
            let is_stretched = matches!(segmenter.contract().input.size, SizePolicy::Resize { .. });
            assert!(is_stretched || mask == left_half(width, height), "{width}x{height}, {tiles:?}");
        }
    }
}

/// Writes a model with a contract that names a spacing.
fn write_spaced(folder: &Path, spacing: [f64; 2]) -> PathBuf {
    let mut model = threshold::model(SizePolicy::Native);
    model.contract.input.reading.resample = Some(Spacing(spacing));
    model.contract.format = model.contract.least_format();
    let path = folder.join("spaced.onnx");
    std::fs::write(&path, model.to_bytes().unwrap()).unwrap();
    path
}

#[test]
fn an_image_is_resampled_to_the_models_spacing_and_its_mask_lies_on_its_own_pixels() {
    let folder = tempfile::tempdir().unwrap();
    let model = write_spaced(folder.path(), [0.5, 0.25]);
    let tiles = |side| Tiles::Of(Tiling { size: [side; 2], overlap: 0.25 });
    for (name, width, height, own, seen) in [
        ("grown across", 30, 20, [0.5, 0.5], [20, 60]),
        ("grown and shrunk", 40, 26, [1.0, 0.125], [52, 20]),
        ("shrunk below the smallest side", 64, 48, [0.05, 0.025], [5, 6]),
        ("as it is", 33, 20, [0.5, 0.25], [20, 33]),
    ] {
        let image = half_red(width, height);
        let pixels = Pixels::from(&image).with_spacing(Some(own));
        for tiles in [Tiles::Off, Tiles::default(), tiles(8), tiles(16), tiles(200)] {
            let settings =
                Settings { tiles, probabilities: true, uncertainty: Some(Uncertainty::Entropy), ..Settings::default() };
            let opened = Segmenter::open(environment(), &model, &Options::default()).unwrap();
            let found = opened.with(settings).unwrap().segment(pixels).unwrap();
            assert_eq!((found.resampled, found.mask.dimensions()), (Some(seen), (width, height)), "{name}: {tiles:?}");
            let maps = [found.probabilities.unwrap().index_axis_move(Axis(0), 1), found.uncertainty.unwrap()];
            // The edge lies where it was, up to what the coarser grid cannot tell.
            let blur = (width as f64 / seen[1] as f64).ceil() as u32;
            for (x, y, label) in found.mask.enumerate_pixels() {
                let is_near = x.abs_diff(width / 2) <= blur;
                assert!(is_near || label[0] == u8::from(2 * x < width), "{name}: {tiles:?}: {x}, {y}");
                assert_eq!(label[0] == 1, maps[0][[y as usize, x as usize]] > 0.5, "{name}: {tiles:?}: {x}, {y}");
            }
            assert!(maps.iter().all(|map| map.dim() == (height as usize, width as usize)), "{name}: {tiles:?}");
        }
    }
}

#[test]
fn a_resampled_image_has_the_masks_of_one_that_was_resampled_before() {
    let folder = tempfile::tempdir().unwrap();
    let smoothing = write_smoothing(folder.path());
    let image = {
        let mut random = ChaCha8Rng::seed_from_u64(3);
        Rgb32FImage::from_fn(60, 45, |_, _| Rgb(random.random()))
    };
    let settings = |tiles, resample| {
        let reading = Reading { resample, ..Reading::default() };
        Settings { tiles, probabilities: true, reading, ..Settings::default() }
    };
    for tiles in [Tiles::Off, Tiles::Of(Tiling { size: [32; 2], overlap: 0.5 })] {
        let open = |resample| {
            let opened = Segmenter::open(environment(), &smoothing, &Options::default()).unwrap();
            opened.with(settings(tiles, resample)).unwrap()
        };
        // 45x60 pixels of 1 mm and 2 mm to 0.75 mm and 1.25 mm: 60x96.
        let pixels = Pixels::from(&image).with_spacing(Some([1.0, 2.0]));
        let found = open(Some(Spacing([0.75, 1.25]))).segment(pixels).unwrap().probabilities.unwrap();
        let before = open(None).segment(&pixels.resized([60, 96])).unwrap().probabilities.unwrap();
        for (found, before) in found.outer_iter().zip(before.outer_iter()) {
            let plane = Rgb32FImage::from_fn(96, 60, |x, y| Rgb([before[[y as usize, x as usize]]; 3]));
            let back = Pixels::from(&plane).resized([45, 60]);
            for ((y, x), value) in found.indexed_iter() {
                let expected = back.get_pixel(x as u32, y as u32)[0];
                assert!((value - expected).abs() < 1e-6, "{tiles:?}: {value} at {y}, {x}, expected {expected}");
            }
        }
    }
}

#[test]
fn a_spacing_that_the_image_or_the_model_does_not_have_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let model = write_spaced(folder.path(), [0.5, 0.5]);
    let mut opened = Segmenter::open(environment(), &model, &Options::default()).unwrap();
    let message = opened.segment(&half_red(20, 20)).unwrap_err().to_string();
    assert!(
        message.contains("resampled to 0.5 mm a pixel, but the size of the image's pixels is not known"),
        "{message}"
    );
    let plain = threshold::write(folder.path(), SizePolicy::Native);
    let message =
        Segmenter::open_ensemble(environment(), &[&model, &plain], &Options::default()).unwrap_err().to_string();
    assert!(message.contains("level or spacing"), "{message}");
    let reading = Reading { resample: Some(Spacing([0.5; 2])), ..Reading::default() };
    let stretched = threshold::write(folder.path(), SizePolicy::Resize { height: 16, width: 16 });
    let opened = Segmenter::open(environment(), &stretched, &Options::default()).unwrap();
    let message = opened.with(Settings { reading, ..Settings::default() }).unwrap_err().to_string();
    assert!(message.contains("leave out `--resample`"), "{message}");
}

/// The radius of the smoothing model's view, in pixels.
const REACH: usize = 4;

fn taps(channels: [usize; 2]) -> Tensor {
    let count = channels[0] * channels[1] * 25;
    let values: Vec<_> = (0..count).map(|index| ((index * 37 + 11) % 53) as f32 / 250.0 - 0.104).collect();
    Tensor::new([channels[0], channels[1], 5, 5], values).unwrap()
}

/// Writes a model whose scores are those of the threshold model after two convolutions of 5x5, with
/// zeros around the image.
fn write_smoothing(folder: &Path) -> PathBuf {
    let mut model = threshold::model(SizePolicy::Native);
    let mut builder = GraphBuilder::new("smoothing");
    let image = builder.input("input", [Dim::batch(), Dim::from(3), Dim::height(), Dim::width()]).unwrap();
    let mut root = builder.root();
    // No two taps are alike, so that a tile that is shifted or mirrored is seen.
    let conv = Conv { pads: [2; 4], ..Conv::default() };
    let first = root.conv("first", image, taps([4, 3]), None, conv.clone()).unwrap();
    let bent = root.relu("bent", first).unwrap();
    let scores = root.conv("scores", bent, taps([2, 4]), None, conv).unwrap();
    model.graph = builder.finish(&[("logits", scores)]).unwrap();
    let path = folder.join("smoothing.onnx");
    std::fs::write(&path, model.to_bytes().unwrap()).unwrap();
    path
}

#[test]
fn tiles_of_a_convolutional_model_answer_as_the_whole_does_where_no_border_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let model = write_smoothing(folder.path());
    let (width, height) = (150, 131);
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let image = Rgb32FImage::from_fn(width, height, |_, _| Rgb(random.random()));
    let answer = |tiles| {
        let settings = Settings { tiles, probabilities: true, ..Settings::default() };
        let segmenter = Segmenter::open(environment(), &model, &Options::default()).unwrap();
        segmenter.with(settings).unwrap().segment(&image).unwrap()
    };
    let whole = answer(Tiles::Off);
    for (name, side, overlap) in [("side by side", 48, 0.0), ("by a quarter", 64, 0.25), ("by half", 64, 0.5)] {
        let found = answer(Tiles::Of(Tiling { size: [side; 2], overlap }));
        let stride = (side as f64 * (1.0 - overlap)) as usize;
        // True if the network sees the border of a tile, or of the image, from a position along a
        // side.
        let sees_a_border = |place: usize, len: usize| {
            let starts = (0..=(len - side).div_ceil(stride)).map(|index| index * stride);
            let mut borders = starts.flat_map(|start| [start, start + side]).chain([len]);
            borders.any(|border| (border.saturating_sub(REACH)..border + REACH).contains(&place))
        };
        let (mut inside, mut near) = (0, 0.0_f32);
        let probabilities = found.probabilities.as_ref().unwrap();
        for ((class, y, x), found) in probabilities.indexed_iter() {
            let distance = (found - whole.probabilities.as_ref().unwrap()[[class, y, x]]).abs();
            if sees_a_border(y, height as usize) || sees_a_border(x, width as usize) {
                near = near.max(distance);
            } else {
                inside += 1;
                assert!(distance < 1e-5, "{name}: {distance} at {y}, {x}");
            }
        }
        assert!(2 * inside > probabilities.len(), "{name}: {inside} of {}", probabilities.len());
        assert!(near > 1e-3, "{name}: borders change nothing");
    }
}
