//! Pooling by the largest value and by the mean.

use ndarray::{Array4, ArrayD, ArrayView2, ArrayViewMut2, Zip, s};
use rayon::prelude::*;

use super::OpError;
use super::conv::images;
use super::taps::Taps;
use crate::graph::{AveragePool, MaxPool};

/// Computes `y[n, c, i, j] = max over k, l of x[n, c, stride * i + k - top, stride * j + l -
/// left]`, ignoring pixels outside of the image. The largest of several values is NaN if one of
/// them is.
pub(super) fn max_pool(pool: &MaxPool, x: &ArrayD<f64>) -> Result<ArrayD<f64>, OpError> {
    let x = images(x.view())?;
    let (batch, channels, height, width) = x.dim();
    let MaxPool { kernel, strides, pads: [top, left, bottom, right] } = *pool;
    let rows = Taps { size: height, kernel: kernel[0], stride: strides[0], dilation: 1, before: top };
    let columns = Taps { size: width, kernel: kernel[1], stride: strides[1], dilation: 1, before: left };
    let sides = (rows.outputs(bottom)?, columns.outputs(right)?);
    let mut y = Array4::from_elem((batch, channels, sides.0, sides.1), f64::NEG_INFINITY);
    let mut planes: Vec<_> = y.outer_iter_mut().zip(x.outer_iter()).collect();
    planes.par_iter_mut().for_each(|(y, x)| {
        for (y, x) in y.outer_iter_mut().zip(x.outer_iter()) {
            pool_plane(y, x, &rows, &columns);
        }
    });
    Ok(y.into_dyn())
}

/// Computes `y[n, c, i, j] = mean over k, l of x[n, c, stride * i + k, stride * j + l]`.
pub(super) fn average_pool(pool: &AveragePool, x: &ArrayD<f64>) -> Result<ArrayD<f64>, OpError> {
    let x = images(x.view())?;
    let (batch, channels, height, width) = x.dim();
    let AveragePool { kernel, strides } = *pool;
    let side = |size, index: usize| {
        Taps { size, kernel: kernel[index], stride: strides[index], dilation: 1, before: 0 }.outputs(0)
    };
    let (rows, columns) = (side(height, 0)?, side(width, 1)?);
    let y = Array4::from_shape_fn((batch, channels, rows, columns), |(n, c, i, j)| {
        let (top, left) = (i * strides[0], j * strides[1]);
        let under = x.slice(s![n, c, top..top + kernel[0], left..left + kernel[1]]);
        under.sum() / under.len() as f64
    });
    Ok(y.into_dyn())
}

/// Computes the largest value over height and width, which keep the size 1; NaN if one value is.
pub(super) fn global_max_pool(x: &ArrayD<f64>) -> Result<ArrayD<f64>, OpError> {
    let x = images(x.view())?;
    let (batch, channels, height, width) = x.dim();
    if height * width == 0 {
        return Err(OpError::Operands("images with pixels"));
    }
    let y = Array4::from_shape_fn((batch, channels, 1, 1), |(n, c, ..)| {
        x.slice(s![n, c, .., ..]).fold(f64::NEG_INFINITY, |largest, &value| larger(largest, value))
    });
    Ok(y.into_dyn())
}

/// Raises each pixel of `y` to the largest pixel of `x` under its kernel.
fn pool_plane(mut y: ArrayViewMut2<'_, f64>, x: ArrayView2<'_, f64>, rows: &Taps, columns: &Taps) {
    let columns_out = y.ncols();
    for (i, mut row) in y.outer_iter_mut().enumerate() {
        for source in (0..rows.kernel).filter_map(|tap| rows.source(i, tap)) {
            for tap in 0..columns.kernel {
                let inside = columns.inside(tap, columns_out);
                let Some(first) = columns.source(inside.start, tap).filter(|_| !inside.is_empty()) else { continue };
                let under = x.slice(s![source, first..; columns.stride]);
                Zip::from(row.slice_mut(s![inside.clone()]))
                    .and(under.slice(s![..inside.len()]))
                    .for_each(|largest, &value| *largest = larger(*largest, value));
            }
        }
    }
}

/// Returns the larger value, or NaN if one of the two is NaN, unlike `f64::max`.
fn larger(a: f64, b: f64) -> f64 {
    if a > b || a.is_nan() { a } else { b }
}
