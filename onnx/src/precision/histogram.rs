//! The choice of the range that the quantised form of a value covers.

use super::Range;

/// The method by which a range is chosen from the observed values.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum CalibrationMethod {
    /// All observed values.
    MinMax,
    /// All but the outermost hundred-thousandth on either side.
    Percentile,
    /// The part whose quantised distribution is nearest to the whole one, by the Kullback-Leibler
    /// divergence (Migacz, "8-bit inference with TensorRT", 2017, for ranges that need not be
    /// symmetric).
    Entropy,
}

/// The share of values that a percentile range leaves out on either side.
const OUTSIDE: f64 = 1e-5;
/// The bins that a distribution is divided into.
const BINS: usize = 2048;
/// The steps of 8 bits.
const LEVELS: usize = 255;
/// The smallest part of the whole range that is tried, and the number of parts from there to the
/// whole one.
const PART_MIN: f64 = 0.25;
const PARTS: usize = 76;

/// Chooses the range for values of which a sample was observed, and whose smallest and largest are
/// known.
///
/// If those are not finite, they are the range for every method: [`quantize`](super::quantize)
/// refuses it.
pub fn range(method: CalibrationMethod, sample: &mut [f32], whole: Range) -> Range {
    if !(whole.min.is_finite() && whole.max.is_finite()) {
        return whole;
    }
    match method {
        CalibrationMethod::MinMax => whole,
        CalibrationMethod::Percentile => percentile(sample, whole),
        CalibrationMethod::Entropy => entropy(sample, whole),
    }
}

fn percentile(sample: &mut [f32], whole: Range) -> Range {
    sample.sort_unstable_by(f32::total_cmp);
    let outside = (sample.len() as f64 * OUTSIDE).floor() as usize;
    match sample {
        [] => whole,
        _ => Range { min: sample[outside], max: sample[sample.len() - 1 - outside] },
    }
}

fn entropy(sample: &[f32], whole: Range) -> Range {
    if sample.is_empty() || whole.min >= whole.max {
        return whole;
    }
    // A range on one side of zero will be widened to it anyway.
    let whole = Range { min: whole.min.min(0.0), max: whole.max.max(0.0) };
    let width = f64::from(whole.max) - f64::from(whole.min);
    let mut histogram = vec![0.0; BINS];
    for value in sample {
        let place = (f64::from(*value) - f64::from(whole.min)) / width * BINS as f64;
        histogram[(place as usize).min(BINS - 1)] += 1.0;
    }
    let bin = |value: f64| ((value - f64::from(whole.min)) / width * BINS as f64).round() as usize;
    let distance = |min: f64, max: f64| divergence(&histogram, bin(min)..bin(max).clamp(bin(min) + 1, BINS));
    // One end after the other: a long tail on one side says nothing about the other.
    let max = nearest(f64::from(whole.max), |max| distance(f64::from(whole.min), max));
    let min = nearest(f64::from(whole.min), |min| distance(min, max));
    Range { min: min as f32, max: max as f32 }
}

/// Returns the end of the range with the smallest distance, the widest of equal ones.
fn nearest(end: f64, distance: impl Fn(f64) -> f64) -> f64 {
    let part = |index: usize| end * (PART_MIN + (1.0 - PART_MIN) * index as f64 / (PARTS - 1) as f64);
    let parts = (0..PARTS).map(|index| (part(index), distance(part(index))));
    parts.fold((end, f64::INFINITY), |best, part| if part.1 <= best.1 { part } else { best }).0
}

