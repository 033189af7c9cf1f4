//! A pointwise convolution with group normalisation.

use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::{Device, Tensor};

use crate::blocks::{GroupNorm, GroupNormConfig};
use crate::initial::normal_by_fan_in;
use crate::kernels::pointwise;

/// The number of groups.
pub(super) const GROUPS: usize = 32;

/// Added to the variance.
const EPSILON: f64 = 1e-5;

/// Configuration of [`ConvNorm`].
#[derive(Config, Debug)]
pub struct ConvNormConfig {
    /// Input channels.
    pub channels_in: usize,
    /// Output channels, a multiple of 32.
    pub channels_out: usize,
}

/// `GN(conv1x1(x))`, the convolution without bias.
#[derive(Module, Debug)]
pub struct ConvNorm {
    /// `[channels_out, channels_in, 1, 1]`
    pub conv: Conv2d,
    /// After the convolution.
    pub norm: GroupNorm,
}

impl ConvNormConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> ConvNorm {
        let conv = Conv2dConfig::new([self.channels_in, self.channels_out], [1, 1]).with_bias(false).init(device);
        ConvNorm {
            conv: normal_by_fan_in(conv, device),
            norm: GroupNormConfig::new(GROUPS, self.channels_out, EPSILON).init(device),
        }
    }
}

impl ConvNorm {
    /// Computes the block.
    ///
    /// # Shapes
    /// - input: `[n, channels_in, h, w]`
    /// - output: `[n, channels_out, h, w]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.norm.forward(pointwise(&self.conv, x))
    }
}
