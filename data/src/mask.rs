//! Mask files to labels.

use std::path::{Path, PathBuf};

use image::{DynamicImage, GrayImage, Luma};
use seg_onnx::contract::IGNORE_LABEL;
use thiserror::Error;

use crate::decode::{ReadError, decode, has_16_bits};

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
    if !has_16_bits(image) {
        return image.to_luma8();
    }
    let wide = image.to_luma16();
    let shift = if wide.iter().all(|value| *value <= u16::from(u8::MAX)) { 0 } else { 8 };
    GrayImage::from_fn(wide.width(), wide.height(), |x, y| Luma([(wide.get_pixel(x, y)[0] >> shift) as u8]))
}

#[cfg(test)]
mod tests {
    use image::{ImageBuffer, Rgb, RgbImage};

    use super::*;

    fn gray8(values: &[u8]) -> DynamicImage {
        GrayImage::from_raw(values.len() as u32, 1, values.to_vec()).unwrap().into()
    }

    fn gray16(values: &[u16]) -> DynamicImage {
        ImageBuffer::<Luma<u16>, _>::from_raw(values.len() as u32, 1, values.to_vec()).unwrap().into()
    }

    fn rgb(values: &[[u8; 3]]) -> DynamicImage {
        RgbImage::from_fn(values.len() as u32, 1, |x, _| Rgb(values[x as usize])).into()
    }

    /// Saves the image as a PNG file and reads it as a binary mask.
    fn read(image: &DynamicImage) -> Result<Vec<u8>, MaskError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mask.png");
        image.save(&path).unwrap();
        Ok(read_mask(&path, MaskCoding::Binary)?.into_raw())
    }

    #[test]
    fn binary_masks_are_labels_or_brightness() {
        for (name, image, labels) in [
            ("blank", gray8(&[0, 0]), vec![0, 0]),
            ("all target", gray8(&[255, 255]), vec![1, 1]),
            ("brightness", gray8(&[0, 127, 128, 255]), vec![0, 0, 1, 1]),
            ("brightness blurred down to 1", gray8(&[0, 1, 3, 250, 255]), vec![0, 0, 0, 1, 1]),
            ("labels", gray8(&[0, 1, 1]), vec![0, 1, 1]),
            ("labels, some ignored", gray8(&[0, 1, 255]), vec![0, 1, 255]),
            ("grey in color", rgb(&[[0; 3], [255, 250, 245]]), vec![0, 1]),
            ("16-bit brightness", gray16(&[0, 32767, 32768, 65535]), vec![0, 0, 1, 1]),
            ("16-bit labels", gray16(&[0, 1]), vec![0, 1]),
            ("8-bit brightness in 16 bits", gray16(&[0, 255]), vec![0, 1]),
        ] {
            assert_eq!(read(&image).unwrap(), labels, "{name}");
        }
    }

    #[test]
    fn masks_that_are_not_binary_are_refused() {
        for (name, image, part) in [
            (
                "colored",
                rgb(&[[0; 3], [128, 0, 0]]),
                "mask.png` as a binary mask: it has pixels of the colour [128, 0, 0]",
            ),
            ("labels of more classes", gray8(&[0, 1, 2]), "its largest value is 2"),
            ("dark", gray8(&[0, 127]), "its largest value is 127"),
        ] {
            let message = read(&image).unwrap_err().to_string();
            assert!(message.contains(part), "{name}: {message}");
        }
    }

    #[test]
    fn every_grey_keeps_its_value_in_color() {
        let greys: Vec<_> = (0..=255).map(|value| [value; 3]).collect();
        assert_eq!(gray(&rgb(&greys)).into_raw(), (0..=255).collect::<Vec<u8>>());
    }

    #[test]
    fn what_lies_outside_the_field_of_view_is_ignored() {
        let mut labels = GrayImage::from_raw(4, 1, vec![0, 1, 0, 1]).unwrap();
        ignore_outside(&mut labels, &GrayImage::from_raw(4, 1, vec![0, 0, 1, 1]).unwrap());
        assert_eq!(labels.into_raw(), [IGNORE_LABEL, IGNORE_LABEL, 0, 1]);
    }
}
