//! A step of the encoder that convolves: half the size.

use burn::config::Config;
use burn::module::Module;
use burn::nn::PaddingConfig2d;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use crate::blocks::{BatchNorm, BatchNormConfig};
use crate::kernels::{convolution, max_pool_2x2};

/// Configuration of [`Encoder`].
#[derive(Config, Debug)]
pub struct EncoderConfig {
    /// Input channels.
    pub channels_in: usize,
    /// Output channels.
    pub channels_out: usize,
}

/// `ReLU(maxpool2x2(BN(conv3x3(x))))`.
#[derive(Module, Debug)]
pub struct Encoder {
    /// `[channels_out, channels_in, 3, 3]`
    pub conv: Conv2d,
    /// After the convolution.
    pub norm: BatchNorm,
}

impl EncoderConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> Encoder {
        Encoder {
            conv: conv3x3([self.channels_in, self.channels_out], device),
            norm: BatchNormConfig::new(self.channels_out).init(device),
        }
    }
}

/// Makes a 3x3 convolution with bias that keeps the size.
pub(super) fn conv3x3(channels: [usize; 2], device: &Device) -> Conv2d {
    Conv2dConfig::new(channels, [3, 3]).with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1)).init(device)
}

impl Encoder {
    /// Computes the block.
    ///
    /// # Shapes
    /// - input: `[n, channels_in, h, w]`
    /// - output: `[n, channels_out, floor(h / 2), floor(w / 2)]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.norm.forward(convolution(&self.conv, x));
        relu(max_pool_2x2(x))
    }
}
