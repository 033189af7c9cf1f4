//! Statistics of a set of images: the numbers that the contract and the augmentations start from.

use rayon::prelude::*;
use seg_contract::IGNORE_LABEL;
use seg_data::{Sample, SampleError};

/// Mean and deviation of the images that are learned from, and the size of all that might be.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// The mean of red, green and blue over the counted pixels, in [0, 1].
    pub mean: [f32; 3],
    /// The standard deviation about it.
    pub std: [f32; 3],
    /// The median of the shorter sides of all images that may be learned from, in pixels. It does
    /// not depend on the split, so that the folds of a cross-validation have one crop.
    pub short_side: u32,
    /// The medians of their heights and widths, in pixels.
    pub median: [u32; 2],
    /// The counted pixels of each class in the images that are learned from.
    pub class_pixels: Vec<u64>,
}

/// The most that a class weighs, in times the least.
const WEIGHT_RATIO_MAX: f64 = 50.0;

/// The smallest deviation reported, a quarter of an 8-bit step, so that a constant channel can be
/// divided by it.
const STD_MIN: f64 = 0.25 / 255.0;

/// Sums over the pixels of one or more images.
#[derive(Clone, Default)]
struct Sums {
    /// By label, up to the last that occurs.
    labels: Vec<u64>,
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
            labels: added(total.labels, &part.labels),
            count: total.count + part.count,
            sum: std::array::from_fn(|channel| total.sum[channel] + part.sum[channel]),
            squares: std::array::from_fn(|channel| total.squares[channel] + part.squares[channel]),
        });
        let count = total.count.max(1) as f64;
        let mean = total.sum.map(|sum| sum / count);
        let std: [f64; 3] =
            std::array::from_fn(|channel| (total.squares[channel] / count - mean[channel].powi(2)).max(0.0).sqrt());
        let sizes: Vec<[u32; 2]> = all.par_iter().map(size).collect::<Result<_, _>>()?;
        let short_side = median(sizes.iter().map(|size| size[0].min(size[1])));
        let median = [0, 1].map(|axis| median(sizes.iter().map(|size| size[axis])));
        let (mean, std) = (mean.map(|mean| mean as f32), std.map(|std| std.max(STD_MIN) as f32));
        Ok(Self { mean, std, short_side, median, class_pixels: total.labels })
    }

    /// Returns weights of the classes that balance them: the inverse of each one's share of the
    /// counted pixels, scaled so that their mean is 1.
    ///
    /// None is more than 50 times another: a class of a few pixels would drown the others.
    pub fn balanced_weights(&self, classes: usize) -> Vec<f32> {
        let pixels = |class: usize| self.class_pixels.get(class).copied().unwrap_or_default() as f64;
        let most = (0..classes).map(pixels).fold(1.0, f64::max);
        let inverse = |class: usize| (most / pixels(class).max(1.0)).min(WEIGHT_RATIO_MAX);
        let sum: f64 = (0..classes).map(inverse).sum();
        (0..classes).map(|class| (inverse(class) * classes as f64 / sum) as f32).collect()
    }
}

/// Adds counts by label.
fn added(mut counts: Vec<u64>, others: &[u64]) -> Vec<u64> {
    counts.resize(counts.len().max(others.len()), 0);
    counts.iter_mut().zip(others).for_each(|(count, other)| *count += other);
    counts
}

/// Reads the height and width at which the network sees an image, without its pixels.
fn size(sample: &Sample) -> Result<[u32; 2], SampleError> {
    Ok(sample.seen_size()?.map(|side| side as u32))
}

/// Returns the median, the larger of two in the middle; 1 of nothing.
fn median(sides: impl Iterator<Item = u32>) -> u32 {
    let mut sides: Vec<u32> = sides.collect();
    sides.sort_unstable();
    sides.get(sides.len() / 2).copied().unwrap_or(1)
}

/// Sums up one image's counted pixels.
fn measure(sample: &Sample) -> Result<Sums, SampleError> {
    let (image, labels) = sample.load_seen()?;
    let mut sums = Sums::default();
    for (pixel, label) in image.pixels().zip(labels.pixels()) {
        if label[0] == IGNORE_LABEL {
            continue;
        }
        sums.count += 1;
        let label = usize::from(label[0]);
        if sums.labels.len() <= label {
            sums.labels.resize(label + 1, 0);
        }
        sums.labels[label] += 1;
        for channel in 0..3 {
            let value = f64::from(pixel[channel]);
            sums.sum[channel] += value;
            sums.squares[channel] += value * value;
        }
    }
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn balanced_weights_are_inverse_shares_within_a_limit() {
        let statistics = |class_pixels: Vec<u64>| Statistics {
            mean: [0.0; 3],
            std: [1.0; 3],
            short_side: 1,
            median: [1; 2],
            class_pixels,
        };
        let close = |found: Vec<f32>, expected: &[f32]| {
            assert_eq!(found.len(), expected.len());
            assert!(
                found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-5),
                "{found:?} {expected:?}"
            );
        };
        close(statistics(vec![90, 10]).balanced_weights(2), &[0.2, 1.8]);
        // 1, 2 and, in place of a thousand, 50.
        close(statistics(vec![1000, 500, 1]).balanced_weights(3), &[3.0 / 53.0, 6.0 / 53.0, 150.0 / 53.0]);
        // A class that never occurs counts as a pixel, whose weight no pixel takes.
        close(statistics(vec![7]).balanced_weights(2), &[0.25, 1.75]);
    }
}
