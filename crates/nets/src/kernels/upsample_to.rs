//! Upsampling to the size of another map.

use burn::tensor::Tensor;
use burn::tensor::ops::PadMode;

use super::{fused, is_fused, upsample};

/// Upsamples a map to twice its height and width, bilinear with aligned corners, and pads it with
/// zeros to the size of another: `floor(difference / 2)` rows and columns before, the rest after.
///
/// On the CPU in float32, coordinates are rounded as ONNX Runtime's `Resize` rounds them, so that
/// the trained network and the deployed one read at the same places.
///
/// # Shapes
/// - input: `[n, c, h, w]`
/// - like: `[_, _, h', w']`, neither side shorter than twice the input's
/// - output: `[n, c, h', w']`
pub fn upsample_to_size_of(x: Tensor<4>, like: &Tensor<4>) -> Tensor<4> {
    let [_, _, height, width] = like.dims();
    if is_fused(&x) {
        return fused::upsample_to(x, [height, width]);
    }
    let x = upsample(x);
    let [_, _, rows, columns] = x.dims();
    let (rows, columns) = (height - rows, width - columns);
    if rows == 0 && columns == 0 {
        return x;
    }
    let (top, left) = (rows / 2, columns / 2);
    x.pad((left, columns - left, top, rows - top), PadMode::Constant(0.0))
}