/// Returns the Kullback-Leibler divergence of the quantised distribution from the original one with
/// its ends cut. The quantised one has the bins outside of `inside` added to its ends, and the
/// others merged to [`LEVELS`] levels.
fn divergence(histogram: &[f64], inside: std::ops::Range<usize>) -> f64 {
    let mut cut = histogram[inside.clone()].to_vec();
    let last = cut.len() - 1;
    let quantized: Vec<_> = {
        let per_level = cut.len() as f64 / LEVELS as f64;
        let level = |bin: usize| ((bin as f64 / per_level) as usize).min(LEVELS - 1);
        let (mut sums, mut filled) = ([0.0; LEVELS], [0.0; LEVELS]);
        for (bin, count) in cut.iter().enumerate().filter(|(_, count)| **count > 0.0) {
            sums[level(bin)] += count;
            filled[level(bin)] += 1.0;
        }
        let spread =
            |(bin, count): (usize, &f64)| if *count > 0.0 { sums[level(bin)] / filled[level(bin)] } else { 0.0 };
        cut.iter().enumerate().map(spread).collect()
    };
    cut[0] += histogram[..inside.start].iter().sum::<f64>();
    cut[last] += histogram[inside.end..].iter().sum::<f64>();
    let [total, quantized_total] = [&cut, &quantized].map(|counts| counts.iter().sum::<f64>());
    let terms = cut.iter().zip(&quantized).filter(|(count, _)| **count > 0.0).map(|(count, quantized)| {
        // A value that is cut to an empty bin has a share that the quantised distribution does not
        // represent.
        let (p, q) = (count / total, quantized.max(1e-3) / quantized_total.max(1e-3));
        p * (p / q).ln()
    });
    terms.sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::example::Random;

    /// Creates values of a bell-shaped distribution within about -3 to 3, and one far outside.
    fn sample(outlier: f32) -> (Vec<f32>, Range) {
        let mut random = Random(6);
        let mut sample: Vec<f32> = (0..40_000).map(|_| (0..9).map(|_| random.number()).sum::<f32>()).collect();
        sample.push(outlier);
        let min = sample.iter().copied().fold(f32::INFINITY, f32::min);
        (sample, Range { min, max: outlier })
    }

    #[test]
    fn an_outlier_widens_the_range_of_min_and_max_only() {
        let (mut values, whole) = sample(40.0);
        let reach = |method, values: &mut Vec<f32>| range(method, values, whole).max;
        assert_eq!(reach(CalibrationMethod::MinMax, &mut values), 40.0);
        let entropy = reach(CalibrationMethod::Entropy, &mut values);
        assert!(entropy < 12.0, "entropy: {entropy}");
        // One of 40001 is more than a hundred-thousandth, so it counts; one of more values does
        // not.
        assert_eq!(reach(CalibrationMethod::Percentile, &mut values), 40.0);
        let mut more = [values.clone(), values[..39_000].to_vec(), values[..39_000].to_vec()].concat();
        let percentile = reach(CalibrationMethod::Percentile, &mut more);
        assert!(percentile < 9.0, "percentile: {percentile}");
    }

    #[test]
    fn a_flat_distribution_is_kept_whole() {
        let mut flat: Vec<f32> = (0..10_000).map(|i| i as f32 / 10_000.0 - 0.5).collect();
        let whole = Range { min: -0.5, max: 0.4999 };
        let entropy = range(CalibrationMethod::Entropy, &mut flat, whole);
        assert!(entropy.max > 0.49 && entropy.min < -0.49, "{entropy:?}");
    }

    #[test]
    fn a_range_that_is_not_finite_stays_so() {
        for end in [f32::NAN, f32::INFINITY] {
            for method in [CalibrationMethod::MinMax, CalibrationMethod::Percentile, CalibrationMethod::Entropy] {
                for whole in [Range { min: end, max: end }, Range { min: -end, max: 1.0 }] {
                    let Range { min, max } = range(method, &mut [0.5, 1.0, -0.5], whole);
                    assert!(!(min.is_finite() && max.is_finite()), "{method:?} of {whole:?}: {min} to {max}");
                }
            }
        }
    }

    #[test]
    fn nothing_and_one_value_have_the_range_they_are_given() {
        let whole = Range { min: 2.0, max: 2.0 };
        for method in [CalibrationMethod::MinMax, CalibrationMethod::Percentile, CalibrationMethod::Entropy] {
            assert_eq!(range(method, &mut [], whole), whole, "{method:?}");
            assert_eq!(range(method, &mut [2.0], whole), whole, "{method:?}");
        }
    }
}
