//! 2-D convolution.

use ndarray::{Array4, ArrayD, ArrayView4};

use super::OpError;
use crate::graph::Conv;

/// `y[n, o, i, j] = bias[o] + sum over c, k, l of weight[o, c, k, l] * x[n, first(o) + c, i', j']`, where
/// `i' = stride * i + dilation * k - top` (`j'` likewise), `x` is zero outside of the image, and `first(o)` is the
/// first channel of `o`'s group.
pub(super) fn convolve(
    conv: &Conv,
    x: &ArrayD<f64>,
    weight: &ArrayD<f64>,
    bias: Option<&ArrayD<f64>>,
) -> Result<ArrayD<f64>, OpError> {
    let (x, weight) = (images(x)?, images(weight)?);
    let (batch, _, height, width) = x.dim();
    let (out_channels, in_channels, kernel_height, kernel_width) = weight.dim();
    let [top, left, bottom, right] = conv.pads;
    let ([row_stride, column_stride], [row_dilation, column_dilation]) = (conv.strides, conv.dilations);
    let rows = Taps { size: height, kernel: kernel_height, stride: row_stride, dilation: row_dilation, before: top };
    let columns =
        Taps { size: width, kernel: kernel_width, stride: column_stride, dilation: column_dilation, before: left };
    let mut y = Array4::zeros((batch, out_channels, rows.outputs(bottom)?, columns.outputs(right)?));
    let out_channels_per_group = (out_channels / conv.group).max(1);
    for ((n, o, i, j), y) in y.indexed_iter_mut() {
        let first = o / out_channels_per_group * in_channels;
        *y = bias.map_or(0.0, |bias| bias[o]);
        for k in 0..kernel_height {
            let Some(row) = rows.source(i, k) else { continue };
            for l in 0..kernel_width {
                let Some(column) = columns.source(j, l) else { continue };
                for c in 0..in_channels {
                    *y += weight[[o, c, k, l]] * x[[n, first + c, row, column]];
                }
            }
        }
    }
    Ok(y.into_dyn())
}

fn images(array: &ArrayD<f64>) -> Result<ArrayView4<'_, f64>, OpError> {
    array.view().into_dimensionality().map_err(|_| OpError::Operands("of rank 4"))
}

/// Where a kernel looks on one axis.
struct Taps {
    size: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
    before: usize,
}

impl Taps {
    fn outputs(&self, after: usize) -> Result<usize, OpError> {
        let reach = self.dilation * (self.kernel - 1) + 1;
        let padded = self.before + self.size + after;
        let steps = padded.checked_sub(reach).ok_or(OpError::Kernel { reach, padded })?;
        Ok(steps / self.stride + 1)
    }

    /// The pixel under a tap, unless that lies in the padding.
    fn source(&self, output: usize, tap: usize) -> Option<usize> {
        let position = (output * self.stride + tap * self.dilation).checked_sub(self.before)?;
        (position < self.size).then_some(position)
    }
}
