//! The effect of each threshold on the target's probability, for models of two classes.

use image::GrayImage;
use ndarray::ArrayView3;
use seg_contract::IGNORE_LABEL;
use serde::Serialize;

use crate::calibration::{ShapeError, check_shape};

/// The number of steps between thresholds from 0 to 1. Counts are exact at each step.
pub const THRESHOLD_STEPS: usize = 1000;

/// The number of bins in which pixels are ranked for the areas under the curves; within a bin they
/// count as tied.
///
/// They are of equal width in the logarithm of the odds, 1/64 each, because most probabilities of a
/// network are close to 0 or 1.
pub const RANK_BINS: usize = 2560;
const RANK_BINS_PER_UNIT: f64 = 64.0;

/// Counts of pixels by the target's probability and the truth, added image by image in memory of
/// constant size.
///
/// The target is class 1 of two. A threshold selects the pixels whose probability is at least as
/// large.
#[derive(Clone, Debug)]
pub struct ThresholdSweep {
    /// The pixels of the background and of the target by `floor(probability * THRESHOLD_STEPS)`.
    steps: Vec<[u64; 2]>,
    /// The same pixels by the logarithm of the odds, in ascending order.
    ranks: Vec<[u64; 2]>,
}

/// The results of all thresholds, from the counted pixels of all images together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SweepSummary {
    /// The threshold with the largest Dice, to one step of [`THRESHOLD_STEPS`]; the lowest on a
    /// tie.
    pub best: OperatingPoint,
    /// The area under the receiver operating characteristic; `None` unless both classes occur.
    pub roc_auc: Option<f64>,
    /// The average precision, `sum (R_n - R_(n-1)) P_n`; `None` if the target does not occur.
    pub average_precision: Option<f64>,
    /// The results at every hundredth from 0.01 to 0.99.
    pub thresholds: Vec<OperatingPoint>,
}

/// The result of one threshold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct OperatingPoint {
    /// The least probability that counts as the target.
    pub threshold: f64,
    /// `2 TP / (2 TP + FP + FN)`; 1 if the target neither occurs nor is predicted.
    pub dice: f64,
    /// `TP / (TP + FN)`; `None` if the target does not occur.
    pub sensitivity: Option<f64>,
    /// `TN / (TN + FP)`; `None` if the background does not occur.
    pub specificity: Option<f64>,
    /// `TP / (TP + FP)`; `None` if nothing is predicted as the target.
    pub precision: Option<f64>,
}

impl Default for ThresholdSweep {
    fn default() -> Self {
        Self { steps: vec![[0; 2]; THRESHOLD_STEPS + 1], ranks: vec![[0; 2]; RANK_BINS] }
    }
}

impl ThresholdSweep {
    /// Adds the counted pixels of one image; `probabilities` are `[2, height, width]`.
    ///
    /// # Errors
    /// When the shape does not follow from the truth; nothing is added then.
    ///
    /// # Panics
    /// When a true label is neither 0 nor 1 nor ignored.
    pub fn add(&mut self, probabilities: ArrayView3<'_, f32>, truth: &GrayImage) -> Result<(), ShapeError> {
        check_shape(probabilities, truth, 2)?;
        for (x, y, label) in truth.enumerate_pixels().filter(|(_, _, label)| label[0] != IGNORE_LABEL) {
            let [ground, target] = [0, 1].map(|class| f64::from(probabilities[[class, y as usize, x as usize]]));
            let label = usize::from(label[0]);
            self.steps[((target * THRESHOLD_STEPS as f64) as usize).min(THRESHOLD_STEPS)][label] += 1;
            // The odds of both probabilities distinguish pixels that are all 1 to an `f32`.
            let rank = (target / ground).ln() * RANK_BINS_PER_UNIT + (RANK_BINS / 2) as f64;
            self.ranks[(rank.max(0.0) as usize).min(RANK_BINS - 1)][label] += 1;
        }
        Ok(())
    }

    /// Summarises the pixels added so far.
    pub fn summary(&self) -> SweepSummary {
        let thresholds = self.operating_points();
        let best = |best: OperatingPoint, point: &OperatingPoint| if point.dice > best.dice { *point } else { best };
        let (roc_auc, average_precision) = areas(&self.ranks);
        SweepSummary {
            best: thresholds[1..].iter().fold(thresholds[0], best),
            roc_auc,
            average_precision,
            thresholds: (1..100).map(|hundredth| thresholds[hundredth * THRESHOLD_STEPS / 100 - 1]).collect(),
        }
    }

    /// Returns the points of the receiver operating characteristic, `(1 - specificity,
    /// sensitivity)` from (0, 0) to (1, 1).
    ///
    /// They are empty unless both classes occur.
    pub fn roc(&self) -> Vec<(f64, f64)> {
        let [ground, target] = totals(&self.ranks);
        if ground.min(target) == 0 {
            return Vec::new();
        }
        let counts = std::iter::once([0; 2]).chain(cumulated(&self.ranks));
        counts
            .map(|[false_positives, true_positives]| {
                (false_positives as f64 / ground as f64, true_positives as f64 / target as f64)
            })
            .collect()
    }

    /// Returns the points of the precision-recall curve, `(sensitivity, precision)` by falling
    /// threshold.
    ///
    /// They are empty if the target does not occur.
    pub fn precision_recall(&self) -> Vec<(f64, f64)> {
        let [_, target] = totals(&self.ranks);
        if target == 0 {
            return Vec::new();
        }
        let counts = cumulated(&self.ranks).filter(|counts| counts.iter().sum::<u64>() > 0);
        counts
            .map(|[false_positives, true_positives]| {
                let precision = true_positives as f64 / (false_positives + true_positives) as f64;
                (true_positives as f64 / target as f64, precision)
            })
            .collect()
    }

