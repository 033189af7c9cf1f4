//! A step of the encoder: half the size.

use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::{Device, Tensor};

use super::{Block, BlockConfig};
use crate::blocks::{BatchNorm, BatchNormConfig};
use crate::kernels::convolution;

/// Configuration of [`Down`].
#[derive(Config, Debug)]
pub struct DownConfig {
    /// Input channels.
    pub channels_in: usize,
    /// Output channels.
    pub channels_out: usize,
    /// The number of blocks.
    pub depth: usize,
}

/// Blocks behind `conv2x2 stride 2 (BN(x))`; an odd last row or column is left out.
#[derive(Module, Debug)]
pub struct Down {
    /// Before the convolution.
    pub norm: BatchNorm,
    /// `[channels_out, channels_in, 2, 2]`, stride 2
    pub conv: Conv2d,
    /// The stage's blocks.
    pub blocks: Vec<Block>,
}

impl DownConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> Down {
        Down {
            norm: BatchNormConfig::new(self.channels_in).init(device),
            conv: Conv2dConfig::new([self.channels_in, self.channels_out], [2, 2]).with_stride([2, 2]).init(device),
            blocks: (0..self.depth).map(|_| BlockConfig::new(self.channels_out).init(device)).collect(),
        }
    }
}

impl Down {
    /// Computes the block.
    ///
    /// # Shapes
    /// - input: `[n, channels_in, h, w]`
    /// - output: `[n, channels_out, floor(h / 2), floor(w / 2)]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.norm.forward(x);
        let x = convolution(&self.conv, x);
        self.blocks.iter().fold(x, |x, block| block.forward(x))
    }
}
