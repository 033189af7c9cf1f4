//! Two 3x3 convolutions, each with its normalisation and ReLU.

use burn::config::Config;
use burn::module::Module;
use burn::nn::PaddingConfig2d;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::{Device, Tensor};

use super::{BatchNorm, BatchNormConfig};
use crate::kernels::convolution;

/// Configuration of [`DoubleConv`].
#[derive(Config, Debug)]
pub struct DoubleConvConfig {
    /// Input channels.
    pub channels_in: usize,
    /// Channels between the convolutions.
    pub channels_middle: usize,
    /// Output channels.
    pub channels_out: usize,
    /// True if the convolutions have a bias, which the normalisation behind them takes out again.
    #[config(default = false)]
    pub bias: bool,
}

/// `ReLU(BN(conv3x3(ReLU(BN(conv3x3(x))))))`, zeros at the border, convolutions without bias.
#[derive(Module, Debug)]
pub struct DoubleConv {
    /// `[channels_middle, channels_in, 3, 3]`
    pub conv1: Conv2d,
    /// After the first convolution.
    pub norm1: BatchNorm,
    /// `[channels_out, channels_middle, 3, 3]`
    pub conv2: Conv2d,
    /// After the second convolution.
    pub norm2: BatchNorm,
}

impl DoubleConvConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> DoubleConv {
        let Self { channels_in, channels_middle, channels_out, bias } = *self;
        DoubleConv {
            conv1: conv3x3(channels_in, channels_middle, bias, device),
            norm1: BatchNormConfig::new(channels_middle).init(device),
            conv2: conv3x3(channels_middle, channels_out, bias, device),
            norm2: BatchNormConfig::new(channels_out).init(device),
        }
    }
}

/// Makes a 3x3 convolution that keeps the size.
pub(crate) fn conv3x3(channels_in: usize, channels_out: usize, bias: bool, device: &Device) -> Conv2d {
    let config = Conv2dConfig::new([channels_in, channels_out], [3, 3]);
    config.with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1)).with_bias(bias).init(device)
}

impl DoubleConv {
    /// Computes the block.
    ///
    /// # Shapes
    /// - input: `[n, channels_in, h, w]`
    /// - output: `[n, channels_out, h, w]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.norm1.forward_relu(convolution(&self.conv1, x));
        self.norm2.forward_relu(convolution(&self.conv2, x))
    }
}
