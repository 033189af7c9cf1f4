//! The pointwise feed-forward part with a depthwise convolution in its wide middle.

use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};

use crate::initial::normal_by_fan_out;
use crate::kernels::{depthwise, depthwise_layer, gelu, pointwise, pointwise_layer};

/// Configuration of [`FeedForward`].
#[derive(Config, Debug)]
pub struct FeedForwardConfig {
    /// The number of channels.
    pub channels: usize,
    /// The channels in the middle over those at the ends.
    pub ratio: usize,
}

/// `conv1x1(GELU(dw3x3(conv1x1(x))))`.
#[derive(Module, Debug)]
pub struct FeedForward {
    /// `[ratio * c, c, 1, 1]`
    pub expand: Conv2d,
    /// `[ratio * c, 1, 3, 3]`
    pub local: Conv2d,
    /// `[c, ratio * c, 1, 1]`
    pub project: Conv2d,
}

impl FeedForwardConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> FeedForward {
        let wide = self.ratio * self.channels;
        let [expand, local, project] = [
            pointwise_layer(self.channels, wide, device),
            depthwise_layer(wide, [3, 3], 1, device),
            pointwise_layer(wide, self.channels, device),
        ]
        .map(|conv| normal_by_fan_out(conv, device));
        FeedForward { expand, local, project }
    }
}

impl FeedForward {
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
