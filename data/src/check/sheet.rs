//! A contact sheet: images beside their masks, for a person to spot what is shifted, inverted or exchanged.

use image::imageops::{self, FilterType};
use image::{GrayImage, Rgb, RgbImage};
use rayon::prelude::*;
use seg_onnx::contract::{Class, IGNORE_LABEL};
use thiserror::Error;

use super::digit::write_number;
use crate::dataset::{Sample, SampleError};
use crate::overlay::{OverlayError, overlay};

/// How many samples lie side by side.
const COLUMNS: usize = 4;
/// The largest width and height of an image on the sheet, in pixels.
const IMAGE_SIDES_MAX: [u32; 2] = [232, 256];
/// Between an image and its mask.
const SEAM: u32 = 2;
/// Between samples.
const GAP: u32 = 12;
const PAPER: Rgb<u8> = Rgb([24, 24, 27]);
/// Pixels that do not count are half covered by stripes of these two.
const STRIPES: [u8; 2] = [90, 170];
/// How many pixels a light and a dark stripe take.
const STRIPES_PX: u32 = 8;

/// Why there is no contact sheet.
#[derive(Debug, Error)]
pub enum SheetError {
    /// A sample cannot be loaded.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// A mask cannot be drawn.
    #[error(transparent)]
    Overlay(#[from] OverlayError),
}

/// Each sample's image and, beside it, the same with its mask drawn in the classes' colours; numbered from 1, row by row.
///
/// What does not count is striped.
///
/// # Errors
/// When a sample cannot be loaded or has a label without a class.
pub fn contact_sheet(samples: &[Sample], classes: &[Class]) -> Result<RgbImage, SheetError> {
    let palette: Vec<[u8; 3]> = classes.iter().map(|class| class.color).collect();
    let pairs: Vec<[RgbImage; 2]> =
        samples.par_iter().map(|sample| draw(sample, &palette)).collect::<Result<_, SheetError>>()?;
    let side = |of: fn(&RgbImage) -> u32| pairs.iter().flatten().map(of).max().unwrap_or(0);
    let (width, height) = (side(RgbImage::width), side(RgbImage::height));
    let columns = pairs.len().min(COLUMNS);
    let rows = pairs.len().div_ceil(COLUMNS);
    let (right, down) = (2 * width + SEAM + GAP, height + GAP);
    let mut sheet = RgbImage::from_pixel(columns as u32 * right + GAP, rows as u32 * down + GAP, PAPER);
    for (index, [mut image, drawn]) in pairs.into_iter().enumerate() {
        write_number(&mut image, index + 1);
        let left = i64::from((index % COLUMNS) as u32 * right + GAP);
        let top = i64::from((index / COLUMNS) as u32 * down + GAP);
        imageops::replace(&mut sheet, &image, left, top);
        imageops::replace(&mut sheet, &drawn, left + i64::from(image.width() + SEAM), top);
    }
    Ok(sheet)
}

/// The image and the image with its mask, both as large as the sheet allows.
fn draw(sample: &Sample, palette: &[[u8; 3]]) -> Result<[RgbImage; 2], SheetError> {
    let (image, labels) = sample.load()?;
    let [width_max, height_max] = IMAGE_SIDES_MAX.map(f64::from);
    let (width, height) = (f64::from(image.width()), f64::from(image.height()));
    let scale = (width_max / width).min(height_max / height);
    let [width, height] = [width, height].map(|side| ((side * scale).round() as u32).max(1));
    let image = imageops::resize(&image, width, height, FilterType::Triangle);
    let labels = imageops::resize(&labels, width, height, FilterType::Nearest);
    let plain = overlay(&image, &GrayImage::new(width, height), palette)?;
    let mut drawn = overlay(&image, &labels, palette)?;
    for (x, y, pixel) in drawn.enumerate_pixels_mut() {
        if labels.get_pixel(x, y)[0] == IGNORE_LABEL {
            let stripe = STRIPES[usize::from((x + y) % STRIPES_PX < STRIPES_PX / 2)];
            *pixel = Rgb(pixel.0.map(|value| value / 2 + stripe / 2));
        }
    }
    Ok([plain, drawn])
}
