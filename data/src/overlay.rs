//! A mask drawn onto its image, for a person to judge.

use image::{GrayImage, Rgb, Rgb32FImage, RgbImage};
use seg_onnx::contract::IGNORE_LABEL;
use thiserror::Error;

/// How much of a class's colour its area takes on.
const TINT: f32 = 0.3;

/// The image's longer side per pixel of the contour's width.
const CONTOUR_SIDE_PX: u32 = 512;

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
/// `palette` holds red, green and blue by class index. The outline is one pixel wide, and wider on images beyond 512
/// pixels. The background and pixels labelled [`IGNORE_LABEL`] stay as they are.
///
/// # Errors
/// When the mask is of another size or a label has no colour.
pub fn overlay(image: &Rgb32FImage, labels: &GrayImage, palette: &[[u8; 3]]) -> Result<RgbImage, OverlayError> {
    if image.dimensions() != labels.dimensions() {
        return Err(OverlayError::Size { mask: labels.dimensions(), image: image.dimensions() });
    }
    let width = (image.width().max(image.height()) / CONTOUR_SIDE_PX).max(1);
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
