//! Masks of two classes in grey.

use std::path::Path;

use image::{DynamicImage, GrayImage, ImageBuffer, Luma, Pixel};
use seg_contract::IGNORE_LABEL;

use super::{MaskError, shift_to_byte};
use crate::colors::{to_luma8, to_rgb8};
use crate::formats::has_16_bits;

/// The least value of class 1.
pub(super) const THRESHOLD: u8 = 128;

/// The largest difference between red, green and blue of a grey pixel: JPEG may tint it slightly.
const TINT_MAX: u8 = 40;

/// Returns the labels of a binary mask; in one that `is_blurred` by compression, any value up to
/// the brightest may occur.
pub(super) fn labels(path: &Path, image: &DynamicImage, is_blurred: bool) -> Result<GrayImage, MaskError> {
    if image.color().has_color()
        && let Some(color) = to_rgb8(image).pixels().map(|pixel| pixel.0).find(is_colored)
    {
        return Err(MaskError::Colored { path: path.into(), color });
    }
    if image.color().has_alpha() && is_drawn_in_alpha(image) {
        return Err(MaskError::Transparent { path: path.into() });
    }
    let (mut mask, highest) = gray(image);
    let mut occurs = [false; 256];
    for value in mask.iter() {
        occurs[usize::from(*value)] = true;
    }
    let largest = |values: &[bool]| values.iter().rposition(|occurs| *occurs).unwrap_or(0) as u8;
    // 255 aside: labels may be ignored.
    let last = largest(&occurs[..usize::from(IGNORE_LABEL)]);
    let brightest = largest(&occurs);
    let is_wide = highest > u16::from(u8::MAX);
    let is_gapless = last >= 2 && occurs[..usize::from(last)].iter().all(|occurs| *occurs);
    if last == 1 && !is_wide {
        return Ok(mask);
    }
    if is_wide && brightest < THRESHOLD || is_gapless && (last < THRESHOLD || brightest == last && !is_blurred) {
        let largest = if is_wide { highest } else { last.into() };
        return Err(MaskError::Indices { path: path.into(), largest });
    }
    if brightest != 0 && brightest < THRESHOLD {
        return Err(MaskError::Dark { path: path.into(), largest: brightest });
    }
    for value in mask.iter_mut() {
        *value = u8::from(*value >= THRESHOLD);
    }
    Ok(mask)
}

/// Returns true if the colour is the same everywhere, and only some of the pixels are transparent.
fn is_drawn_in_alpha(image: &DynamicImage) -> bool {
    match image {
        DynamicImage::ImageLumaA8(image) => divides_alone(image, |alpha| *alpha < 128),
        DynamicImage::ImageRgba8(image) => divides_alone(image, |alpha| *alpha < 128),
        DynamicImage::ImageLumaA16(image) => divides_alone(image, |alpha| *alpha < u16::MAX / 2),
        DynamicImage::ImageRgba16(image) => divides_alone(image, |alpha| *alpha < u16::MAX / 2),
        image => divides_alone(&image.to_rgba16(), |alpha| *alpha < u16::MAX / 2),
    }
}

/// Returns true if all pixels have one colour, and the last channel, alpha, is clear in some of
/// them and not in others.
fn divides_alone<P: Pixel>(image: &ImageBuffer<P, Vec<P::Subpixel>>, is_clear: impl Fn(&P::Subpixel) -> bool) -> bool {
    let mut pixels = image.as_raw().chunks_exact(usize::from(P::CHANNEL_COUNT)).filter_map(<[_]>::split_last);
    let Some((alpha, first)) = pixels.next() else { return false };
    let first_is_clear = is_clear(alpha);
    let mut differs = false;
    for (alpha, color) in pixels {
        if color != first {
            return false;
        }
        differs |= is_clear(alpha) != first_is_clear;
    }
    differs
}

fn is_colored(color: &[u8; 3]) -> bool {
    let [red, green, blue] = *color;
    red.max(green).max(blue) - red.min(green).min(blue) > TINT_MAX
}

