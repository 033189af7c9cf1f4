//! Interpolation, one axis after another.

use ndarray::{ArrayD, Axis, Zip};

use super::OpError;
use crate::graph::{Coordinates, ResizeMode};

/// The resizing of one axis.
pub(super) struct ResizedAxis {
    size: usize,
    scale: f64,
}

pub(super) fn axes_by_scales(shape: &[usize], scales: &ArrayD<f64>) -> Vec<ResizedAxis> {
    let resized = |(&size, &scale): (&usize, &f64)| ResizedAxis { size: (size as f64 * scale).floor() as usize, scale };
    shape.iter().zip(scales).map(resized).collect()
}

pub(super) fn axes_by_sizes(shape: &[usize], sizes: &ArrayD<i64>) -> Result<Vec<ResizedAxis>, OpError> {
    shape.iter().zip(sizes).map(|(&given, &wanted)| axis_by_size(given, wanted)).collect()
}

fn axis_by_size(given: usize, wanted: i64) -> Result<ResizedAxis, OpError> {
    match usize::try_from(wanted) {
        Ok(size) if given > 0 => Ok(ResizedAxis { size, scale: size as f64 / given as f64 }),
        _ => Err(OpError::Operands("of positive sizes")),
    }
}

/// Resizes every axis of `x`.
pub(super) fn resize(mode: ResizeMode, coordinates: Coordinates, x: &ArrayD<f64>, axes: &[ResizedAxis]) -> ArrayD<f64> {
    let mut y = x.clone();
    for (axis, resized) in axes.iter().enumerate().filter(|(_, resized)| resized.scale != 1.0) {
        y = resize_axis(mode, coordinates, &y, Axis(axis), resized);
    }
    y
}

fn resize_axis(
    mode: ResizeMode,
    coordinates: Coordinates,
    x: &ArrayD<f64>,
    axis: Axis,
    resized: &ResizedAxis,
) -> ArrayD<f64> {
    let last = x.len_of(axis).saturating_sub(1);
    let mut shape = x.raw_dim();
    shape[axis.index()] = resized.size;
    let mut y = ArrayD::zeros(shape);
    for (i, slice) in y.axis_iter_mut(axis).enumerate() {
        let position = source(coordinates, i, last, resized).clamp(0.0, last as f64);
        let before = position.floor();
        let after_share = match mode {
            ResizeMode::Linear => position - before,
            ResizeMode::Nearest => 0.0,
        };
        let before = before as usize;
        let after = (before + 1).min(last);
        Zip::from(slice)
            .and(x.index_axis(axis, before))
            .and(x.index_axis(axis, after))
            .for_each(|y, before, after| *y = before * (1.0 - after_share) + after * after_share);
    }
    y
}

/// Returns the position on an axis that ends at `last` for element `i` of the resized axis.
fn source(coordinates: Coordinates, i: usize, last: usize, resized: &ResizedAxis) -> f64 {
    let i = i as f64;
    match coordinates {
        Coordinates::AlignCorners if resized.size < 2 => 0.0,
        Coordinates::AlignCorners => i * last as f64 / (resized.size - 1) as f64,
        Coordinates::HalfPixel => (i + 0.5) / resized.scale - 0.5,
        Coordinates::Asymmetric => i / resized.scale,
    }
}
