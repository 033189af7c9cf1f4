//! Attention: a map of weights by convolutions of several sizes, between two pointwise ones.

use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};

use crate::amsunet::{Strip, StripConfig};
use crate::initial::normal_by_fan_out;
use crate::kernels::{depthwise, depthwise_layer, gelu, pointwise, pointwise_layer};

/// Configuration of [`Attention`].
#[derive(Config, Debug)]
pub struct AttentionConfig {
    /// The number of channels.
    pub channels: usize,
}

/// `x + conv1x1(mix(local + strips of 7, 11 and 21 (local)) * g)` with `g = GELU(conv1x1(x))` and
/// `local = dw5x5(g)`.
#[derive(Module, Debug)]
pub struct Attention {
    /// `[c, c, 1, 1]`
    pub conv1: Conv2d,
    /// `[c, 1, 5, 5]`
    pub local: Conv2d,
    /// `[c, 1, 1, 7]` and `[c, 1, 7, 1]`
    pub strip_7: Strip,
    /// `[c, 1, 1, 11]` and `[c, 1, 11, 1]`
    pub strip_11: Strip,
    /// `[c, 1, 1, 21]` and `[c, 1, 21, 1]`
    pub strip_21: Strip,
    /// `[c, c, 1, 1]`
    pub mix: Conv2d,
    /// `[c, c, 1, 1]`
    pub conv2: Conv2d,
}

impl AttentionConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> Attention {
        let channels = self.channels;
        let pointwise = || normal_by_fan_out(pointwise_layer(channels, channels, device), device);
        let strip = |length| {
            let Strip { horizontal, vertical } = StripConfig::new(channels, length).init(device);
            let [horizontal, vertical] = [horizontal, vertical].map(|conv| normal_by_fan_out(conv, device));
            Strip { horizontal, vertical }
        };
        Attention {
            conv1: pointwise(),
            local: normal_by_fan_out(depthwise_layer(channels, [5, 5], 1, device), device),
            strip_7: strip(7),
            strip_11: strip(11),
            strip_21: strip(21),
            mix: pointwise(),
            conv2: pointwise(),
        }
    }
}

impl Attention {
    /// Computes the block.
    ///
    /// # Shapes
    /// - input: `[n, c, h, w]`
    /// - output: `[n, c, h, w]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let g = gelu(pointwise(&self.conv1, x.clone()));
        let local = depthwise(&self.local, g.clone());
        let strips = [&self.strip_7, &self.strip_11, &self.strip_21].map(|strip| strip.forward(local.clone()));
        let sum = strips.into_iter().fold(local, |sum, strip| sum + strip);
        let y = pointwise(&self.mix, sum) * g;
        x + pointwise(&self.conv2, y)
    }
}
