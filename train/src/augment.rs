//! The random views of an image that training sees: scale, flips and a crop, as the recipe has them.

use image::imageops::{self, FilterType};
use image::{GrayImage, Luma, Rgb, Rgb32FImage};
use rand::Rng;
use seg_onnx::contract::IGNORE_LABEL;
use serde::{Deserialize, Serialize};

/// Random scale, flips and crop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augmentation {
    /// The shorter side that a scale of 1 stands for, in pixels.
    pub short_side: u32,
    /// The smallest scale.
    pub scale_min: f64,
    /// The largest scale.
    pub scale_max: f64,
    /// The probability of mirroring left and right.
    pub flip_horizontal: f64,
    /// The probability of mirroring top and bottom.
    pub flip_vertical: f64,
    /// Height and width of the crop, in pixels.
    pub crop: [u32; 2],
}

impl Augmentation {
    /// The recipe's: scales 0.7 to 1.3 and both flips with probability 0.5.
    pub fn recipe(short_side: u32, crop: [u32; 2]) -> Self {
        Self { short_side, scale_min: 0.7, scale_max: 1.3, flip_horizontal: 0.5, flip_vertical: 0.5, crop }
    }

    /// A random view of an image and its labels, of the crop's size.
    ///
    /// Where the scaled image is smaller than the crop, black pixels labelled [`IGNORE_LABEL`] are added to the right and
    /// below.
    pub fn view(&self, image: &Rgb32FImage, labels: &GrayImage, rng: &mut impl Rng) -> (Rgb32FImage, GrayImage) {
        let [width, height] = self.scaled(image.dimensions(), rng);
        let mut image = imageops::resize(image, width, height, FilterType::Triangle);
        let mut labels = imageops::resize(labels, width, height, FilterType::Nearest);
        if rng.random_bool(self.flip_horizontal) {
            imageops::flip_horizontal_in_place(&mut image);
            imageops::flip_horizontal_in_place(&mut labels);
        }
        if rng.random_bool(self.flip_vertical) {
            imageops::flip_vertical_in_place(&mut image);
            imageops::flip_vertical_in_place(&mut labels);
        }
        let [crop_height, crop_width] = self.crop;
        let left = rng.random_range(0..=width.saturating_sub(crop_width));
        let top = rng.random_range(0..=height.saturating_sub(crop_height));
        let inside = |x: u32, y: u32| (left + x < width && top + y < height).then_some((left + x, top + y));
        let view = Rgb32FImage::from_fn(crop_width, crop_height, |x, y| {
            inside(x, y).map_or(Rgb([0.0; 3]), |(x, y)| *image.get_pixel(x, y))
        });
        let labels = GrayImage::from_fn(crop_width, crop_height, |x, y| {
            inside(x, y).map_or(Luma([IGNORE_LABEL]), |(x, y)| *labels.get_pixel(x, y))
        });
        (view, labels)
    }

    /// Width and height at a random scale, in the image's own proportions.
    fn scaled(&self, (width, height): (u32, u32), rng: &mut impl Rng) -> [u32; 2] {
        let bound = |scale: f64| (f64::from(self.short_side) * scale).round().max(1.0) as u32;
        let short = rng.random_range(bound(self.scale_min)..=bound(self.scale_max));
        let factor = f64::from(short) / f64::from(width.min(height));
        [width, height].map(|side| (f64::from(side) * factor).round().max(1.0) as u32)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// An image whose red channel is its labels, so that the two can be seen to move together.
    fn marked(width: u32, height: u32) -> (Rgb32FImage, GrayImage) {
        let labels = GrayImage::from_fn(width, height, |x, y| Luma([u8::from(x > width / 3 && y > height / 2)]));
        let image = Rgb32FImage::from_fn(width, height, |x, y| Rgb([f32::from(labels.get_pixel(x, y)[0]), 0.5, 1.0]));
        (image, labels)
    }

    #[test]
    fn image_and_labels_move_together() {
        let (image, labels) = marked(90, 60);
        let augmentation = Augmentation::recipe(60, [48, 48]);
        for seed in 0..20 {
            let (image, labels) = augmentation.view(&image, &labels, &mut ChaCha8Rng::seed_from_u64(seed));
            let pairs = image.pixels().zip(labels.pixels()).filter(|(_, label)| label[0] != IGNORE_LABEL);
            let (mut counted, mut apart) = (0, 0);
            for (pixel, label) in pairs {
                counted += 1;
                apart += usize::from((pixel[0] - f32::from(label[0])).abs() > 0.5);
            }
            // Along the border of the region the two filters may round to different sides.
            assert!(apart * 50 <= counted, "seed {seed}: {apart} of {counted} pixels differ");
        }
    }

    #[test]
    fn what_lies_beyond_the_image_is_ignored() {
        let (image, labels) = marked(20, 20);
        let augmentation = Augmentation::recipe(20, [64, 64]);
        let (view, labels) = augmentation.view(&image, &labels, &mut ChaCha8Rng::seed_from_u64(1));
        for (x, y, label) in labels.enumerate_pixels() {
            assert_eq!(label[0] == IGNORE_LABEL, view.get_pixel(x, y)[2] == 0.0, "{x},{y}");
        }
        assert_eq!(labels.get_pixel(63, 63)[0], IGNORE_LABEL);
    }

    #[test]
    fn a_seed_gives_one_view() {
        let (image, labels) = marked(50, 70);
        let augmentation = Augmentation::recipe(50, [32, 32]);
        let view = |seed| augmentation.view(&image, &labels, &mut ChaCha8Rng::seed_from_u64(seed));
        assert_eq!(view(3), view(3));
        assert_ne!(view(3), view(4));
    }
}
