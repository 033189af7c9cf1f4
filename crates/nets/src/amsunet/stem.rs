//! The first stage: the one convolution whose border is reflected.

use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::ops::PadMode;
use burn::tensor::{Device, Tensor};

use super::{Amse, AmseConfig};
use crate::blocks::{BatchNorm, BatchNormConfig};
use crate::kernels::{convolution, fused, gelu, is_fused};

/// Configuration of [`Stem`].
#[derive(Config, Debug)]
pub struct StemConfig {
    /// The image's channels.
    pub channels_in: usize,
    /// The stage's channels.
    pub channels_out: usize,
}

/// `AMSE(GELU(BN(reflect-padded conv3x3(x))))`.
#[derive(Module, Debug)]
pub struct Stem {
    /// `[c, channels_in, 3, 3]`
    pub conv: Conv2d,
    /// After the convolution.
    pub norm: BatchNorm,
    /// The stage's block, without dilation.
    pub amse: Amse,
}

impl StemConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> Stem {
        Stem {
            conv: Conv2dConfig::new([self.channels_in, self.channels_out], [3, 3]).init(device),
            norm: BatchNormConfig::new(self.channels_out).init(device),
            amse: AmseConfig::new(self.channels_out, 1).init(device),
        }
    }
}

impl Stem {
    /// Computes the block.
    ///
    /// # Shapes
    /// - input: `[n, channels_in, h, w]`
    /// - output: `[n, c, h, w]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = x.pad((1, 1, 1, 1), PadMode::Reflect);
        let x = convolution(&self.conv, x);
        let x = if is_fused(&x) { fused::norm_gelu(self.norm.fused(&x), x) } else { gelu(self.norm.forward(x)) };
        self.amse.forward(x)
    }
}
