//! Operators along an axis.

use ndarray::{ArrayD, Axis, IxDyn};

use super::OpError;

/// Computes `exp(x) / sum of exp(x)` along an axis, shifted by the largest so that nothing
/// overflows.
pub(super) fn softmax(axis: usize, x: &ArrayD<f64>) -> ArrayD<f64> {
    let mut shares = x.clone();
    for mut lane in shares.lanes_mut(Axis(axis)) {
        let max = lane.fold(f64::NEG_INFINITY, |max, value| max.max(*value));
        lane.mapv_inplace(|value| (value - max).exp());
        let sum = lane.sum();
        lane.mapv_inplace(|value| value / sum);
    }
    shares
}

/// Returns the position of the first largest element along an axis, which is removed.
pub(super) fn arg_max(axis: usize, x: &ArrayD<f64>) -> ArrayD<i64> {
    x.map_axis(Axis(axis), |lane| {
        let mut best = 0;
        for (position, value) in lane.iter().enumerate() {
            if *value > lane[best] {
                best = position;
            }
        }
        best as i64
    })
}

/// Returns the mean over the given axes, which keep the size 1.
pub(super) fn mean(x: &ArrayD<f64>, axes: &ArrayD<i64>) -> ArrayD<f64> {
    axes.iter().fold(x.clone(), |x, axis| mean_over(&x, Axis(*axis as usize)))
}

/// Returns the sum over the given axes, which keep the size 1.
pub(super) fn sum(x: &ArrayD<f64>, axes: &ArrayD<i64>) -> ArrayD<f64> {
    axes.iter().fold(x.clone(), |x, axis| x.sum_axis(Axis(*axis as usize)).insert_axis(Axis(*axis as usize)))
}

fn mean_over(x: &ArrayD<f64>, axis: Axis) -> ArrayD<f64> {
    (x.sum_axis(axis) / x.len_of(axis) as f64).insert_axis(axis)
}

/// Returns the elements in the same order under another shape, in which a 0 is the size of the same
/// axis of `x`, and a -1 the size that is left.
pub(super) fn reshape<T: Clone>(x: &ArrayD<T>, shape: &ArrayD<i64>) -> Result<ArrayD<T>, OpError> {
    const MISFIT: OpError = OpError::Operands("a shape of as many elements as the first has");
    let mut sizes = Vec::with_capacity(shape.len());
    let mut open = None;
    for (axis, &size) in shape.iter().enumerate() {
        sizes.push(match size {
            0 => *x.shape().get(axis).ok_or(MISFIT)?,
            -1 => {
                open = Some(axis);
                1
            }
            size => usize::try_from(size).map_err(|_| MISFIT)?,
        });
    }
    if let Some(axis) = open {
        sizes[axis] = x.len() / sizes.iter().product::<usize>().max(1);
    }
    x.to_shape(IxDyn(&sizes)).map(|x| x.into_owned()).map_err(|_| MISFIT)
}

/// Removes the given axes of `x`, which have size 1.
pub(super) fn squeeze<T: Clone>(x: &ArrayD<T>, axes: &ArrayD<i64>) -> ArrayD<T> {
    let mut axes: Vec<_> = axes.iter().map(|&axis| axis as usize).collect();
    axes.sort_unstable();
    axes.into_iter().rev().fold(x.clone(), |x, axis| x.index_axis_move(Axis(axis), 0))
}
