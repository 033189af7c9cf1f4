//! A picture of the first images that a run learns from, for a person to judge the augmentation.

use std::sync::Arc;

use image::imageops::{self, FilterType};
use image::{GrayImage, Rgb, Rgb32FImage, RgbImage};
use seg_data::{OverlayError, SampleError, overlay};
use seg_onnx::contract::IGNORE_LABEL;
use thiserror::Error;

use crate::loader::{Batch, Loader};

/// How many views are drawn.
const VIEWS: usize = 12;
/// How many lie side by side, each beside the same with its labels.
const COLUMNS: usize = 3;
/// The longer side of a view on the sheet, in pixels.
const SIDE_MAX: u32 = 256;
/// Between views.
const GAP: u32 = 10;
/// Behind them.
const PAPER: Rgb<u8> = Rgb([24, 24, 27]);
/// Mixed half into what does not count.
const VEIL: u8 = 128;

/// Why the views cannot be drawn.
#[derive(Debug, Error)]
pub enum PreviewError {
    /// An image cannot be loaded.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// The labels cannot be drawn.
    #[error(transparent)]
    Overlay(#[from] OverlayError),
}

/// The first views that the loader makes, as the network sees them, each beside the same with its labels drawn.
///
/// `palette` holds the classes' colours. What does not count is veiled.
///
/// # Errors
/// When an image cannot be loaded or has a label without a colour.
pub fn sheet(loader: &Arc<Loader>, palette: &[[u8; 3]]) -> Result<RgbImage, PreviewError> {
    let mut tiles = Vec::new();
    // A small set gives too few in one epoch.
    for batch in (0..VIEWS).flat_map(|epoch| loader.epoch(epoch, 0)) {
        for (image, labels) in views(loader, &batch?) {
            tiles.push(tile(&image, &labels, palette)?);
        }
        if tiles.len() >= VIEWS {
            break;
        }
    }
    tiles.truncate(VIEWS);
    let (width, height) = tiles.first().map_or((0, 0), RgbImage::dimensions);
    let (columns, rows) = (COLUMNS.min(tiles.len()) as u32, tiles.len().div_ceil(COLUMNS) as u32);
    let mut sheet = RgbImage::from_pixel(columns * (width + GAP) + GAP, rows * (height + GAP) + GAP, PAPER);
    for (index, tile) in tiles.iter().enumerate() {
        let [column, row] = [index % COLUMNS, index / COLUMNS].map(|place| place as u32);
        imageops::replace(&mut sheet, tile, (GAP + column * (width + GAP)).into(), (GAP + row * (height + GAP)).into());
    }
    Ok(sheet)
}

/// The images of a batch in [0, 1], with their labels.
fn views(loader: &Loader, batch: &Batch) -> Vec<(Rgb32FImage, GrayImage)> {
    let input = &loader.source().input;
    let [count, height, width] = [0, 2, 3].map(|axis| batch.images.shape()[axis]);
    let values = batch.images.as_slice::<f32>().expect("a batch's images are f32");
    let labels = batch.labels.as_slice::<i32>().expect("a batch's labels are i32");
    let pixels = height * width;
    let view = |index: usize| {
        let color = |x: u32, y: u32| {
            let place = 3 * index * pixels + y as usize * width + x as usize;
            Rgb([0, 1, 2].map(|channel| values[place + channel * pixels] * input.std[channel] + input.mean[channel]))
        };
        let label = |x: u32, y: u32| [labels[index * pixels + y as usize * width + x as usize] as u8].into();
        (
            Rgb32FImage::from_fn(width as u32, height as u32, color),
            GrayImage::from_fn(width as u32, height as u32, label),
        )
    };
    (0..count).map(view).collect()
}

/// A view beside the same with its labels drawn.
fn tile(image: &Rgb32FImage, labels: &GrayImage, palette: &[[u8; 3]]) -> Result<RgbImage, OverlayError> {
    let plain = overlay(image, &GrayImage::new(image.width(), image.height()), palette)?;
    let mut drawn = overlay(image, labels, palette)?;
    for (pixel, label) in drawn.pixels_mut().zip(labels.iter()) {
        if *label == IGNORE_LABEL {
            pixel.0 = pixel.0.map(|value| value / 2 + VEIL / 2);
        }
    }
    let scale = (f64::from(SIDE_MAX) / f64::from(image.width().max(image.height()))).min(1.0);
    let [width, height] = [image.width(), image.height()].map(|side| ((f64::from(side) * scale) as u32).max(1));
    let mut tile = RgbImage::new(2 * width, height);
    for (place, half) in [plain, drawn].into_iter().enumerate() {
        let half = imageops::resize(&half, width, height, FilterType::Triangle);
        imageops::replace(&mut tile, &half, (place as u32 * width).into(), 0);
    }
    Ok(tile)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use image::Luma;
    use seg_data::{Dataset, write_mask_png, write_png};

    use super::*;
    use crate::augment::Augmentation;
    use crate::config::Config;
    use crate::loader::Source;
    use crate::model::AmsUnetConfig;

    #[test]
    fn the_sheet_shows_what_the_network_sees() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["images", "masks"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let image = RgbImage::from_pixel(20, 16, Rgb([200, 100, 52]));
        let mask = GrayImage::from_fn(20, 16, |x, _| Luma([u8::from(x < 8)]));
        write_png(&folder.path().join("images/a.png"), &image).unwrap();
        write_mask_png(&folder.path().join("masks/a.png"), &mask, &[[0; 3], [255; 3]]).unwrap();
        let augmentation = Augmentation::none(16, [16, 32]);
        let config = Config {
            mean: [0.5, 0.25, 0.75],
            std: [0.1, 0.2, 0.3],
            ..Config::recipe(folder.path().into(), AmsUnetConfig::new(), augmentation)
        };
        let samples = Dataset::open(folder.path()).unwrap().train;
        let loader = Loader::new(Source::of(&config, samples)).unwrap();
        let sheet = sheet(&loader, &[[0; 3], [0, 255, 0]]).unwrap();
        assert_eq!(sheet.dimensions(), (3 * (64 + GAP) + GAP, 4 * (16 + GAP) + GAP));
        // The middle row of the view in the middle.
        let (left, y) = (GAP + 64 + GAP, GAP + 16 + GAP + 8);
        for (name, x, expected) in [
            ("the image", 15, [200, 100, 52]),
            ("beyond it, the mean", 25, [128, 64, 191]),
            ("its target, tinted", 32 + 2, [150, 139, 39]),
            ("its background", 32 + 15, [200, 100, 52]),
            ("what does not count, veiled", 32 + 25, [128, 96, 159]),
        ] {
            assert_eq!(sheet.get_pixel(left + x, y).0, expected, "{name}");
        }
    }
}
