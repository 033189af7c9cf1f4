//! Images that are resampled to the model's spacing.

use std::path::{Path, PathBuf};

use image::{Rgb, Rgb32FImage};
use ndarray::Axis;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seg_contract::{Pixels, Reading, SizePolicy, Spacing};
use seg_inference::{Options, Segmenter, Settings, Tiles, Tiling, Uncertainty};

use super::threshold;
use super::tiles::write_smoothing;
use super::{environment, half_red};

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
