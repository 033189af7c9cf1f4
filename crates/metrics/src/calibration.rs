//! Calibration: whether 80 % of the pixels are right of which the model is 80 % sure.

use image::GrayImage;
use ndarray::ArrayView3;
use seg_contract::IGNORE_LABEL;
use serde::Serialize;
use thiserror::Error;

/// The number of bins of equal width into which probabilities are sorted; a probability of 1 is in
/// the last.
pub const RELIABILITY_BINS: usize = 20;

/// The least probability in the logarithmic score, as in scikit-learn's for `f32`.
const PROBABILITY_MIN: f32 = f32::EPSILON;

/// An error in adding probabilities.
#[derive(Debug, Error)]
#[error(
    "the probabilities have shape {found:?}, expected {expected:?} (classes, height, width) as the true mask implies"
)]
pub struct ShapeError {
    /// The shape that was found.
    pub found: [usize; 3],
    /// The shape that follows from the classes and the truth.
    pub expected: [usize; 3],
}

/// The calibration of probabilities, added image by image in memory of constant size.
#[derive(Clone, Debug)]
pub struct Calibration {
    top: Bins,
    classes: Vec<Bins>,
    pixels: u64,
    squared_errors: f64,
    logarithms: f64,
}

type Bins = [Bin; RELIABILITY_BINS];

/// The pixels whose probability is in one bin.
#[derive(Clone, Copy, Debug, Default)]
struct Bin {
    pixels: u64,
    probabilities: f64,
    hits: u64,
}

/// The calibration of probabilities over the counted pixels of all images together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CalibrationSummary {
    /// The number of counted pixels.
    pub pixels: u64,
    /// The mean over pixels of the sum over classes of `(probability - truth)^2`, from 0 to 2 (G.
    /// W. Brier, 1950).
    pub brier: f64,
    /// The mean of `-ln` of the true class's probability, at least 1.2e-7.
    pub negative_log_likelihood: f64,
    /// The share of pixels whose most probable class is right, by its probability (C. Guo et al.,
    /// 2017).
    pub top: Reliability,
    /// The share of pixels of each class, by its probability; by class index.
    pub classes: Vec<Reliability>,
}

/// The reliability of probabilities: the observed share by predicted probability.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reliability {
    /// The expected calibration error: the mean over pixels of their bin's `|probability - share|`.
    pub expected_error: f64,
    /// The largest `|probability - share|` of a bin that has pixels.
    pub largest_error: f64,
    /// The bins that have pixels, in ascending order.
    pub bins: Vec<ReliabilityBin>,
}

/// A bin of a reliability table.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ReliabilityBin {
    /// The least probability in the bin.
    pub from: f64,
    /// The probability at which the next bin begins.
    pub to: f64,
    /// The number of pixels in the bin.
    pub pixels: u64,
    /// The mean probability of the pixels.
    pub probability: f64,
    /// The share of pixels for which the prediction holds.
    pub share: f64,
}

impl Calibration {
    /// Creates a calibration without pixels.
    pub fn new(classes: usize) -> Self {
        let empty = [Bin::default(); RELIABILITY_BINS];
        Self { top: empty, classes: vec![empty; classes], pixels: 0, squared_errors: 0.0, logarithms: 0.0 }
    }

    /// Adds the counted pixels of one image; `probabilities` are `[classes, height, width]`.
    ///
    /// # Errors
    /// When the shape does not follow from the classes and the truth; nothing is added then.
    ///
    /// # Panics
    /// When a true label is neither a class nor ignored.
    pub fn add(&mut self, probabilities: ArrayView3<'_, f32>, truth: &GrayImage) -> Result<(), ShapeError> {
        check_shape(probabilities, truth, self.classes.len())?;
        let mut pixel = vec![0.0; self.classes.len()];
        for (x, y, label) in truth.enumerate_pixels().filter(|(_, _, label)| label[0] != IGNORE_LABEL) {
            let label = usize::from(label[0]);
            for (value, plane) in pixel.iter_mut().zip(probabilities.outer_iter()) {
                *value = plane[[y as usize, x as usize]];
            }
            let mut top = 0;
            for (class, probability) in pixel.iter().enumerate() {
                let is_true = class == label;
                self.classes[class][bin_of(*probability)].add(*probability, is_true);
                self.squared_errors += (f64::from(*probability) - f64::from(u8::from(is_true))).powi(2);
                if *probability > pixel[top] {
                    top = class;
                }
            }
            self.top[bin_of(pixel[top])].add(pixel[top], top == label);
            self.logarithms -= f64::from(pixel[label].max(PROBABILITY_MIN)).ln();
            self.pixels += 1;
        }
        Ok(())
    }

