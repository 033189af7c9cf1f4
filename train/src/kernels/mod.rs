//! The operators that the networks need other than Burn has them.

mod depthwise;
mod gelu;
mod pointwise;

pub use depthwise::depthwise;
pub use gelu::gelu;
pub use pointwise::pointwise;

use burn::tensor::{Device, Tensor};

/// Whether a tensor lies on the CPU backend.
fn is_cpu(x: &Tensor<4>) -> bool {
    x.device().inner() == Device::flex()
}
