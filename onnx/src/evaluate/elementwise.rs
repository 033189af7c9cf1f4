//! Operators that treat each element alone.

use ndarray::{ArrayD, IxDyn, Zip};

use super::OpError;

/// `1 / (1 + exp(-x))`.
pub(super) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// `x/2 * (1 + erf(x/sqrt(2)))`.
pub(super) fn gelu(x: f64) -> f64 {
    0.5 * x * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2))
}

/// `2/sqrt(pi) * exp(-x^2) * sum over k of 2^k x^(2k+1) / (1*3*...*(2k+1))` (DLMF 7.6.2), to within a few roundings:
/// no term is negative, so nothing cancels.
pub(super) fn erf(x: f64) -> f64 {
    /// From here on the error function is 1 in 64-bit floats.
    const SATURATED: f64 = 6.0;
    if x.abs() >= SATURATED {
        return x.signum();
    }
    let mut term = x.abs();
    let mut sum = 0.0;
    let mut odd = 1.0;
    while sum + term > sum {
        sum += term;
        odd += 2.0;
        term *= 2.0 * x * x / odd;
    }
    (std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum).copysign(x)
}

/// Combines two arrays element by element; they are aligned at the last axis, and an axis of size 1 is repeated.
pub(super) fn combine<T: Copy>(
    a: &ArrayD<T>,
    b: &ArrayD<T>,
    operator: impl Fn(T, T) -> T,
) -> Result<ArrayD<T>, OpError> {
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
