//! The first stage: a large kernel whose border is reflected.

use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::{Device, Tensor};

use super::block::REACH;
use super::{Block, BlockConfig};
use crate::blocks::{BatchNorm, BatchNormConfig};
use crate::kernels::{convolution, mirror};

/// Configuration of [`Stem`].
#[derive(Config, Debug)]
pub struct StemConfig {
    /// The image's channels.
    pub channels_in: usize,
    /// The stage's channels.
    pub channels_out: usize,
}

/// `Block(GELU(BN(reflect-padded conv7x7(x))))`.
#[derive(Module, Debug)]
pub struct Stem {
    /// `[c, channels_in, 7, 7]`
    pub conv: Conv2d,
    /// After the convolution.
    pub norm: BatchNorm,
    /// The stage's block.
    pub block: Block,
}

impl StemConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> Stem {
        let kernel = [2 * REACH + 1; 2];
        Stem {
            conv: Conv2dConfig::new([self.channels_in, self.channels_out], kernel).init(device),
            norm: BatchNormConfig::new(self.channels_out).init(device),
            block: BlockConfig::new(self.channels_out).init(device),
        }
    }
}

impl Stem {
    /// Computes the block.
    ///
    /// # Shapes
    /// - input: `[n, channels_in, h, w]`, each side longer than 3
    /// - output: `[n, c, h, w]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = mirror(x, REACH);
        let x = convolution(&self.conv, x);
        let x = self.norm.forward_gelu(x);
        self.block.forward(x)
    }
}
