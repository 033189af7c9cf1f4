//! 2-D transposed convolution.

use ndarray::{Array2, Array4, ArrayD, Axis, s};
use rayon::prelude::*;

use super::OpError;
use super::conv::images;

/// Computes `y[n, o, stride * i + k, stride * j + l] = bias[o] + sum over c of weight[c, o, k, l] *
/// x[n, c, i, j]`; where taps meet, all are added.
pub(super) fn spread(
    [row_stride, column_stride]: [usize; 2],
    x: &ArrayD<f64>,
    weight: &ArrayD<f64>,
    bias: Option<&ArrayD<f64>>,
) -> Result<ArrayD<f64>, OpError> {
    let (x, weight) = (x.as_standard_layout(), weight.as_standard_layout());
    let (x, weight) = (images(x.view())?, images(weight.view())?);
    let (batch, channels, height, width) = x.dim();
    let (_, out_channels, kernel_height, kernel_width) = weight.dim();
    let side = |size: usize, stride: usize, kernel: usize| match size.checked_sub(1) {
        Some(steps) => Ok(steps * stride + kernel),
        None => Err(OpError::Operands("images with pixels")),
    };
    let rows = side(height, row_stride, kernel_height)?;
    let columns = side(width, column_stride, kernel_width)?;
    let mut y = Array4::zeros((batch, out_channels, rows, columns));
    let mut parts: Vec<_> = y.outer_iter_mut().zip(x.outer_iter()).collect();
    parts.par_iter_mut().for_each(|(y, x)| {
        let pixels = x.to_shape((channels, height * width)).expect("the same numbers, one row for each channel");
        for k in 0..kernel_height {
            for l in 0..kernel_width {
                // `[o, (i, j)]`
                let taps: Array2<f64> = weight.slice(s![.., .., k, l]).t().dot(&pixels);
                let taps = taps.to_shape((out_channels, height, width)).expect("a number for each pixel");
                let last = [k + (height - 1) * row_stride, l + (width - 1) * column_stride];
                let mut places =
                    y.slice_mut(s![.., k..=last[0]; row_stride as isize, l..=last[1]; column_stride as isize]);
                places += &taps;
            }
        }
    });
    if let Some(bias) = bias {
        for (mut channel, bias) in y.axis_iter_mut(Axis(1)).zip(bias) {
            channel += *bias;
        }
    }
    Ok(y.into_dyn())
}
