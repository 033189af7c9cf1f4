//! Masks in which every value or colour is a class.

use std::collections::BTreeMap;
use std::path::Path;

use image::{DynamicImage, GrayImage};
use seg_contract::IGNORE_LABEL;

use super::{MaskError, shift_to_byte};
use crate::colors::to_rgb8;
use crate::formats::has_16_bits;

/// Returns the labels of a mask of class indices.
pub(super) fn from_indices(path: &Path, image: &DynamicImage, classes: u8) -> Result<GrayImage, MaskError> {
    let label = |x, y, color| index(path, [x, y], color, classes);
    if has_16_bits(image) {
        let image = image.to_rgb16();
        labels(image.dimensions(), image.enumerate_pixels().map(|(x, y, pixel)| label(x, y, pixel.0)))
    } else {
        let image = to_rgb8(image);
        labels(image.dimensions(), image.enumerate_pixels().map(|(x, y, pixel)| label(x, y, pixel.0.map(u16::from))))
    }
}

/// Returns the label of a grey pixel.
fn index(path: &Path, [x, y]: [u32; 2], color: [u16; 3], classes: u8) -> Result<u8, MaskError> {
    let [value, green, blue] = color;
    if (value, value) != (green, blue) {
        return Err(MaskError::NotGrey { path: path.into(), x, y, color });
    }
    match u8::try_from(value) {
        Ok(label) if label < classes || label == IGNORE_LABEL => Ok(label),
        _ => Err(MaskError::Value { path: path.into(), x, y, value, classes }),
    }
}

/// Returns the labels of a colour-coded mask. Colours of 16 bits keep their high bytes, or the low
/// ones if no high byte is used.
pub(super) fn from_colors(
    path: &Path,
    image: &DynamicImage,
    classes: &BTreeMap<[u8; 3], u8>,
) -> Result<GrayImage, MaskError> {
    let label =
        |x, y, color| classes.get(&color).copied().ok_or_else(|| MaskError::Color { path: path.into(), x, y, color });
    if has_16_bits(image) {
        let image = image.to_rgb16();
        let shift = shift_to_byte(&image);
        let byte = |value: u16| (value >> shift) as u8;
        labels(image.dimensions(), image.enumerate_pixels().map(|(x, y, pixel)| label(x, y, pixel.0.map(byte))))
    } else {
        let image = to_rgb8(image);
        labels(image.dimensions(), image.enumerate_pixels().map(|(x, y, pixel)| label(x, y, pixel.0)))
    }
}

/// Creates an image of the labels, row by row.
fn labels(
    (width, height): (u32, u32),
    labels: impl Iterator<Item = Result<u8, MaskError>>,
) -> Result<GrayImage, MaskError> {
    let labels = labels.collect::<Result<_, _>>()?;
    Ok(GrayImage::from_raw(width, height, labels).expect("there is one label per pixel"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::masks::MaskCoding;
    use crate::masks::tests::{gray8, gray16, read, rgb};

    const FOUR: MaskCoding = MaskCoding::Index { classes: 4 };

    /// Black is class 0, red 1, grey 2, and white is ignored.
    fn colors() -> MaskCoding {
        let labels = [([0; 3], 0), ([255, 0, 0], 1), ([128; 3], 2), ([255; 3], IGNORE_LABEL)];
        MaskCoding::Color(Arc::new(labels.into()))
    }

    fn rgb16(values: &[[u16; 3]]) -> DynamicImage {
        image::ImageBuffer::from_fn(values.len() as u32, 1, |x, _| image::Rgb(values[x as usize])).into()
    }

    #[test]
    fn values_and_colors_are_classes() {
        for (name, image, coding, labels) in [
            ("indices", gray8(&[3, 0, 2, 1]), FOUR, vec![3, 0, 2, 1]),
            ("indices, some ignored", gray8(&[3, 255]), FOUR, vec![3, 255]),
            ("one index", gray8(&[0, 0]), FOUR, vec![0, 0]),
            ("16-bit indices", gray16(&[3, 0, 255]), FOUR, vec![3, 0, 255]),
            ("indices in grey colour", rgb(&[[3; 3], [1; 3]]), FOUR, vec![3, 1]),
            ("colours", rgb(&[[255, 0, 0], [0; 3], [255; 3], [128; 3]]), colors(), vec![1, 0, 255, 2]),
            ("colours in grey", gray8(&[0, 128, 255]), colors(), vec![0, 2, 255]),
            ("16-bit colours", rgb16(&[[65535, 0, 255], [0; 3], [32896; 3]]), colors(), vec![1, 0, 2]),
            ("8-bit colours in 16 bits", rgb16(&[[255, 0, 0], [128; 3]]), colors(), vec![1, 2]),
        ] {
            assert_eq!(read(&image, &coding).unwrap(), labels, "{name}");
        }
    }

    #[test]
    fn what_belongs_to_no_class_is_named_with_its_place() {
        for (name, image, coding, part) in [
            ("index", gray8(&[0, 1, 4]), FOUR, "the pixel at (2, 0) has the value 4, expected 0 to 3 for"),
            ("16-bit index", gray16(&[0, 256]), FOUR, "the pixel at (1, 0) has the value 256"),
            (
                "coloured index",
                rgb(&[[0; 3], [2, 2, 3]]),
                FOUR,
                "the pixel at (1, 0) has the colour [2, 2, 3], expected grey",
            ),
            (
                "colour",
                rgb(&[[0; 3], [254, 0, 0]]),
                colors(),
                "the pixel at (1, 0) has the colour [254, 0, 0], which belongs",
            ),
        ] {
            let message = read(&image, &coding).unwrap_err().to_string();
            assert!(message.contains("mask.png`") && message.contains(part), "{name}: {message}");
        }
    }
}
