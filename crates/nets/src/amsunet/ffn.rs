//! FFN: the pointwise feed-forward part with a depthwise convolution in its wide middle.

use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};

use crate::kernels::{depthwise, depthwise_layer, gelu, pointwise, pointwise_layer};

/// The channels in the middle over those at the ends.
const EXPANSION: usize = 4;

/// Configuration of [`Ffn`].
#[derive(Config, Debug)]
pub struct FfnConfig {
    /// The number of channels.
    pub channels: usize,
}

/// `conv1x1(GELU(dw3x3(conv1x1(x))))`, four times as wide in the middle.
#[derive(Module, Debug)]
pub struct Ffn {
    /// `[4c, c, 1, 1]`
    pub expand: Conv2d,
    /// `[4c, 1, 3, 3]`
    pub local: Conv2d,
    /// `[c, 4c, 1, 1]`
    pub project: Conv2d,
}

impl FfnConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> Ffn {
        let wide = EXPANSION * self.channels;
        Ffn {
            expand: pointwise_layer(self.channels, wide, device),
            local: depthwise_layer(wide, [3, 3], 1, device),
            project: pointwise_layer(wide, self.channels, device),
        }
    }
}

impl Ffn {
    /// Computes the block.
    ///
    /// # Shapes
    /// - input: `[n, c, h, w]`
    /// - output: `[n, c, h, w]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = pointwise(&self.expand, x);
        let x = gelu(depthwise(&self.local, x));
        pointwise(&self.project, x)
    }
}
