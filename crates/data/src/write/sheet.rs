//! A sheet of images, each beside the same image with its labels drawn.

use image::imageops::{self, FilterType};
use image::{GrayImage, Rgb, Rgb32FImage, RgbImage};
use seg_contract::IGNORE_LABEL;

use super::overlay::{OverlayError, overlay};

/// The largest width and height of an image on the sheet, in pixels.
const SIDES_MAX: [u32; 2] = [232, 256];
/// The gap between an image and the same with its labels, in pixels.
const SEAM: u32 = 2;
/// The gap between pairs, in pixels.
const GAP: u32 = 12;
/// The colour of the background.
const PAPER: Rgb<u8> = Rgb([24, 24, 27]);
/// The two colours of the stripes that half cover ignored pixels.
const STRIPES: [u8; 2] = [90, 170];
/// The width of a light and a dark stripe, in pixels.
const STRIPES_PX: u32 = 8;

/// Draws an image as large as a sheet allows, and the same with its labels in the classes' colours.
#[derive(Clone, Debug)]
pub struct Pair {
    pub(crate) plain: RgbImage,
    drawn: RgbImage,
}

impl Pair {
    /// `palette` holds red, green and blue by class index. Ignored pixels are striped.
    ///
    /// # Errors
    /// When the labels have another size or one has no colour.
    pub fn new(image: &Rgb32FImage, labels: &GrayImage, palette: &[[u8; 3]]) -> Result<Self, OverlayError> {
        let (width, height) = (f64::from(image.width()), f64::from(image.height()));
        let [across, down] = SIDES_MAX.map(f64::from);
        let scale = (across / width).min(down / height).min(1.0);
        let [width, height] = [width, height].map(|side| ((side * scale).round() as u32).max(1));
        let image = imageops::resize(image, width, height, FilterType::Triangle);
        let labels = imageops::resize(labels, width, height, FilterType::Nearest);
        let plain = overlay(&image, &GrayImage::new(width, height), palette)?;
        let mut drawn = overlay(&image, &labels, palette)?;
        for (x, y, pixel) in drawn.enumerate_pixels_mut() {
            if labels.get_pixel(x, y)[0] == IGNORE_LABEL {
                let stripe = STRIPES[usize::from((x + y) % STRIPES_PX < STRIPES_PX / 2)];
                *pixel = Rgb(pixel.0.map(|value| value / 2 + stripe / 2));
            }
        }
        Ok(Self { plain, drawn })
    }
}

/// Lays out the pairs row by row, `columns` side by side.
pub fn sheet(pairs: &[Pair], columns: usize) -> RgbImage {
    let side = |of: fn(&RgbImage) -> u32| pairs.iter().map(|pair| of(&pair.plain)).max().unwrap_or(0);
    let (right, down) = (2 * side(RgbImage::width) + SEAM + GAP, side(RgbImage::height) + GAP);
    let (across, rows) = (pairs.len().min(columns), pairs.len().div_ceil(columns));
    let mut sheet = RgbImage::from_pixel(across as u32 * right + GAP, rows as u32 * down + GAP, PAPER);
    for (index, Pair { plain, drawn }) in pairs.iter().enumerate() {
        let left = i64::from((index % columns) as u32 * right + GAP);
        let top = i64::from((index / columns) as u32 * down + GAP);
        imageops::replace(&mut sheet, plain, left, top);
        imageops::replace(&mut sheet, drawn, left + i64::from(plain.width() + SEAM), top);
    }
    sheet
}

#[cfg(test)]
mod tests {
    use image::Luma;

    use super::*;

    #[test]
    fn a_pair_shows_the_image_its_labels_and_what_does_not_count() {
        let image = Rgb32FImage::from_pixel(30, 16, Rgb([200.0 / 255.0, 100.0 / 255.0, 52.0 / 255.0]));
        let labels = GrayImage::from_fn(30, 16, |x, _| Luma([[1, 0, IGNORE_LABEL][x as usize / 10]]));
        let pair = Pair::new(&image, &labels, &[[0; 3], [0, 255, 0]]).unwrap();
        let sheet = sheet(&[pair.clone(), pair.clone(), pair], 2);
        assert_eq!(sheet.dimensions(), (2 * (60 + SEAM + GAP) + GAP, 2 * (16 + GAP) + GAP));
        // The third pair begins the second row.
        let (left, y) = (GAP, GAP + 16 + GAP + 8);
        for (name, x, expected) in [
            ("the image", 2, vec![[200, 100, 52]]),
            ("its target, tinted", 30 + SEAM + 2, vec![[150, 139, 103], [150, 139, 39]]),
            ("its background", 30 + SEAM + 15, vec![[200, 100, 52]]),
            ("what does not count, striped", 30 + SEAM + 25, vec![[145, 95, 71], [185, 135, 111]]),
            ("the paper", 2 * 30 + SEAM + 3, vec![PAPER.0]),
        ] {
            let found = sheet.get_pixel(left + x, y).0;
            assert!(expected.contains(&found), "{name}: {found:?}");
        }
        assert_eq!(*sheet.get_pixel(sheet.width() - 20, y), PAPER, "no fourth pair");
    }

    #[test]
    fn large_images_shrink_to_the_sheet() {
        for (name, size, expected) in [("wide", (2320, 160), (232, 16)), ("high", (100, 2560), (10, 256))] {
            let pair = Pair::new(&Rgb32FImage::new(size.0, size.1), &GrayImage::new(size.0, size.1), &[[0; 3]]);
            assert_eq!(pair.unwrap().drawn.dimensions(), expected, "{name}");
        }
    }
}