    /// Lists the result of each step except 0, at which every pixel is the target.
    fn operating_points(&self) -> Vec<OperatingPoint> {
        let [ground, target] = totals(&self.steps);
        let mut above = [ground, target];
        let mut points = Vec::with_capacity(THRESHOLD_STEPS);
        for (step, below) in (1..=THRESHOLD_STEPS).zip(&self.steps) {
            above = [above[0] - below[0], above[1] - below[1]];
            let [false_positives, true_positives] = above;
            let predicted = false_positives + true_positives;
            points.push(OperatingPoint {
                threshold: step as f64 / THRESHOLD_STEPS as f64,
                dice: share(2 * true_positives, predicted + target).unwrap_or(1.0),
                sensitivity: share(true_positives, target),
                specificity: share(ground - false_positives, ground),
                precision: share(true_positives, predicted),
            });
        }
        points
    }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn totals(bins: &[[u64; 2]]) -> [u64; 2] {
    bins.iter().fold([0; 2], |sum, bin| [sum[0] + bin[0], sum[1] + bin[1]])
}

/// Accumulates false and true positives, from the most probable bin on.
fn cumulated(bins: &[[u64; 2]]) -> impl Iterator<Item = [u64; 2]> {
    bins.iter().rev().filter(|bin| bin[0] + bin[1] > 0).scan([0; 2], |sum, bin| {
        *sum = [sum[0] + bin[0], sum[1] + bin[1]];
        Some(*sum)
    })
}

/// Returns the area under the receiver operating characteristic, by trapezoids, and the average
/// precision.
fn areas(ranks: &[[u64; 2]]) -> (Option<f64>, Option<f64>) {
    let [ground, target] = totals(ranks).map(|count| count as f64);
    let (mut roc, mut precision) = (0.0, 0.0);
    let mut last = [0.0; 2];
    for counts in cumulated(ranks) {
        let [false_positives, true_positives] = counts.map(|count| count as f64);
        let found = true_positives - last[1];
        roc += (false_positives - last[0]) * f64::midpoint(true_positives, last[1]);
        precision += found * true_positives / (false_positives + true_positives);
        last = [false_positives, true_positives];
    }
    let area = |sum: f64, whole: f64| (whole > 0.0).then(|| sum / whole);
    (area(roc, ground * target), area(precision, target))
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;

    /// Creates a row of pixels from the target's probability and the truth.
    fn sweep(pixels: &[(f32, u8)]) -> ThresholdSweep {
        let probabilities =
            Array3::from_shape_fn(
                (2, 1, pixels.len()),
                |(class, _, x)| {
                    if class == 1 { pixels[x].0 } else { 1.0 - pixels[x].0 }
                },
            );
        let truth = pixels.iter().map(|pixel| pixel.1).collect();
        let mut sweep = ThresholdSweep::default();
        sweep.add(probabilities.view(), &GrayImage::from_raw(pixels.len() as u32, 1, truth).unwrap()).unwrap();
        sweep
    }

    #[test]
    fn a_threshold_takes_what_is_at_least_as_probable() {
        let sweep = sweep(&[(0.9, 1), (0.6, 0), (0.5, 1), (0.2, 1), (0.1, 0), (0.0, 0), (1.0, IGNORE_LABEL)]);
        let summary = sweep.summary();
        assert_eq!(summary.thresholds.len(), 99);
        let point = |threshold, dice, sensitivity, specificity, precision| OperatingPoint {
            threshold,
            dice,
            sensitivity: Some(sensitivity),
            specificity: Some(specificity),
            precision,
        };
        let (one, two, three) = (1.0 / 3.0, 2.0 / 3.0, 1.0);
        for expected in [
            point(0.2, 6.0 / 7.0, three, two, Some(0.75)),
            point(0.5, two, two, two, Some(two)),
            point(0.51, 0.4, one, two, Some(0.5)),
            point(0.95, 0.0, 0.0, three, None),
        ] {
            let found = summary.thresholds.iter().find(|point| point.threshold == expected.threshold);
            assert_eq!(found, Some(&expected));
        }
        assert_eq!(summary.best, point(0.101, 6.0 / 7.0, three, two, Some(0.75)));
        // The target is more probable in seven of nine pairs.
        assert_eq!(summary.roc_auc, Some(7.0 / 9.0));
        assert_eq!(summary.average_precision, Some((1.0 + two + 0.75) / 3.0));
    }

    #[test]
    fn ties_count_half_and_what_is_not_there_has_no_area() {
        for (name, pixels, roc_auc, average_precision) in [
            ("a tie", vec![(0.5, 0), (0.5, 1)], Some(0.5), Some(0.5)),
            ("nearly sure of both", vec![(1e-6, 0), (1e-5, 1)], Some(1.0), Some(1.0)),
            ("no target", vec![(0.5, 0)], None, None),
            ("no background", vec![(0.5, 1)], None, Some(1.0)),
            ("nothing counts", vec![(0.5, IGNORE_LABEL)], None, None),
        ] {
            let sweep = sweep(&pixels);
            let summary = sweep.summary();
            assert_eq!((summary.roc_auc, summary.average_precision), (roc_auc, average_precision), "{name}");
            assert_eq!(sweep.roc().is_empty(), roc_auc.is_none(), "{name}");
            assert_eq!(sweep.precision_recall().is_empty(), average_precision.is_none(), "{name}");
        }
    }
}
