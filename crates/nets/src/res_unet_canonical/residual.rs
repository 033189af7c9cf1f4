//! A residual block that is normalised and activated before each convolution.

use burn::config::Config;
use burn::module::Module;
use burn::nn::PaddingConfig2d;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::{Device, Tensor};

use crate::blocks::{BatchNorm, BatchNormConfig};
use crate::kernels::convolution;

/// Configuration of [`Residual`].
#[derive(Config, Debug)]
pub struct ResidualConfig {
    /// Input channels.
    pub channels_in: usize,
    /// Output channels.
    pub channels_out: usize,
    /// The step of the first convolution and of the shortcut: 2 to halve the size.
    pub stride: usize,
}

/// `conv3x3(relu(BN(conv3x3(relu(BN(x)))))) + BN(conv3x3(x))`.
#[derive(Module, Debug)]
pub struct Residual {
    /// Before the first convolution.
    pub norm1: BatchNorm,
    /// `[channels_out, channels_in, 3, 3]`, with the stride
    pub conv1: Conv2d,
    /// Before the second convolution.
    pub norm2: BatchNorm,
    /// `[channels_out, channels_out, 3, 3]`
    pub conv2: Conv2d,
    /// `[channels_out, channels_in, 3, 3]`, with the stride
    pub skip: Conv2d,
    /// After the shortcut's convolution.
    pub skip_norm: BatchNorm,
}

impl ResidualConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> Residual {
        let Self { channels_in, channels_out, stride } = *self;
        let conv = |channels_in, stride| {
            let config = Conv2dConfig::new([channels_in, channels_out], [3, 3]).with_stride([stride; 2]);
            config.with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1)).init(device)
        };
        Residual {
            norm1: BatchNormConfig::new(channels_in).init(device),
            conv1: conv(channels_in, stride),
            norm2: BatchNormConfig::new(channels_out).init(device),
            conv2: conv(channels_out, 1),
            skip: conv(channels_in, stride),
            skip_norm: BatchNormConfig::new(channels_out).init(device),
        }
    }
}

impl Residual {
    /// Computes the block.
    ///
    /// # Shapes
    /// - input: `[n, channels_in, h, w]`
    /// - output: `[n, channels_out, h / stride, w / stride]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let y = convolution(&self.conv1, self.norm1.forward_relu(x.clone()));
        let y = convolution(&self.conv2, self.norm2.forward_relu(y));
        y + self.skip_norm.forward(convolution(&self.skip, x))
    }
}
