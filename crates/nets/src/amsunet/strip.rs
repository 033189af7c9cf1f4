//! A large depthwise kernel as two strips.

use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};

use crate::kernels::{depthwise, depthwise_layer};

/// Configuration of [`Strip`].
#[derive(Config, Debug)]
pub struct StripConfig {
    /// The number of channels.
    pub channels: usize,
    /// The length of both strips, odd.
    pub length: usize,
}

/// A depthwise `1 x k` convolution, then a `k x 1` one.
#[derive(Module, Debug)]
pub struct Strip {
    /// `[c, 1, 1, k]`
    pub horizontal: Conv2d,
    /// `[c, 1, k, 1]`
    pub vertical: Conv2d,
}

impl StripConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> Strip {
        Strip {
            horizontal: depthwise_layer(self.channels, [1, self.length], 1, device),
            vertical: depthwise_layer(self.channels, [self.length, 1], 1, device),
        }
    }
}

impl Strip {
    /// Computes the block.
    ///
    /// # Shapes
    /// - input: `[n, c, h, w]`
    /// - output: `[n, c, h, w]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = depthwise(&self.horizontal, x);
        depthwise(&self.vertical, x)
    }
}
