//! Normalisations by statistics of the value itself.

use ndarray::{ArrayD, Axis};

/// Computes `(x - mean) / sqrt(variance + epsilon) * scale + shift`, mean and variance over the
/// axes from `axis` on, which scale and shift have.
pub(super) fn layer(
    axis: usize,
    epsilon: f64,
    x: &ArrayD<f64>,
    scale: &ArrayD<f64>,
    shift: &ArrayD<f64>,
) -> ArrayD<f64> {
    let mut y = x.as_standard_layout().into_owned();
    let len: usize = x.shape()[axis..].iter().product();
    let parameters: Vec<_> = scale.iter().zip(shift).collect();
    let values = y.as_slice_mut().expect("the array was just laid out so");
    for group in values.chunks_mut(len.max(1)) {
        normalize(group, epsilon);
        group.iter_mut().zip(&parameters).for_each(|(value, (scale, shift))| *value = *value * **scale + **shift);
    }
    y
}

/// Computes `(x - mean) / sqrt(variance + epsilon) * scale + shift` of `[n, c, ...]`, mean and
/// variance over the axes behind the channels, of which scale and shift have one value each.
pub(super) fn instance(epsilon: f64, x: &ArrayD<f64>, scale: &ArrayD<f64>, shift: &ArrayD<f64>) -> ArrayD<f64> {
    let mut y = x.as_standard_layout().into_owned();
    for mut image in y.axis_iter_mut(Axis(0)) {
        for ((mut plane, scale), shift) in image.axis_iter_mut(Axis(0)).zip(scale).zip(shift) {
            let values = plane.as_slice_mut().expect("the array was just laid out so");
            normalize(values, epsilon);
            values.iter_mut().for_each(|value| *value = *value * scale + shift);
        }
    }
    y
}

/// Moves values to the mean 0 and scales them by their biased deviation.
fn normalize(values: &mut [f64], epsilon: f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    values.iter_mut().for_each(|value| *value -= mean);
    let variance = values.iter().map(|value| value * value).sum::<f64>() / count;
    let deviation = (variance + epsilon).sqrt();
    values.iter_mut().for_each(|value| *value /= deviation);
}
