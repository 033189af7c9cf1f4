//! Images that are cut into tiles.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use image::{Rgb, Rgb32FImage};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seg_contract::SizePolicy;
use seg_inference::{Options, Segmenter, Settings, Tiles, Tiling};
use seg_onnx::graph::{Conv, Dim, GraphBuilder, Tensor};

use super::threshold;
use super::{environment, half_red, left_half, segmenter};

pub(super) fn tiles(side: usize, overlap: f64) -> Settings {
    Settings { tiles: Tiles::Of(Tiling { size: [side; 2], overlap }), ..Settings::default() }
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

/// The radius of the smoothing model's view, in pixels.
const REACH: usize = 4;

fn taps(channels: [usize; 2]) -> Tensor {
    let count = channels[0] * channels[1] * 25;
    let values: Vec<_> = (0..count).map(|index| ((index * 37 + 11) % 53) as f32 / 250.0 - 0.104).collect();
    Tensor::new([channels[0], channels[1], 5, 5], values).unwrap()
}

/// Writes a model whose scores are those of the threshold model after two convolutions of 5x5, with
/// zeros around the image.
pub(super) fn write_smoothing(folder: &Path) -> PathBuf {
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
