//! Mask files to labels.

use std::path::{Path, PathBuf};

use image::{DynamicImage, GrayImage};
use seg_onnx::contract::IGNORE_LABEL;
use thiserror::Error;

use crate::decode::{ReadError, decode};

/// How a mask file says which class a pixel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaskCoding {
    /// Two classes in grey.
    ///
    /// A mask of the values 0, 1 and 255 in which 1 occurs holds labels, 255 being [`IGNORE_LABEL`]. In every other mask
    /// the values from 128 are class 1 and those below class 0, since masks saved as JPEG are blurred at their borders.
    Binary,
}

/// Values from here on are class 1 of a binary mask.
const THRESHOLD: u8 = 128;

/// How far apart the red, green and blue of a grey pixel may be: JPEG may tint it a little.
const TINT_MAX: u8 = 40;

/// Why a file cannot be read as a mask.
#[derive(Debug, Error)]
pub enum MaskError {
    /// It cannot be read as an image.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A binary mask has a coloured pixel.
    #[error(
        "cannot read `{path}` as a binary mask: it has pixels of the colour {color:?}, expected grey; save it with 0 for \
         the background and 255 for the target"
    )]
    Colored {
        /// The mask file.
        path: PathBuf,
        /// The red, green and blue of one such pixel.
        color: [u8; 3],
    },
    /// A binary mask is neither blank nor has it labels or values of at least 128.
    #[error(
        "cannot read `{path}` as a binary mask: its largest value is {largest}, expected 0, 1 or at least {THRESHOLD}; save \
         it with 0 for the background and 255 for the target"
    )]
    Dark {
        /// The mask file.
        path: PathBuf,
        /// Its largest value.
        largest: u8,
    },
}

/// Reads a mask as labels: class indices from 0, and [`IGNORE_LABEL`].
///
/// # Errors
/// When the file cannot be read as an image or does not follow `coding`.
pub fn read_mask(path: &Path, coding: MaskCoding) -> Result<GrayImage, MaskError> {
    let image = decode(path)?;
    match coding {
        MaskCoding::Binary => read_binary(path, &image),
    }
}

/// Sets the labels outside a field of view, where its own label is 0, to [`IGNORE_LABEL`]; both have the same size.
pub(crate) fn ignore_outside(labels: &mut GrayImage, field_of_view: &GrayImage) {
    for (label, inside) in labels.iter_mut().zip(field_of_view.iter()) {
        if *inside == 0 {
            *label = IGNORE_LABEL;
        }
    }
}

/// The labels of a binary mask.
fn read_binary(path: &Path, image: &DynamicImage) -> Result<GrayImage, MaskError> {
    if image.color().has_color()
        && let Some(color) = image.to_rgb8().pixels().map(|pixel| pixel.0).find(is_colored)
    {
        return Err(MaskError::Colored { path: path.into(), color });
    }
    let mut mask = gray(image);
    let (mut largest, mut labels) = (0, false);
    for value in mask.iter() {
        largest = largest.max(*value);
        labels |= *value == 1;
    }
    if labels && mask.iter().all(|value| matches!(*value, 0 | 1 | IGNORE_LABEL)) {
        return Ok(mask);
    }
    if largest != 0 && largest < THRESHOLD {
        return Err(MaskError::Dark { path: path.into(), largest });
    }
    for value in mask.iter_mut() {
        *value = u8::from(*value >= THRESHOLD);
    }
    Ok(mask)
}

fn is_colored(color: &[u8; 3]) -> bool {
    let [red, green, blue] = *color;
    red.max(green).max(blue) - red.min(green).min(blue) > TINT_MAX
}

/// The image in 8-bit grey. Values of 16 bits keep their high byte, or their low one where no high byte is used.
fn gray(image: &DynamicImage) -> GrayImage {
    if image.color().bytes_per_pixel() / image.color().channel_count() == 1 {
        return image.to_luma8();
    }
    let wide = image.to_luma16();
    let shift = if wide.iter().all(|value| *value <= u16::from(u8::MAX)) { 0 } else { 8 };
    GrayImage::from_fn(wide.width(), wide.height(), |x, y| image::Luma([(wide.get_pixel(x, y)[0] >> shift) as u8]))
}
