//! Pictures in a report: the error map, and pictures embedded in the page.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use image::imageops::{self, FilterType};
use image::{GrayImage, Rgb, Rgb32FImage, RgbImage};
use seg_contract::IGNORE_LABEL;
use seg_data::jpeg_bytes;

/// The longer side of a picture in a report, in pixels.
const SIDE_MAX: u32 = 512;
/// The quality of pictures, high enough that the error map's colours stay distinct.
const JPEG_QUALITY: u8 = 88;

/// A way in which a pixel is right or wrong, with its colour in the error map.
pub(crate) struct Outcome {
    /// The name in the legend.
    pub(crate) name: &'static str,
    /// The colour: light grey, orange, sky blue or purple of Okabe and Ito, which colour-blind
    /// readers can distinguish.
    pub(crate) color: [u8; 3],
}

pub(crate) const FOUND: Outcome = Outcome { name: "found", color: [232, 232, 232] };
pub(crate) const TOO_MUCH: Outcome = Outcome { name: "too much (false positive)", color: [230, 159, 0] };
pub(crate) const MISSED: Outcome = Outcome { name: "missed (false negative)", color: [86, 180, 233] };
pub(crate) const MIXED_UP: Outcome = Outcome { name: "taken for another class", color: [204, 121, 167] };

/// Draws where prediction and truth agree and differ, on the darkened image; ignored pixels are
/// darker still.
///
/// All three have one size.
pub(crate) fn error_map(image: &Rgb32FImage, truth: &GrayImage, prediction: &GrayImage) -> RgbImage {
    RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let [red, green, blue] = image.get_pixel(x, y).0;
        let luminance = 255.0 * (0.2126 * red + 0.7152 * green + 0.0722 * blue);
        let gray = |share: f32| Rgb([(share * luminance) as u8; 3]);
        match (truth.get_pixel(x, y)[0], prediction.get_pixel(x, y)[0]) {
            (IGNORE_LABEL, _) => gray(0.15),
            (0, 0) => gray(0.5),
            (0, _) => Rgb(TOO_MUCH.color),
            (_, 0) => Rgb(MISSED.color),
            (truth, prediction) if truth == prediction => Rgb(FOUND.color),
            _ => Rgb(MIXED_UP.color),
        }
    })
}

/// Resizes a picture for a report; small ones are unchanged.
pub(crate) fn shrink(picture: &RgbImage) -> RgbImage {
    let (width, height) = picture.dimensions();
    if width.max(height) <= SIDE_MAX {
        return picture.clone();
    }
    let scale = f64::from(SIDE_MAX) / f64::from(width.max(height));
    let [width, height] = [width, height].map(|side| (f64::from(side) * scale).round().max(1.0) as u32);
    imageops::resize(picture, width, height, FilterType::Triangle)
}

/// Encodes a reduced picture as the address of an image element.
pub(crate) fn address(picture: &RgbImage) -> String {
    let bytes = jpeg_bytes(picture, JPEG_QUALITY).expect("a picture of a report is small and not empty");
    format!("data:image/jpeg;base64,{}", BASE64_STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_has_its_color() {
        let image = Rgb32FImage::from_pixel(6, 1, Rgb([1.0; 3]));
        let truth = GrayImage::from_raw(6, 1, vec![0, 0, 1, 1, 1, IGNORE_LABEL]).unwrap();
        let prediction = GrayImage::from_raw(6, 1, vec![0, 1, 0, 1, 2, 1]).unwrap();
        let map = error_map(&image, &truth, &prediction);
        let expected = [
            ("right ground", [127; 3]),
            ("too much", TOO_MUCH.color),
            ("missed", MISSED.color),
            ("found", FOUND.color),
        ]
        .into_iter()
        .chain([("another class", MIXED_UP.color), ("ignored", [38; 3])]);
        for (x, (name, color)) in expected.enumerate() {
            assert_eq!(map.get_pixel(x as u32, 0).0, color, "{name}");
        }
    }

    #[test]
    fn pictures_keep_their_proportions() {
        for (size, expected) in [((100, 30), (100, 30)), ((2048, 1024), (512, 256)), ((10_000, 3), (512, 1))] {
            assert_eq!(shrink(&RgbImage::new(size.0, size.1)).dimensions(), expected);
        }
        assert!(address(&RgbImage::new(2, 2)).starts_with("data:image/jpeg;base64,/9j/"));
    }
}
