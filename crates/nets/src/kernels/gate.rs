//! ConvUNeXt's gate: how much of a skip is kept, and what is added to it.

use burn::tensor::Tensor;
use burn::tensor::activation::{sigmoid, tanh};

use super::{fused, is_fused};

/// Computes `sigmoid(u) x + sigmoid(v) tanh(w)`, element by element.
///
/// # Shapes
/// - inputs: `[n, c, h, w]`
/// - output: `[n, c, h, w]`
pub(crate) fn gate(u: Tensor<4>, x: Tensor<4>, v: Tensor<4>, w: Tensor<4>) -> Tensor<4> {
    if [&u, &x, &v, &w].into_iter().all(is_fused) {
        return fused::gate(u, x, v, w);
    }
    sigmoid(u) * x + sigmoid(v) * tanh(w)
}
