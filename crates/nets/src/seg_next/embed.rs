//! The embedding of a later stage: one convolution to half the size.

use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};

use super::stem::halving;
use crate::blocks::{BatchNorm, BatchNormConfig};
use crate::kernels::convolution;

/// Configuration of [`Embed`].
#[derive(Config, Debug)]
pub struct EmbedConfig {
    /// Input channels.
    pub channels_in: usize,
    /// Output channels.
    pub channels_out: usize,
}

/// `BN(conv3x3 stride 2 (x))`.
#[derive(Module, Debug)]
pub struct Embed {
    /// `[channels_out, channels_in, 3, 3]`, stride 2
    pub conv: Conv2d,
    /// After the convolution.
    pub norm: BatchNorm,
}

impl EmbedConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> Embed {
        Embed {
            conv: halving([self.channels_in, self.channels_out], device),
            norm: BatchNormConfig::new(self.channels_out).init(device),
        }
    }
}

impl Embed {
    /// Computes the block.
    ///
    /// # Shapes
    /// - input: `[n, channels_in, h, w]`
    /// - output: `[n, channels_out, ceil(h / 2), ceil(w / 2)]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.norm.forward(convolution(&self.conv, x))
    }
}
