//! A picture of the first images that a run learns from, for a person to judge the augmentation.

use std::sync::Arc;

use image::{GrayImage, Rgb, Rgb32FImage, RgbImage};
use seg_contract::Input;
use seg_data::{OverlayError, Pair, SampleError};
use thiserror::Error;

use crate::data::batch::Batch;
use crate::data::loader::Loader;

/// The number of views that are drawn.
const VIEWS: usize = 12;
/// The views that lie side by side, each beside the same with its labels.
const COLUMNS: usize = 3;

/// An error in drawing the views.
#[derive(Debug, Error)]
pub enum PreviewError {
    /// An image cannot be loaded.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// The labels cannot be drawn.
    #[error(transparent)]
    Overlay(#[from] OverlayError),
}

/// Returns the first views that the loader makes, as the network sees them, each beside the same
/// with its labels drawn.
///
/// `palette` holds the classes' colours. What does not count is striped.
///
/// # Errors
/// When an image cannot be loaded or has a label without a colour.
pub fn sheet(loader: &Arc<Loader>, palette: &[[u8; 3]]) -> Result<RgbImage, PreviewError> {
    let mut pairs = Vec::new();
    // A small set gives too few in one epoch.
    for batch in (0..VIEWS).flat_map(|epoch| loader.epoch(epoch, 0)) {
        for (image, labels) in views(loader, &batch?) {
            pairs.push(Pair::new(&image, &labels, palette)?);
        }
        if pairs.len() >= VIEWS {
            break;
        }
    }
    pairs.truncate(VIEWS);
    Ok(seg_data::sheet(&pairs, COLUMNS))
}

/// Returns the images of a batch in [0, 1], with their labels.
fn views(loader: &Loader, batch: &Batch) -> Vec<(Rgb32FImage, GrayImage)> {
    let input = &loader.source().input;
    let [count, height, width] = [0, 2, 3].map(|axis| batch.images.shape()[axis]);
    let values = batch.images.as_slice::<f32>().expect("a batch's images are f32");
    let labels = batch.labels.as_slice::<i32>().expect("a batch's labels are i32");
    let pixels = height * width;
    let views = (0..count).map(|index| {
        let (values, labels) = (&values[3 * index * pixels..], &labels[index * pixels..]);
        (image_of(values, input, [height, width]), labels_of(labels, [height, width]))
    });
    views.collect()
}

/// Returns an image in [0, 1] from its normalised planes.
fn image_of(values: &[f32], input: &Input, [height, width]: [usize; 2]) -> Rgb32FImage {
    Rgb32FImage::from_fn(width as u32, height as u32, |x, y| {
        let place = y as usize * width + x as usize;
        let value =
            |channel: usize| values[place + channel * height * width] * input.std[channel] + input.mean[channel];
        Rgb([0, 1, 2].map(value))
    })
}

/// Returns labels as an image.
fn labels_of(labels: &[i32], [height, width]: [usize; 2]) -> GrayImage {
    GrayImage::from_fn(width as u32, height as u32, |x, y| [labels[y as usize * width + x as usize] as u8].into())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use image::Luma;
    use seg_contract::IGNORE_LABEL;
    use seg_data::{Dataset, write_mask_png, write_png};
    use seg_nets::amsunet::AmsUnetConfig;

    use super::*;
    use crate::data::augment::Augmentation;
    use crate::data::loader::Source;
    use crate::run::config::Config;

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
        let loader = Loader::new(Source::from_config(&config, samples)).unwrap();
        let batch = loader.epoch(0, 0).next().unwrap().unwrap();
        let (image, labels) = views(&loader, &batch).remove(0);
        // It lies somewhere in the crop.
        let left = (0..32).find(|x| labels.get_pixel(*x, 8)[0] != IGNORE_LABEL).unwrap();
        for (name, x, color, label) in [
            ("the target", left + 2, [200, 100, 52], 1),
            ("the background", left + 15, [200, 100, 52], 0),
            ("beyond the image, the mean", (left + 20) % 32, [128, 64, 191], IGNORE_LABEL),
        ] {
            let found = image.get_pixel(x, 8).0.map(|value| (value * 255.0).round() as u8);
            assert_eq!((found, labels.get_pixel(x, 8)[0]), (color, label), "{name}");
        }
        let sheet = sheet(&loader, &[[0; 3], [0, 255, 0]]).unwrap();
        let [across, down] = [COLUMNS, VIEWS / COLUMNS].map(|views| views as u32);
        assert!(sheet.width() > across * 2 * 32 && sheet.height() > down * 16, "{:?}", sheet.dimensions());
    }
}
