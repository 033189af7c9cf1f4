//! The first stage: a large kernel of stride 2.

use burn::config::Config;
use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{StandardConv, StandardConvConfig};
use crate::blocks::{GroupNorm, GroupNormConfig};

/// The number of groups of a normalisation.
pub(super) const GROUPS: usize = 32;

/// Added to the variance.
pub(super) const EPSILON: f64 = 1e-6;

/// Configuration of [`Root`].
#[derive(Config, Debug)]
pub struct RootConfig {
    /// The image's channels.
    pub channels_in: usize,
    /// Output channels, a multiple of 32.
    pub channels_out: usize,
}

/// `ReLU(GN(conv7x7 stride 2 (x)))`.
#[derive(Module, Debug)]
pub struct Root {
    /// `[channels_out, channels_in, 7, 7]`
    pub conv: StandardConv,
    /// After the convolution.
    pub norm: GroupNorm,
}

impl RootConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> Root {
        Root {
            conv: StandardConvConfig::new(self.channels_in, self.channels_out, 7, 2).init(device),
            norm: GroupNormConfig::new(GROUPS, self.channels_out, EPSILON).init(device),
        }
    }
}

impl Root {
    /// Computes the block.
    ///
    /// # Shapes
    /// - input: `[n, channels_in, h, w]`
    /// - output: `[n, channels_out, ceil(h / 2), ceil(w / 2)]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.norm.forward_relu(self.conv.forward(x))
    }
}
