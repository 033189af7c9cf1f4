//! Images whose values are unlike those that a model has learned from.

use crate::{Input, Pixels, Samples};

/// The distance of an image's mean from the model's beyond which it is unlike, in the model's
/// deviations.
const DISTANCE_MAX: f64 = 3.0;
/// The deviation of an image below which it is unlike, as a share of the model's.
const SPREAD_MIN: f64 = 0.1;

/// The values of an image that is unlike those that a model has learned from, over all channels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unlike {
    /// The mean of the values, in [0, 1].
    pub mean: f64,
    /// Their standard deviation.
    pub deviation: f64,
    /// The mean that the model expects.
    pub expected_mean: f64,
    /// The deviation that the model expects.
    pub expected_deviation: f64,
}

impl Input {
    /// Compares the values of an image with the mean and deviation of the training images; `None`
    /// if they may be of the same kind.
    ///
    /// An image is unlike them if its mean is more than three deviations away, or its own deviation
    /// is less than a tenth of theirs, as that of 12 bits in a file of 16.
    pub fn unlike<'a>(&self, image: impl Into<Pixels<'a>>) -> Option<Unlike> {
        let average =
            |values: &[f32]| values.iter().map(|value| f64::from(*value)).sum::<f64>() / values.len().max(1) as f64;
        let (expected_mean, expected_deviation) = (average(&self.mean), average(&self.std));
        let (mean, deviation) = match image.into().samples() {
            Samples::Bits8(pixels) => moments_of_integers(pixels.as_flattened(), u8::MAX),
            Samples::Bits16(pixels) => moments_of_integers(pixels.as_flattened(), u16::MAX),
            Samples::Float(pixels) => moments(pixels.as_flattened()),
        };
        let is_far = (mean - expected_mean).abs() > DISTANCE_MAX * expected_deviation;
        let is_flat = deviation < SPREAD_MIN * expected_deviation;
        (is_far || is_flat).then_some(Unlike { mean, deviation, expected_mean, expected_deviation })
    }

    /// Returns the step between two bytes as a share of the smallest deviation of a channel: the
    /// rounding that an input of bytes costs.
    pub fn byte_share(&self) -> f32 {
        self.std.iter().map(|std| 1.0 / (255.0 * std)).fold(0.0, f32::max)
    }
}

impl Unlike {
    /// Describes how many of some images are unlike those that a model has learned from; `first` is
    /// one of them.
    pub fn sentence(&self, unlike: usize, of: usize, first: &str) -> String {
        let Self { mean, deviation, expected_mean, expected_deviation } = self;
        format!(
            "{unlike} of {of} images have other values than those that the model has learned from: `{first}` has a mean of \
             {mean:.3} and a deviation of {deviation:.3}, the model expects about {expected_mean:.3} and \
             {expected_deviation:.3}; are they of another depth (10 or 12 bits in 16), inverted, or of another kind?"
        )
    }
}

/// Returns the mean and the deviation of values.
fn moments(values: &[f32]) -> (f64, f64) {
    let count = values.len().max(1) as f64;
    let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / count;
    let squares = values.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>();
    (mean, (squares / count).sqrt())
}

/// Returns the mean and the deviation of integers as shares of the largest, from exact sums in one
/// pass.
fn moments_of_integers<T: Copy + Into<u64>>(values: &[T], largest: T) -> (f64, f64) {
    let (mut sum, mut squares) = (0_u64, 0_u64);
    for value in values {
        let value: u64 = (*value).into();
        sum += value;
        squares += value * value;
    }
    let (count, largest) = (values.len().max(1) as f64, largest.into() as f64);
    // The difference of two numbers of up to 96 bits, which floats would round.
    let spread = u128::from(squares) * values.len() as u128 - u128::from(sum).pow(2);
    (sum as f64 / count / largest, (spread as f64).sqrt() / count / largest)
}

#[cfg(test)]
mod tests {
    use image::{ImageBuffer, Rgb, Rgb32FImage, RgbImage};

    use super::*;

    #[test]
    fn images_of_another_depth_or_brightness_are_unlike() {
        let mut input = crate::example::contract().input;
        (input.mean, input.std) = (vec![0.4, 0.5, 0.6], vec![0.2; 3]);
        let waves = |scale: f32, base: f32| {
            Rgb32FImage::from_fn(64, 64, |x, y| Rgb([base + scale * ((x * 7 + y * 13) % 64) as f32 / 64.0; 3]))
        };
        for (name, image, unlike) in [
            ("of the same kind", waves(0.7, 0.1), false),
            ("darker", waves(0.4, 0.05), false),
            ("of low contrast", waves(0.15, 0.5), false),
            ("12 bits in 16", waves(0.7 / 16.0, 0.1 / 16.0), true),
            ("10 bits in 16", waves(0.7 / 64.0, 0.1 / 64.0), true),
            ("of one value", waves(0.0, 0.5), true),
        ] {
            assert_eq!(input.unlike(&image).is_some(), unlike, "{name}");
            let bytes =
                RgbImage::from_fn(64, 64, |x, y| Rgb(image.get_pixel(x, y).0.map(|value| (value * 255.0) as u8)));
            assert_eq!(input.unlike(&bytes).is_some(), unlike, "{name}, 8 bits");
            let words: ImageBuffer<Rgb<u16>, Vec<u16>> =
                ImageBuffer::from_fn(64, 64, |x, y| Rgb(image.get_pixel(x, y).0.map(|value| (value * 65535.0) as u16)));
            assert_eq!(input.unlike(&words).is_some(), unlike, "{name}, 16 bits");
        }
        let found = input.unlike(&waves(0.0, 0.0)).unwrap();
        let text = found.sentence(2, 3, "a");
        assert!(text.starts_with("2 of 3 images") && text.contains("`a` has a mean of 0.000"), "{text}");
        // The mean of 0 and 1 is 0.5, and so is their deviation.
        let halves = RgbImage::from_fn(2, 1, |x, _| Rgb([255 * x as u8; 3]));
        (input.mean, input.std) = (vec![9.0; 3], vec![0.2; 3]);
        let Unlike { mean, deviation, .. } = input.unlike(&halves).unwrap();
        assert!((mean - 0.5).abs() < 1e-12 && (deviation - 0.5).abs() < 1e-12, "{mean} and {deviation}");
        input.std[1] = 0.01;
        assert!((input.byte_share() - 1.0 / 2.55).abs() < 1e-6);
    }
}