/// Returns the image in 8-bit grey, and its highest value as stored. Values of 16 bits keep their
/// high byte, or their low one if no high byte is used.
fn gray(image: &DynamicImage) -> (GrayImage, u16) {
    if !has_16_bits(image) {
        let gray = to_luma8(image);
        let highest = gray.iter().max().copied().unwrap_or(0);
        return (gray, highest.into());
    }
    let wide = image.to_luma16();
    let shift = shift_to_byte(&wide);
    let gray = GrayImage::from_fn(wide.width(), wide.height(), |x, y| Luma([(wide.get_pixel(x, y)[0] >> shift) as u8]));
    (gray, wide.iter().max().copied().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::masks::MaskCoding;
    use crate::masks::tests::{gray8, gray16, read, rgb};

    #[test]
    fn binary_masks_are_labels_or_brightness() {
        for (name, image, labels) in [
            ("blank", gray8(&[0, 0]), vec![0, 0]),
            ("all target", gray8(&[255, 255]), vec![1, 1]),
            ("brightness", gray8(&[0, 127, 128, 255]), vec![0, 0, 1, 1]),
            ("brightness blurred down to 1", gray8(&[0, 1, 3, 250, 255]), vec![0, 0, 0, 1, 1]),
            ("brightness blurred everywhere", gray8(&[0, 1, 2, 254, 255]), vec![0, 0, 0, 1, 1]),
            ("every brightness", gray8(&Vec::from_iter(0..=255)), [[0; 128], [1; 128]].concat()),
            ("labels", gray8(&[0, 1, 1]), vec![0, 1, 1]),
            ("labels, some ignored", gray8(&[0, 1, 255]), vec![0, 1, 255]),
            ("grey in color", rgb(&[[0; 3], [255, 250, 245]]), vec![0, 1]),
            ("16-bit brightness", gray16(&[0, 32767, 32768, 65535]), vec![0, 0, 1, 1]),
            ("16-bit labels", gray16(&[0, 1]), vec![0, 1]),
            ("8-bit brightness in 16 bits", gray16(&[0, 255]), vec![0, 1]),
        ] {
            assert_eq!(read(&image, &MaskCoding::Binary).unwrap(), labels, "{name}");
        }
    }

    #[test]
    fn a_drawing_in_the_transparency_is_refused() {
        let mask = |solid: u8, clear: u8| {
            image::GrayAlphaImage::from_fn(4, 1, |x, _| image::LumaA(if x < 2 { [solid, 255] } else { [clear, 0] }))
                .into()
        };
        for value in [0, 255] {
            let message = read(&mask(value, value), &MaskCoding::Binary).unwrap_err().to_string();
            assert!(message.contains("drawing is in its transparency"), "{message}");
        }
        assert_eq!(read(&mask(255, 0), &MaskCoding::Binary).unwrap(), [1, 1, 0, 0]);
    }

    #[test]
    fn compression_makes_no_objects() {
        let off_white = gray8(&Vec::from_iter(0..=240));
        let found = labels(Path::new("mask.jpg"), &off_white, true).unwrap().into_raw();
        assert_eq!(found, [vec![0; 128], vec![1; 113]].concat());
        assert!(labels(Path::new("mask.png"), &off_white, false).is_err());
    }

    #[test]
    fn masks_that_are_not_binary_are_refused() {
        for (name, image, part) in [
            (
                "colored",
                rgb(&[[0; 3], [128, 0, 0]]),
                "mask.png` as a binary mask: it has pixels of the colour [128, 0, 0]",
            ),
            ("labels of more classes", gray8(&[2, 1, 0]), "its values up to 2 look like class indices"),
            ("labels of more classes, some ignored", gray8(&[0, 1, 2, 3, 255]), "its values up to 3 look like"),
            ("numbers of many objects", gray8(&Vec::from_iter(0..=200)), "its values up to 200 look like"),
            ("numbers of objects beyond a byte", gray16(&Vec::from_iter(0..=300)), "its values up to 300 look like"),
            ("some of these", gray16(&[0, 7, 300]), "its values up to 300 look like"),
            ("dark", gray8(&[0, 127]), "its largest value is 127"),
        ] {
            let message = read(&image, &MaskCoding::Binary).unwrap_err().to_string();
            assert!(message.contains(part), "{name}: {message}");
        }
    }

    #[test]
    fn every_grey_keeps_its_value_in_color() {
        let greys: Vec<_> = (0..=255).map(|value| [value; 3]).collect();
        assert_eq!(gray(&rgb(&greys)).0.into_raw(), (0..=255).collect::<Vec<u8>>());
    }
}
