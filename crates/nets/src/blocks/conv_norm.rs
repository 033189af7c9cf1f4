//! A 3x3 convolution with batch normalisation.

use burn::config::Config;
use burn::module::Module;
use burn::nn::PaddingConfig2d;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::{Device, Tensor};

use super::{BatchNorm, BatchNormConfig};
use crate::kernels::convolution;

/// Configuration of [`ConvNorm`].
#[derive(Config, Debug)]
pub struct ConvNormConfig {
    /// Input channels.
    pub channels_in: usize,
    /// Output channels.
    pub channels_out: usize,
}

/// `BN(conv3x3(x))`, zeros at the border, the convolution without bias.
#[derive(Module, Debug)]
pub struct ConvNorm {
    /// `[channels_out, channels_in, 3, 3]`
    pub conv: Conv2d,
    /// After the convolution.
    pub norm: BatchNorm,
}

impl ConvNormConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> ConvNorm {
        let conv = Conv2dConfig::new([self.channels_in, self.channels_out], [3, 3]).with_bias(false);
        ConvNorm {
            conv: conv.with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1)).init(device),
            norm: BatchNormConfig::new(self.channels_out).init(device),
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
        self.norm.forward(convolution(&self.conv, x))
    }
}
