//! Compares two tensors: how far they are apart, and where.
//!
//! This is the only comparison of tensors: of a model with a reference, of two runtimes, of two
//! precisions.

use std::fmt;

use ndarray::{ArrayViewD, Axis, Dimension, Zip};
use thiserror::Error;

/// The difference of a tensor from the expected one.
///
/// `Display` writes it as a few lines for a person.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The number of elements.
    pub elements: usize,
    /// The number of elements that are not equal.
    pub differing: usize,
    /// The number of elements where one of the two is infinite or not a number.
    pub not_finite: usize,
    /// The element with the largest absolute error, `|found - expected|`.
    pub absolute: Worst,
    /// The element with the largest relative error, `|found - expected| / |expected|`, where
    /// something other than 0 is expected; `None` where 0 is expected everywhere.
    pub relative: Option<Worst>,
    /// For tensors of rank 4, `[n, classes, h, w]`: the share of pixels whose largest element is of
    /// the same class, the lowest class on a tie. A pixel with an element that is not a number does
    /// not agree.
    pub argmax_agreement: Option<f64>,
}

/// An element, and its error.
#[derive(Clone, Debug, PartialEq)]
pub struct Worst {
    /// The error: 0 for equal elements, infinite where they differ and one is infinite or not a
    /// number.
    pub error: f64,
    /// The element's index along each axis.
    pub index: Vec<usize>,
    /// The value found.
    pub found: f64,
    /// The value expected.
    pub expected: f64,
}

/// The reason for which two tensors cannot be compared.
#[derive(Debug, Error)]
pub enum CompareError {
    /// The shapes differ.
    #[error("the tensors to be compared differ in shape: found {found:?}, expected {expected:?}")]
    Shape {
        /// The shape found.
        found: Vec<usize>,
        /// The shape expected.
        expected: Vec<usize>,
    },
    /// The tensors have no elements.
    #[error("the tensors to be compared have no elements: their shape is {shape:?}")]
    Empty {
        /// The shape of both.
        shape: Vec<usize>,
    },
}

/// Compares a tensor with the expected one, element by element in `f64`.
///
/// # Errors
/// When the shapes differ or there are no elements.
pub fn compare(found: ArrayViewD<'_, f32>, expected: ArrayViewD<'_, f64>) -> Result<Comparison, CompareError> {
    if found.shape() != expected.shape() {
        return Err(CompareError::Shape { found: found.shape().into(), expected: expected.shape().into() });
    }
    let mut differing = 0;
    let mut not_finite = 0;
    let mut absolute: Option<Worst> = None;
    let mut relative: Option<Worst> = None;
    for ((index, &found), &expected) in found.indexed_iter().zip(expected.iter()) {
        let found = f64::from(found);
        let error = difference(found, expected);
        let worst = |error| Worst { error, index: index.slice().to_vec(), found, expected };
        differing += usize::from(error > 0.0);
        not_finite += usize::from(!found.is_finite() || !expected.is_finite());
        if exceeds(error, &absolute) {
            absolute = Some(worst(error));
        }
        let relative_error = if error.is_finite() { error / expected.abs() } else { error };
        if expected != 0.0 && exceeds(relative_error, &relative) {
            relative = Some(worst(relative_error));
        }
    }
    let Some(absolute) = absolute else { return Err(CompareError::Empty { shape: found.shape().into() }) };
    let argmax_agreement = (found.ndim() == 4).then(|| argmax_agreement(&found, &expected));
    Ok(Comparison { elements: found.len(), differing, not_finite, absolute, relative, argmax_agreement })
}

impl Comparison {
    /// Returns whether every element is finite and within an absolute error of `max_abs`.
    pub fn is_within(&self, max_abs: f64) -> bool {
        self.not_finite == 0 && self.absolute.error <= max_abs
    }
}

/// Returns whether an error is larger than the worst so far.
fn exceeds(error: f64, worst: &Option<Worst>) -> bool {
    worst.as_ref().is_none_or(|worst| error > worst.error)
}

/// Returns `|found - expected|`: 0 for equal values, also infinite ones, and infinite if only one
/// is not finite.
fn difference(found: f64, expected: f64) -> f64 {
    if found == expected {
        return 0.0;
    }
    let difference = (found - expected).abs();
    if difference.is_nan() { f64::INFINITY } else { difference }
}

/// Returns the share of pixels of `[n, classes, h, w]` whose largest element is of the same class.
fn argmax_agreement(found: &ArrayViewD<'_, f32>, expected: &ArrayViewD<'_, f64>) -> f64 {
    let (mut pixels, mut agreeing) = (0_usize, 0_usize);
    Zip::from(found.lanes(Axis(1))).and(expected.lanes(Axis(1))).for_each(|found, expected| {
        let found = argmax(found.iter().map(|value| f64::from(*value)));
        pixels += 1;
        agreeing += usize::from(found.is_some() && found == argmax(expected.iter().copied()));
    });
    agreeing as f64 / pixels as f64
}

