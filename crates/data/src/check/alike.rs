//! Likeness of images: whether two of them show the same thing although their files differ.

use image::DynamicImage;
use image::imageops::thumbnail;

use crate::colors::to_luma8;

/// The number of rows of the difference hash, and of bits in each.
///
/// At the customary 8, images of one kind look the same: so few bits only see a dark lesion in the
/// middle or the round border of an eye.
const HASH_SIDE: u32 = 16;
/// The largest number of the hash's 256 bits in which images that look alike differ.
const DISTANCE_MAX: u32 = 20;
/// The side of the small picture that is correlated.
const SMALL_SIDE: u32 = 32;
/// The least correlation of the small pictures of images that look alike.
///
/// It is needed for dark images, in which most of the hash is noise or empty and agrees by chance.
const CORRELATION_MIN: f32 = 0.97;

/// The coarse look of an image.
pub(super) struct Look {
    /// A grid of bits, set where the image becomes brighter to the right.
    hash: [u16; HASH_SIDE as usize],
    /// A small grey picture of mean 0 and length 1; all zeros if the image has one value.
    small: Vec<f32>,
}

impl Look {
    pub(super) fn new(image: &DynamicImage) -> Self {
        let gray = to_luma8(image);
        let grid = thumbnail(&gray, HASH_SIDE + 1, HASH_SIDE);
        let brighter = |x, y| u16::from(grid.get_pixel(x, y)[0] < grid.get_pixel(x + 1, y)[0]);
        let row = |y| (0..HASH_SIDE).fold(0, |bits, x| (bits << 1) | brighter(x, y));
        let hash = std::array::from_fn(|y| row(y as u32));

        let mut small: Vec<f32> =
            thumbnail(&gray, SMALL_SIDE, SMALL_SIDE).iter().map(|value| f32::from(*value)).collect();
        let mean = small.iter().sum::<f32>() / small.len() as f32;
        small.iter_mut().for_each(|value| *value -= mean);
        let length = small.iter().map(|value| value * value).sum::<f32>().sqrt();
        if length > 0.0 {
            small.iter_mut().for_each(|value| *value /= length);
        }
        Self { hash, small }
    }

    /// Returns true if both the hashes and the small pictures agree. They do for images that were
    /// resized, compressed again, or changed in brightness or colour, and not for those that were
    /// rotated, mirrored or cropped.
    pub(super) fn is_alike(&self, other: &Self) -> bool {
        let distance: u32 = self.hash.iter().zip(&other.hash).map(|(one, other)| (one ^ other).count_ones()).sum();
        distance <= DISTANCE_MAX
            && self.small.iter().zip(&other.small).map(|(one, other)| one * other).sum::<f32>() >= CORRELATION_MIN
    }
}

#[cfg(test)]
mod tests {
    use image::imageops::FilterType;
    use image::{Rgb, RgbImage};

    use super::*;

    /// Creates a picture of smooth waves.
    fn waves(phase: f32) -> RgbImage {
        RgbImage::from_fn(120, 90, |x, y| {
            let wave =
                |step: f32| ((x as f32 * 0.11 + phase).sin() + (y as f32 * 0.07 * step + phase).cos()) * 50.0 + 110.0;
            Rgb([wave(1.0) as u8, wave(1.5) as u8, wave(2.0) as u8])
        })
    }

    #[test]
    fn copies_that_were_changed_are_alike_and_other_images_are_not() {
        let picture = DynamicImage::from(waves(0.0));
        let darker = DynamicImage::from(waves(0.0)).brighten(-40);
        for (name, other, alike) in [
            ("itself", picture.clone(), true),
            ("smaller", picture.resize_exact(77, 66, FilterType::Triangle), true),
            ("darker", darker, true),
            ("blurred", picture.blur(1.0), true),
            ("another", waves(2.0).into(), false),
            ("mirrored", picture.fliph(), false),
            ("of one value", RgbImage::new(120, 90).into(), false),
        ] {
            assert_eq!(Look::new(&picture).is_alike(&Look::new(&other)), alike, "{name}");
        }
        let blank = DynamicImage::from(RgbImage::new(9, 9));
        assert!(!Look::new(&blank).is_alike(&Look::new(&blank)), "images of one value say nothing");
    }
}
