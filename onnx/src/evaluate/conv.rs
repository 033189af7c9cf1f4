//! 2-D convolution.

use std::ops::Range;

use ndarray::{Array2, Array4, ArrayD, ArrayView2, ArrayView3, ArrayView4, Axis, CowArray, Ix2, s};
use rayon::prelude::*;

use super::OpError;
use super::taps::Taps;
use crate::graph::Conv;

/// The most numbers in a matrix of patches, so that it stays in a core's cache.
const PATCHES_MAX: usize = 1 << 16;

/// Computes `y[n, o, i, j] = bias[o] + sum over c, k, l of weight[o, c, k, l] * x[n, first(o) + c,
/// i', j']`, where `i' = stride * i + dilation * k - top` (`j'` likewise), `x` is zero outside of
/// the image, and `first(o)` is the first channel of `o`'s group.
///
/// The sum is a product of matrices: a group's weights `[o, (c, k, l)]` and the patches under them
/// `[(c, k, l), (i, j)]`. It is computed for each image, each group and each band of rows
/// separately.
pub(super) fn convolve(
    conv: &Conv,
    x: &ArrayD<f64>,
    weight: &ArrayD<f64>,
    bias: Option<&ArrayD<f64>>,
) -> Result<ArrayD<f64>, OpError> {
    let (x, weight) = (x.as_standard_layout(), weight.as_standard_layout());
    let (x, weight) = (images(x.view())?, images(weight.view())?);
    let (batch, _, height, width) = x.dim();
    let (out_channels, in_channels, kernel_height, kernel_width) = weight.dim();
    let [top, left, bottom, right] = conv.pads;
    let ([row_stride, column_stride], [row_dilation, column_dilation]) = (conv.strides, conv.dilations);
    let rows = Taps { size: height, kernel: kernel_height, stride: row_stride, dilation: row_dilation, before: top };
    let columns =
        Taps { size: width, kernel: kernel_width, stride: column_stride, dilation: column_dilation, before: left };
    let (rows_out, columns_out) = (rows.outputs(bottom)?, columns.outputs(right)?);
    let mut y = Array4::zeros((batch, out_channels, rows_out, columns_out));

    let taps = in_channels * kernel_height * kernel_width;
    let weights = weight.to_shape((out_channels, taps)).expect("the same numbers, one row for each output channel");
    let out_channels_per_group = (out_channels / conv.group).max(1);
    let rows_per_band = (PATCHES_MAX / (taps * columns_out).max(1)).max(1);
    let parts: Vec<_> = (0..batch)
        .flat_map(|n| {
            (0..out_channels).step_by(out_channels_per_group).map(move |o| (n, o..o + out_channels_per_group))
        })
        .flat_map(|(n, o)| {
            let bands = (0..rows_out).step_by(rows_per_band);
            bands.map(move |first| (n, o.clone(), first..(first + rows_per_band).min(rows_out)))
        })
        .collect();
    let products: Vec<_> = parts
        .par_iter()
        .map(|(n, o, band)| {
            let first = o.start / out_channels_per_group * in_channels;
            let channels = x.slice(s![*n, first..first + in_channels, .., ..]);
            let patches = patches(channels, &rows, &columns, band.clone(), columns_out);
            product(weights.slice(s![o.clone(), ..]), patches.view())
        })
        .collect();
    for ((n, o, band), product) in parts.into_iter().zip(&products) {
        let product =
            product.to_shape((o.len(), band.len(), columns_out)).expect("a number for each pixel of the band");
        y.slice_mut(s![n, o, band, ..]).assign(&product);
    }
    if let Some(bias) = bias {
        for (mut channel, bias) in y.axis_iter_mut(Axis(1)).zip(bias) {
            channel += *bias;
        }
    }
    Ok(y.into_dyn())
}

/// Returns an array as images `[n, c, h, w]`.
pub(super) fn images(array: ndarray::ArrayViewD<'_, f64>) -> Result<ArrayView4<'_, f64>, OpError> {
    array.into_dimensionality().map_err(|_| OpError::Operands("of rank 4"))
}

/// Returns the pixels of `[c, h, w]` under each tap, `[(c, k, l), (i, j)]`, for a band of output
/// rows `i`.
fn patches<'x>(
    x: ArrayView3<'x, f64>,
    rows: &Taps,
    columns: &Taps,
    band: Range<usize>,
    columns_out: usize,
) -> CowArray<'x, f64, Ix2> {
    let (channels, _, width) = x.dim();
    if rows.is_identity(band.end) && columns.is_identity(columns_out) {
        let planes = x.into_shape_with_order((channels, rows.size * width)).expect("the image is contiguous");
        return planes.slice_move(s![.., band.start * width..band.end * width]).into();
    }
    let mut patches = Array2::zeros((channels * rows.kernel * columns.kernel, band.len() * columns_out));
    for (tap, mut patch) in patches.outer_iter_mut().enumerate() {
        let (c, k, l) = (tap / columns.kernel / rows.kernel, tap / columns.kernel % rows.kernel, tap % columns.kernel);
        let inside = columns.inside(l, columns_out);
        for (i, mut row) in band.clone().zip(patch.exact_chunks_mut(columns_out)) {
            let Some(source) = rows.source(i, k) else { continue };
            let Some(first) = columns.source(inside.start, l).filter(|_| !inside.is_empty()) else { continue };
            let source = x.slice(s![c, source, first..; columns.stride]);
            row.slice_mut(s![inside.clone()]).assign(&source.slice(s![..inside.len()]));
        }
    }
    patches.into()
}

/// Multiplies two matrices. A single row of weights, as of each channel of a depthwise convolution,
/// is summed tap by tap, because a product of matrices would compute further rows for nothing.
fn product(weights: ArrayView2<'_, f64>, patches: ArrayView2<'_, f64>) -> Array2<f64> {
    if weights.nrows() > 1 {
        return weights.dot(&patches);
    }
    let mut sum = Array2::zeros((weights.nrows(), patches.ncols()));
    for (weight, patch) in weights.iter().zip(patches.outer_iter()) {
        sum.row_mut(0).scaled_add(*weight, &patch);
    }
    sum
}
