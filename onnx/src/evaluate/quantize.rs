//! Quantisation of floats, and back.

use ndarray::{ArrayD, IxDyn};

use super::OpError;
use super::array::narrowed;
use super::elementwise::combine;
use crate::graph::DataType;

/// Computes `round(x / scale) + zero`, halves rounded to even, within the range of `to`.
pub(super) fn quantize(
    axis: usize,
    x: &ArrayD<f64>,
    scale: &ArrayD<f64>,
    zero: &ArrayD<i64>,
    to: DataType,
) -> Result<ArrayD<i64>, OpError> {
    let steps = combine(x, &along(axis, x.ndim(), scale), |x, scale| (x / scale).round_ties_even())?;
    combine(&steps, &along(axis, x.ndim(), &zero.mapv(|zero| zero as f64)), |steps, zero| steps + zero)
        .map(|values| values.mapv(|value| narrowed(value as i64, to)))
}

/// Computes `(x - zero) * scale`.
pub(super) fn dequantize(
    axis: usize,
    x: &ArrayD<i64>,
    scale: &ArrayD<f64>,
    zero: &ArrayD<i64>,
) -> Result<ArrayD<f64>, OpError> {
    let steps = combine(x, &along(axis, x.ndim(), zero), |x, zero| x - zero)?;
    combine(&steps.mapv(|steps| steps as f64), &along(axis, x.ndim(), scale), |steps, scale| steps * scale)
}

/// Lays a vector along an axis of a tensor of the given rank; a scalar is unchanged.
fn along<T: Clone>(axis: usize, rank: usize, values: &ArrayD<T>) -> ArrayD<T> {
    let mut shape = vec![1; if values.ndim() == 0 { 0 } else { rank }];
    if let Some(size) = shape.get_mut(axis) {
        *size = values.len();
    }
    values.to_shape(IxDyn(&shape)).map_or_else(|_| values.clone(), |values| values.to_owned())
}
