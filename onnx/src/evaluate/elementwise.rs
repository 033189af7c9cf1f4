//! Operators on each element alone.

use ndarray::{ArrayD, IxDyn, Zip};
use rayon::prelude::*;

use super::OpError;

/// Computes `1 / (1 + exp(-x))`.
pub(super) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Computes `max(x, 0)`; NaN stays NaN, as in ONNX.
pub(super) fn relu(x: f64) -> f64 {
    // `f64::max` would return 0.
    if x <= 0.0 { 0.0 } else { x }
}

/// Computes `x/2 * (1 + erf(x/sqrt(2)))`.
pub(super) fn gelu(x: f64) -> f64 {
    0.5 * x * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2))
}

/// Computes the error function, to within a rounding.
pub(super) fn erf(x: f64) -> f64 {
    libm::erf(x)
}

/// Applies a function to each element.
pub(super) fn map(x: &ArrayD<f64>, function: impl Fn(f64) -> f64 + Sync) -> ArrayD<f64> {
    let mut y = x.as_standard_layout().into_owned();
    let elements = y.as_slice_mut().expect("the array was just laid out so");
    elements.par_iter_mut().for_each(|x| *x = function(*x));
    y
}

/// Combines two arrays element by element; they are aligned at the last axis, and an axis of size 1
/// is repeated.
pub(super) fn combine<T: Copy, U>(
    a: &ArrayD<T>,
    b: &ArrayD<T>,
    operator: impl Fn(T, T) -> U,
) -> Result<ArrayD<U>, OpError> {
    let rank = a.ndim().max(b.ndim());
    let size = |shape: &[usize], axis: usize| (axis + shape.len()).checked_sub(rank).map_or(1, |axis| shape[axis]);
    let shape: Vec<_> = (0..rank)
        .map(|axis| match (size(a.shape(), axis), size(b.shape(), axis)) {
            (1, other) => other,
            (size, _) => size,
        })
        .collect();
    let shape = IxDyn(&shape);
    match (a.broadcast(shape.clone()), b.broadcast(shape)) {
        (Some(a), Some(b)) => Ok(Zip::from(a).and(b).map_collect(|&a, &b| operator(a, b))),
        _ => Err(OpError::Operands("of shapes that can be broadcast together")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rectifier_keeps_what_is_no_number() {
        for (x, expected) in [(-2.0, 0.0), (0.0, 0.0), (1.5, 1.5), (f64::INFINITY, f64::INFINITY)] {
            assert_eq!(relu(x), expected, "{x}");
        }
        assert!(relu(f64::NAN).is_nan());
    }

    #[test]
    fn the_error_function_has_its_tabulated_values() {
        for (x, expected) in [
            (0.0, 0.0),
            (0.1, 0.112_462_916_018_284_89),
            (0.5, 0.520_499_877_813_046_5),
            (1.0, 0.842_700_792_949_714_9),
            (2.0, 0.995_322_265_018_952_7),
            (3.0, 0.999_977_909_503_001_4),
            (7.0, 1.0),
            (f64::INFINITY, 1.0),
        ] {
            assert!((erf(x) - expected).abs() < 4.0 * f64::EPSILON, "erf({x}) = {:.17}", erf(x));
            assert_eq!(erf(-x), -erf(x));
        }
        assert!(erf(f64::NAN).is_nan());
    }
}
