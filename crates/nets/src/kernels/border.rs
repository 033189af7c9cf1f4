//! A border of mirrored pixels, and the map without its border.

use burn::tensor::Tensor;
use burn::tensor::ops::PadMode;

use super::{fused, is_fused};

/// Adds a border of mirrored pixels, `reach` on each side; the outermost pixels are not repeated.
///
/// # Shapes
/// - input: `[n, c, h, w]`, each side longer than `reach`
/// - output: `[n, c, h + 2 reach, w + 2 reach]`
pub(crate) fn mirror(x: Tensor<4>, reach: usize) -> Tensor<4> {
    if is_fused(&x) { fused::mirror(x, reach) } else { x.pad((reach, reach, reach, reach), PadMode::Reflect) }
}

/// Leaves out the outermost pixels, `reach` on each side.
///
/// # Shapes
/// - input: `[n, c, h, w]`
/// - output: `[n, c, h - 2 reach, w - 2 reach]`
pub(crate) fn crop(x: Tensor<4>, reach: usize) -> Tensor<4> {
    let [_, _, h, w] = x.dims();
    if is_fused(&x) {
        return fused::crop(x, reach);
    }
    x.narrow(2, reach, h - 2 * reach).narrow(3, reach, w - 2 * reach)
}
