//! The first embedding: two convolutions to a quarter of the size.

use burn::config::Config;
use burn::module::Module;
use burn::nn::PaddingConfig2d;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::{Device, Tensor};

use crate::blocks::{BatchNorm, BatchNormConfig};
use crate::initial::normal_by_fan_out;
use crate::kernels::convolution;

/// Configuration of [`Stem`].
#[derive(Config, Debug)]
pub struct StemConfig {
    /// The image's channels.
    pub channels_in: usize,
    /// Output channels, even.
    pub channels_out: usize,
}

/// `BN(conv3x3 stride 2 (GELU(BN(conv3x3 stride 2 (x)))))`, half of the channels in the middle.
#[derive(Module, Debug)]
pub struct Stem {
    /// `[channels_out / 2, channels_in, 3, 3]`, stride 2
    pub conv1: Conv2d,
    /// After the first convolution.
    pub norm1: BatchNorm,
    /// `[channels_out, channels_out / 2, 3, 3]`, stride 2
    pub conv2: Conv2d,
    /// After the second convolution.
    pub norm2: BatchNorm,
}

impl StemConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> Stem {
        let middle = self.channels_out / 2;
        Stem {
            conv1: halving([self.channels_in, middle], device),
            norm1: BatchNormConfig::new(middle).init(device),
            conv2: halving([middle, self.channels_out], device),
            norm2: BatchNormConfig::new(self.channels_out).init(device),
        }
    }
}

/// Makes a 3x3 convolution of stride 2 whose output has half the size, rounded up.
pub(super) fn halving(channels: [usize; 2], device: &Device) -> Conv2d {
    let conv = Conv2dConfig::new(channels, [3, 3]).with_stride([2, 2]);
    normal_by_fan_out(conv.with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1)).init(device), device)
}

impl Stem {
    /// Computes the block.
    ///
    /// # Shapes
    /// - input: `[n, channels_in, h, w]`
    /// - output: `[n, channels_out, ceil(h / 4), ceil(w / 4)]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.norm1.forward_gelu(convolution(&self.conv1, x));
        self.norm2.forward(convolution(&self.conv2, x))
    }
}
