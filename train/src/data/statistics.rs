//! Statistics of a set of images: the numbers that the contract and the augmentations start from.

use rayon::prelude::*;
use seg_contract::IGNORE_LABEL;
use seg_data::{ReadError, Sample, SampleError, open_image};

/// Mean and deviation of the images that are learned from, and the size of all that might be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Statistics {
    /// The mean of red, green and blue over the counted pixels, in [0, 1].
    pub mean: [f32; 3],
    /// The standard deviation about it.
    pub std: [f32; 3],
    /// The median of the shorter sides of all images that may be learned from, in pixels. It does
    /// not depend on the split, so that the folds of a cross-validation have one crop.
    pub short_side: u32,
}

/// The smallest deviation reported, a quarter of an 8-bit step, so that a constant channel can be
/// divided by it.
const STD_MIN: f64 = 0.25 / 255.0;

/// Sums over the pixels of one or more images.
#[derive(Clone, Copy, Default)]
struct Sums {
    count: u64,
    sum: [f64; 3],
    squares: [f64; 3],
}

impl Statistics {
    /// Computes the statistics of the pixels of `training` that are not ignored, and of the sizes
    /// of `all` training images.
    ///
    /// # Errors
    /// When a sample cannot be loaded, or the size of an image not be read.
    pub fn measure(training: &[Sample], all: &[Sample]) -> Result<Self, SampleError> {
        let parts: Vec<Sums> = training.par_iter().map(measure).collect::<Result<_, _>>()?;
        // Added in the order of the samples, so that the result does not depend on the threads.
        let total = parts.iter().fold(Sums::default(), |total, part| Sums {
            count: total.count + part.count,
            sum: std::array::from_fn(|channel| total.sum[channel] + part.sum[channel]),
            squares: std::array::from_fn(|channel| total.squares[channel] + part.squares[channel]),
        });
        let count = total.count.max(1) as f64;
        let mean = total.sum.map(|sum| sum / count);
        let std: [f64; 3] =
            std::array::from_fn(|channel| (total.squares[channel] / count - mean[channel].powi(2)).max(0.0).sqrt());
        let mut sides: Vec<u32> = all.par_iter().map(short_side).collect::<Result<_, _>>()?;
        sides.sort_unstable();
        let short_side = sides.get(sides.len() / 2).copied().unwrap_or(1);
        Ok(Self { mean: mean.map(|mean| mean as f32), std: std.map(|std| std.max(STD_MIN) as f32), short_side })
    }
}

/// Reads an image's shorter side, without its pixels.
fn short_side(sample: &Sample) -> Result<u32, ReadError> {
    let image = open_image(&sample.image)?;
    Ok(image.info().width.min(image.info().height))
}

/// Sums up one image's counted pixels.
fn measure(sample: &Sample) -> Result<Sums, SampleError> {
    let (image, labels) = sample.load()?;
    let mut sums = Sums::default();
    for (pixel, label) in image.pixels().zip(labels.pixels()) {
        if label[0] == IGNORE_LABEL {
            continue;
        }
        sums.count += 1;
        for channel in 0..3 {
            let value = f64::from(pixel[channel]);
            sums.sum[channel] += value;
            sums.squares[channel] += value * value;
        }
    }
    Ok(sums)
}
