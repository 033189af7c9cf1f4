//! The block of a large depthwise kernel and two linear maps.

use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};

use crate::blocks::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use crate::kernels::{crop, depthwise, depthwise_layer, gelu, mirror};

/// The side of the depthwise kernel.
const KERNEL: usize = 7;

/// The pixels that are mirrored at each border.
pub(super) const REACH: usize = KERNEL / 2;

/// The channels in the middle over those at the ends.
const EXPANSION: usize = 4;

/// Configuration of [`Block`].
#[derive(Config, Debug)]
pub struct BlockConfig {
    /// The number of channels.
    pub channels: usize,
}

/// `GELU(x + BN(linear(GELU(linear(BN(dw7x7(x)))))))`, four times as wide in the middle; the border
/// of the depthwise convolution is reflected.
#[derive(Module, Debug)]
pub struct Block {
    /// `[c, 1, 7, 7]`
    pub conv: Conv2d,
    /// After the convolution.
    pub norm1: BatchNorm,
    /// `[4c, c]`
    pub expand: Linear,
    /// `[c, 4c]`
    pub project: Linear,
    /// After the linear maps.
    pub norm2: BatchNorm,
}

impl BlockConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> Block {
        let (channels, wide) = (self.channels, EXPANSION * self.channels);
        Block {
            conv: depthwise_layer(channels, [KERNEL, KERNEL], 1, device),
            norm1: BatchNormConfig::new(channels).init(device),
            expand: LinearConfig::new(channels, wide).init(device),
            project: LinearConfig::new(wide, channels).init(device),
            norm2: BatchNormConfig::new(channels).init(device),
        }
    }
}

impl Block {
    /// Computes the block.
    ///
    /// # Shapes
    /// - input: `[n, c, h, w]`, each side longer than 3
    /// - output: `[n, c, h, w]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let y = self.convolve(x.clone());
        let y = self.norm1.forward(y);
        let y = gelu(self.expand.forward(y));
        let y = self.project.forward(y);
        self.norm2.residual_gelu(y, x)
    }

    /// Computes the depthwise convolution: of the mirrored map, whose own border is then cut off.
    fn convolve(&self, x: Tensor<4>) -> Tensor<4> {
        crop(depthwise(&self.conv, mirror(x, REACH)), REACH)
    }
}