    /// Summarises the pixels added so far; `None` if there are none.
    pub fn summary(&self) -> Option<CalibrationSummary> {
        (self.pixels > 0).then(|| CalibrationSummary {
            pixels: self.pixels,
            brier: self.squared_errors / self.pixels as f64,
            negative_log_likelihood: self.logarithms / self.pixels as f64,
            top: reliability(&self.top),
            classes: self.classes.iter().map(reliability).collect(),
        })
    }
}

impl Bin {
    fn add(&mut self, probability: f32, is_so: bool) {
        self.pixels += 1;
        self.probabilities += f64::from(probability);
        self.hits += u64::from(is_so);
    }
}

/// Returns the bin of a probability.
fn bin_of(probability: f32) -> usize {
    ((f64::from(probability) * RELIABILITY_BINS as f64) as usize).min(RELIABILITY_BINS - 1)
}

fn reliability(bins: &Bins) -> Reliability {
    let edge = |number: usize| number as f64 / RELIABILITY_BINS as f64;
    let table: Vec<_> = (0..).zip(bins).filter(|(_, bin)| bin.pixels > 0).collect();
    let table: Vec<ReliabilityBin> = table
        .into_iter()
        .map(|(number, bin)| ReliabilityBin {
            from: edge(number),
            to: edge(number + 1),
            pixels: bin.pixels,
            probability: bin.probabilities / bin.pixels as f64,
            share: bin.hits as f64 / bin.pixels as f64,
        })
        .collect();
    let pixels: u64 = table.iter().map(|bin| bin.pixels).sum();
    let error = |bin: &ReliabilityBin| (bin.probability - bin.share).abs();
    let sum: f64 = table.iter().map(|bin| error(bin) * bin.pixels as f64).sum();
    Reliability {
        expected_error: sum / pixels.max(1) as f64,
        largest_error: table.iter().map(error).fold(0.0, f64::max),
        bins: table,
    }
}

/// Checks that probabilities have `classes` channels and the truth's size.
pub(crate) fn check_shape(
    probabilities: ArrayView3<'_, f32>,
    truth: &GrayImage,
    classes: usize,
) -> Result<(), ShapeError> {
    let found: [usize; 3] = probabilities.dim().into();
    let expected = [classes, truth.height() as usize, truth.width() as usize];
    if found == expected { Ok(()) } else { Err(ShapeError { found, expected }) }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, array};

    use super::*;

    #[test]
    fn scores_follow_their_definitions_and_ignored_pixels_do_not_count() {
        let mut calibration = Calibration::new(2);
        assert_eq!(calibration.summary(), None);
        let truth = GrayImage::from_raw(3, 1, vec![0, 1, IGNORE_LABEL]).unwrap();
        calibration.add(array![[[0.75, 0.75, 0.5]], [[0.25, 0.25, 0.5]]].view(), &truth).unwrap();
        calibration.add(array![[[0.0]], [[1.0]]].view(), &GrayImage::from_pixel(1, 1, [1].into())).unwrap();
        let summary = calibration.summary().unwrap();
        assert_eq!(summary.pixels, 3);
        assert_eq!(summary.brier, (0.125 + 1.125 + 0.0) / 3.0);
        assert!((summary.negative_log_likelihood - (-(0.75_f64.ln()) - 0.25_f64.ln()) / 3.0).abs() < 1e-15);
        // Two pixels of which one is right at 0.75, one that is right at 1.
        let bin = |from, to, pixels, probability, share| ReliabilityBin { from, to, pixels, probability, share };
        assert_eq!(summary.top.bins, [bin(0.75, 0.8, 2, 0.75, 0.5), bin(0.95, 1.0, 1, 1.0, 1.0)]);
        assert_eq!((summary.top.expected_error, summary.top.largest_error), (0.5 / 3.0, 0.25));
        assert_eq!(summary.classes[1].bins, [bin(0.25, 0.3, 2, 0.25, 0.5), bin(0.95, 1.0, 1, 1.0, 1.0)]);
    }

    #[test]
    fn a_certain_error_is_finite() {
        let mut calibration = Calibration::new(2);
        calibration.add(array![[[1.0]], [[0.0]]].view(), &GrayImage::from_pixel(1, 1, [1].into())).unwrap();
        let summary = calibration.summary().unwrap();
        assert_eq!((summary.brier, summary.negative_log_likelihood), (2.0, -f64::from(f32::EPSILON).ln()));
    }

    #[test]
    fn probabilities_of_another_shape_are_refused() {
        let mut calibration = Calibration::new(2);
        let error = calibration.add(Array3::zeros((2, 3, 4)).view(), &GrayImage::new(3, 4)).unwrap_err();
        assert!(error.to_string().contains("[2, 3, 4], expected [2, 4, 3]"), "{error}");
        assert_eq!(calibration.summary(), None);
    }
}