/// Returns the index of the largest value, the lowest on a tie; `None` if a value is not a number.
fn argmax(values: impl Iterator<Item = f64>) -> Option<usize> {
    let mut best = (0, f64::NEG_INFINITY);
    for (index, value) in values.enumerate() {
        if value.is_nan() {
            return None;
        }
        if value > best.1 {
            best = (index, value);
        }
    }
    Some(best.0)
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "differing    {} of {} elements", self.differing, self.elements)?;
        if self.not_finite > 0 {
            writeln!(f, "not finite   {} of {} elements", self.not_finite, self.elements)?;
        }
        writeln!(f, "max absolute {}", self.absolute)?;
        match &self.relative {
            Some(worst) => write!(f, "max relative {worst}")?,
            None => write!(f, "max relative undefined: 0 is expected everywhere")?,
        }
        match self.argmax_agreement {
            Some(share) => write!(f, "\nsame class   {:.4} % of the pixels", 100.0 * share),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Worst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { error, index, found, expected } = self;
        write!(f, "{error:.3e} at {index:?}: found {found}, expected {expected}")
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{ArrayD, array};

    use super::*;

    /// Compares two images of two classes and three pixels.
    fn compare_image(found: [[f32; 3]; 2], expected: [[f64; 3]; 2]) -> Comparison {
        let found = ndarray::arr2(&found).into_shape_with_order((1, 2, 1, 3)).unwrap().into_dyn();
        let expected = ndarray::arr2(&expected).into_shape_with_order((1, 2, 1, 3)).unwrap().into_dyn();
        compare(found.view(), expected.view()).unwrap()
    }

    #[test]
    fn equal_tensors_agree_in_everything() {
        let comparison = compare_image([[0.5, -1.0, 0.0], [1.0, 2.0, 0.0]], [[0.5, -1.0, 0.0], [1.0, 2.0, 0.0]]);
        assert_eq!((comparison.differing, comparison.not_finite, comparison.absolute.error), (0, 0, 0.0));
        assert_eq!(comparison.argmax_agreement, Some(1.0));
        assert!(comparison.is_within(0.0));
    }

    #[test]
    fn the_worst_places_are_found_and_the_wrong_pixel_is_counted() {
        let comparison = compare_image([[0.5, 8.0, 0.0], [1.0, 7.0, 0.25]], [[0.5, 8.0, 0.5], [1.0, 4.0, 0.125]]);
        let absolute = Worst { error: 3.0, index: vec![0, 1, 0, 1], found: 7.0, expected: 4.0 };
        let relative = Worst { error: 1.0, index: vec![0, 0, 0, 2], found: 0.0, expected: 0.5 };
        assert_eq!(comparison.absolute, absolute);
        assert_eq!(comparison.relative, Some(relative));
        assert_eq!(comparison.differing, 3);
        assert_eq!(comparison.argmax_agreement, Some(2.0 / 3.0));
        assert!(comparison.is_within(3.0) && !comparison.is_within(2.9));
        assert_eq!(
            comparison.to_string(),
            "differing    3 of 6 elements\n\
             max absolute 3.000e0 at [0, 1, 0, 1]: found 7, expected 4\n\
             max relative 1.000e0 at [0, 0, 0, 2]: found 0, expected 0.5\n\
             same class   66.6667 % of the pixels"
        );
    }

    #[test]
    fn what_is_not_finite_never_passes() {
        let (nan, infinity) = (f32::NAN, f32::INFINITY);
        for (name, found, expected, error, agreeing) in [
            ("found not a number", nan, 1.0, f64::INFINITY, 2.0),
            ("both not a number", nan, f64::NAN, f64::INFINITY, 2.0),
            ("expected not a number", 1.0, f64::NAN, f64::INFINITY, 2.0),
            ("found infinite", infinity, 1.0, f64::INFINITY, 2.0),
            ("opposite infinities", infinity, f64::NEG_INFINITY, f64::INFINITY, 2.0),
            ("the same infinity", infinity, f64::INFINITY, 0.0, 3.0),
        ] {
            let others = ([5.0, 1.0, 1.0], [5.0, 1.0, 1.0]);
            let comparison = compare_image([[found, 0.0, 0.0], others.0], [[expected, 0.0, 0.0], others.1]);
            assert_eq!(comparison.absolute.error, error, "{name}");
            assert_eq!(comparison.not_finite, 1, "{name}");
            assert_eq!(comparison.argmax_agreement, Some(agreeing / 3.0), "{name}");
            assert!(!comparison.is_within(f64::INFINITY), "{name}");
            assert!(comparison.to_string().contains("not finite   1 of 6 elements"), "{name}");
        }
    }

    #[test]
    fn where_zero_is_expected_there_is_no_relative_error() {
        let comparison = compare(array![0.5_f32, 0.0].into_dyn().view(), array![0.0, 0.0].into_dyn().view()).unwrap();
        assert_eq!(comparison.relative, None);
        assert_eq!(comparison.absolute.error, 0.5);
        assert_eq!(comparison.argmax_agreement, None);
    }

    #[test]
    fn tensors_that_cannot_be_compared_are_errors() {
        for (name, found, expected, part) in [
            ("shape", vec![1, 2], vec![2, 1], "found [1, 2], expected [2, 1]"),
            ("rank", vec![4], vec![2, 2], "found [4], expected [2, 2]"),
            ("empty", vec![0, 3], vec![0, 3], "no elements: their shape is [0, 3]"),
        ] {
            let message = compare(ArrayD::zeros(found).view(), ArrayD::zeros(expected).view()).unwrap_err().to_string();
            assert!(message.contains(part), "{name}: {message}");
        }
    }

    #[test]
    fn the_order_in_memory_does_not_matter() {
        let found = array![[1.0_f32, 2.0], [3.0, 4.0]];
        let expected = array![[1.0, 3.0], [2.0, 4.0]];
        let comparison = compare(found.view().into_dyn(), expected.t().into_dyn()).unwrap();
        assert_eq!(comparison.differing, 0);
    }
}
