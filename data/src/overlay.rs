//! A mask drawn onto its image, for a person to judge.

use image::{GrayImage, Rgb, Rgb32FImage, RgbImage};
use seg_onnx::contract::IGNORE_LABEL;
use thiserror::Error;

/// How much of a class's colour its area takes on.
const TINT: f32 = 0.25;

/// A contour is one pixel wide for every so many pixels of the image's longer side.
const SIDE_PER_CONTOUR_PX: u32 = 512;

/// Why a mask cannot be drawn.
#[derive(Debug, Error)]
pub enum OverlayError {
    /// The sizes differ.
    #[error("cannot draw a mask of {}x{} onto an image of {}x{}", mask.0, mask.1, image.0, image.1)]
    Size {
        /// Width and height of the mask.
        mask: (u32, u32),
        /// Width and height of the image.
        image: (u32, u32),
    },
    /// A label has no colour.
    #[error("cannot draw the label {label}: only {colors} classes have a colour")]
    Label {
        /// The label found.
        label: u8,
        /// The number of colours.
        colors: usize,
    },
}

/// The image with each class but the background tinted in its colour and outlined in it along its inner border.
///
/// `palette` holds red, green and blue by class index. The outline is one pixel wide, and wider on large images. The background and pixels labelled [`IGNORE_LABEL`] stay as they are.
///
/// # Errors
/// When the mask is of another size or a label has no colour.
pub fn overlay(image: &Rgb32FImage, labels: &GrayImage, palette: &[[u8; 3]]) -> Result<RgbImage, OverlayError> {
    if image.dimensions() != labels.dimensions() {
        return Err(OverlayError::Size { mask: labels.dimensions(), image: image.dimensions() });
    }
    let side = image.width().max(image.height());
    let width = ((side + SIDE_PER_CONTOUR_PX / 2) / SIDE_PER_CONTOUR_PX).max(1);
    let mut drawn = RgbImage::new(image.width(), image.height());
    for (x, y, pixel) in drawn.enumerate_pixels_mut() {
        let values = image.get_pixel(x, y).0;
        let label = labels.get_pixel(x, y)[0];
        if label == 0 || label == IGNORE_LABEL {
            *pixel = Rgb(values.map(to_byte));
            continue;
        }
        let Some(color) = palette.get(usize::from(label)) else {
            return Err(OverlayError::Label { label, colors: palette.len() });
        };
        *pixel = if is_contour(labels, x, y, width) { Rgb(*color) } else { Rgb(tint(values, *color)) };
    }
    Ok(drawn)
}

/// A value in [0, 1] as a byte.
fn to_byte(value: f32) -> u8 {
    // The cast stops at 0 and 255.
    (value * 255.0).round() as u8
}

fn tint(values: [f32; 3], color: [u8; 3]) -> [u8; 3] {
    std::array::from_fn(|channel| to_byte((1.0 - TINT) * values[channel] + TINT * f32::from(color[channel]) / 255.0))
}

/// Whether another label lies within `width` pixels to the side, above or below; the image's edge is no border.
fn is_contour(labels: &GrayImage, x: u32, y: u32, width: u32) -> bool {
    let label = labels.get_pixel(x, y);
    let other = |x, y| labels.get_pixel_checked(x, y).is_some_and(|found| found != label);
    (1..=width).any(|step| {
        other(x.wrapping_sub(step), y)
            || other(x.wrapping_add(step), y)
            || other(x, y.wrapping_sub(step))
            || other(x, y.wrapping_add(step))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PALETTE: [[u8; 3]; 2] = [[0, 0, 0], [0, 200, 100]];

    /// A white image and a mask with a square of class 1 in the middle.
    fn square(side: u32) -> (Rgb32FImage, GrayImage) {
        let inside = side / 4..side - side / 4;
        let mask = GrayImage::from_fn(side, side, |x, y| [u8::from(inside.contains(&x) && inside.contains(&y))].into());
        (Rgb32FImage::from_pixel(side, side, Rgb([1.0; 3])), mask)
    }

    #[test]
    fn areas_are_tinted_and_outlined_along_their_inner_border() {
        for (name, side, width) in [("small", 64, 1), ("large", 1024, 2), ("larger", 2048, 4)] {
            let (image, mask) = square(side);
            let drawn = overlay(&image, &mask, &PALETTE).unwrap();
            let start = side / 4;
            for (place, x, color) in [
                ("background", start - 1, [255; 3]),
                ("border", start, PALETTE[1]),
                ("border's last pixel", start + width - 1, PALETTE[1]),
                ("inside", start + width, [191, 241, 216]),
            ] {
                assert_eq!(drawn.get_pixel(x, side / 2).0, color, "{name}: {place}");
            }
        }
    }

    #[test]
    fn background_and_ignored_pixels_stay_as_they_are() {
        let image = Rgb32FImage::from_fn(3, 1, |x, _| Rgb([x as f32 / 255.0, 0.5, 1.0]));
        let labels = GrayImage::from_raw(3, 1, vec![0, IGNORE_LABEL, 0]).unwrap();
        let drawn = overlay(&image, &labels, &PALETTE).unwrap();
        assert_eq!(drawn.into_raw(), [0, 128, 255, 1, 128, 255, 2, 128, 255]);
    }

    #[test]
    fn the_images_edge_is_no_border() {
        let image = Rgb32FImage::from_pixel(4, 4, Rgb([1.0; 3]));
        let drawn = overlay(&image, &GrayImage::from_pixel(4, 4, [1].into()), &PALETTE).unwrap();
        assert!(drawn.pixels().all(|pixel| pixel.0 == [191, 241, 216]));
    }

    #[test]
    fn masks_that_do_not_fit_are_refused() {
        let image = Rgb32FImage::new(2, 1);
        for (name, labels, part) in [
            ("size", GrayImage::new(1, 2), "1x2 onto an image of 2x1"),
            ("label", GrayImage::from_pixel(2, 1, [7].into()), "label 7: only 2 classes"),
        ] {
            let message = overlay(&image, &labels, &PALETTE).unwrap_err().to_string();
            assert!(message.contains(part), "{name}: {message}");
        }
    }
}
