//! Zeros around a map that is smaller than another one.

use burn::tensor::Tensor;
use burn::tensor::ops::PadMode;

/// Pads a map with zeros to the height and width of another: `floor(difference / 2)` rows and
/// columns before, the rest after.
///
/// # Shapes
/// - input: `[n, c, h, w]`
/// - like: `[_, _, h', w']`, neither side shorter than the input's
/// - output: `[n, c, h', w']`
pub fn pad_to_size_of(x: Tensor<4>, like: &Tensor<4>) -> Tensor<4> {
    let [_, _, height, width] = x.dims();
    let [_, _, height_like, width_like] = like.dims();
    let (rows, columns) = (height_like - height, width_like - width);
    if rows == 0 && columns == 0 {
        return x;
    }
    let (top, left) = (rows / 2, columns / 2);
    x.pad((left, columns - left, top, rows - top), PadMode::Constant(0.0))
}
