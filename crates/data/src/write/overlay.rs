//! A mask drawn onto its image.

use image::{GrayImage, RgbImage};
use seg_contract::{IGNORE_LABEL, Pixels, Samples};
use thiserror::Error;

use super::contours::Contours;

/// The share of a class's colour in its area.
const TINT: f32 = 0.25;

/// The number of pixels of the image's longer side for each pixel of a contour's width.
const SIDE_PER_CONTOUR_PX: u32 = 512;

/// An error in drawing a mask.
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

/// The style of a drawn mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverlayStyle {
    /// Areas tinted in their class's colour and outlined in it.
    Tinted,
    /// Only outlines.
    Contours,
}

/// Draws a mask onto its image, band by band.
#[derive(Clone, Copy, Debug)]
pub struct Overlayer<'a> {
    labels: &'a GrayImage,
    palette: &'a [[u8; 3]],
    style: OverlayStyle,
}

/// Draws a mask onto its image: each class except the background is tinted in its colour and
/// outlined along its inner border.
///
/// `palette` holds red, green and blue by class index. The outline is one pixel wide, and wider on
/// large images. The background and pixels labelled [`IGNORE_LABEL`] stay as they are.
///
/// # Errors
/// When the mask has another size or a label has no colour.
pub fn overlay<'a>(
    image: impl Into<Pixels<'a>>,
    labels: &GrayImage,
    palette: &[[u8; 3]],
) -> Result<RgbImage, OverlayError> {
    let image = image.into();
    let [height, width] = image.size().map(|side| side as u32);
    if (width, height) != labels.dimensions() {
        return Err(OverlayError::Size { mask: labels.dimensions(), image: (width, height) });
    }
    Overlayer::new(labels, palette, OverlayStyle::Tinted)?.rows(0, image)
}

impl<'a> Overlayer<'a> {
    /// Prepares to draw a mask; `palette` holds red, green and blue by class index.
    ///
    /// # Errors
    /// When a label has no colour.
    pub fn new(labels: &'a GrayImage, palette: &'a [[u8; 3]], style: OverlayStyle) -> Result<Self, OverlayError> {
        match labels.iter().find(|label| **label != IGNORE_LABEL && usize::from(**label) >= palette.len()) {
            Some(label) if *label != 0 => Err(OverlayError::Label { label: *label, colors: palette.len() }),
            _ => Ok(Self { labels, palette, style }),
        }
    }

    /// Draws onto the given rows, of which `first` is the first.
    ///
    /// # Errors
    /// When the mask has another width or fewer rows.
    pub fn rows<'b>(&self, first: u32, image: impl Into<Pixels<'b>>) -> Result<RgbImage, OverlayError> {
        let image = image.into();
        let [height, width] = image.size().map(|side| side as u32);
        let mask = self.labels.dimensions();
        if width != mask.0 || first + height > mask.1 {
            return Err(OverlayError::Size { mask, image: (width, first + height) });
        }
        Ok(match image.samples() {
            Samples::Bits8(pixels) => self.draw(first, [height, width], pixels, |value| value),
            Samples::Bits16(pixels) => {
                self.draw(first, [height, width], pixels, |value| to_byte(f32::from(value) / 65535.0))
            }
            Samples::Float(pixels) => self.draw(first, [height, width], pixels, to_byte),
        })
    }

    fn draw<T: Copy>(
        &self,
        first: u32,
        [height, width]: [u32; 2],
        pixels: &[[T; 3]],
        byte: impl Fn(T) -> u8,
    ) -> RgbImage {
        let side = self.labels.width().max(self.labels.height());
        let contour = ((side + SIDE_PER_CONTOUR_PX / 2) / SIDE_PER_CONTOUR_PX).max(1);
        let tints = self.palette.iter().map(tint).collect::<Vec<_>>();
        let mut contours = Contours::new(self.labels, contour as usize, first as usize);
        let mut drawn = Vec::with_capacity(pixels.len());
        let labels = self.labels.as_raw().chunks_exact(width as usize).skip(first as usize);
        for (line, labels) in pixels.chunks_exact(width as usize).zip(labels) {
            let start = drawn.len();
            drawn.extend(line.iter().map(|pixel| pixel.map(&byte)));
            let is_contour = contours.next_row();
            for ((label, is_contour), pixel) in labels.iter().zip(is_contour).zip(&mut drawn[start..]) {
                if *label == 0 || *label == IGNORE_LABEL {
                    continue;
                }
                let class = usize::from(*label);
                if *is_contour {
                    *pixel = self.palette[class];
                } else if self.style == OverlayStyle::Tinted {
                    *pixel = std::array::from_fn(|channel| tints[class][channel][usize::from(pixel[channel])]);
                }
            }
        }
        RgbImage::from_raw(width, height, drawn.into_flattened()).expect("each pixel has become one")
    }
}

/// Converts a value in [0, 1] to a byte.
fn to_byte(value: f32) -> u8 {
    // The cast saturates at 0 and 255.
    (value * 255.0).round() as u8
}

/// Returns, for each channel, the result of each value under a colour.
fn tint(color: &[u8; 3]) -> [[u8; 256]; 3] {
    color.map(|color| {
        std::array::from_fn(|value| to_byte((1.0 - TINT) * (value as f32 / 255.0) + TINT * f32::from(color) / 255.0))
    })
}

#[cfg(test)]
mod tests {
    use image::{Rgb, Rgb32FImage};

    use super::*;

    const PALETTE: [[u8; 3]; 2] = [[0, 0, 0], [0, 200, 100]];

    /// Creates a white image and a mask with a square of class 1 in the middle.
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

    #[test]
    fn bands_are_those_of_the_whole_and_contours_leave_areas_alone() {
        let (_, mask) = square(64);
        let image = RgbImage::from_fn(64, 64, |x, y| [(x * 4) as u8, (y * 4) as u8, 9].into());
        for style in [OverlayStyle::Tinted, OverlayStyle::Contours] {
            let overlayer = Overlayer::new(&mask, &PALETTE, style).unwrap();
            let whole = overlayer.rows(0, &image).unwrap();
            for (first, height) in [(0, 5), (14, 4), (60, 4)] {
                let part = |image: &RgbImage| image::imageops::crop_imm(image, 0, first, 64, height).to_image();
                assert_eq!(overlayer.rows(first, &part(&image)).unwrap(), part(&whole), "{style:?}: {first}");
            }
            assert_eq!(whole.get_pixel(16, 30).0, PALETTE[1], "{style:?}: the border");
            assert_eq!(
                whole.get_pixel(30, 30) == image.get_pixel(30, 30),
                style == OverlayStyle::Contours,
                "{style:?}"
            );
        }
    }
}
