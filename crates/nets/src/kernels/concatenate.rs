//! Maps, one behind the other.

use burn::tensor::Tensor;

use super::{fused, is_fused};

/// Puts the channels of maps one behind the other.
///
/// # Shapes
/// - inputs: `[n, c_i, h, w]`
/// - output: `[n, sum of c_i, h, w]`
pub fn concatenate(maps: Vec<Tensor<4>>) -> Tensor<4> {
    if maps.iter().all(is_fused) { fused::concatenate(maps) } else { Tensor::cat(maps, 1) }
}
