//! Attention: AMS between two pointwise convolutions.

use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};

use super::ams::STRIPS;
use super::{Ams, AmsConfig};
use crate::kernels::fused::{self, layer};
use crate::kernels::{gelu, pointwise, pointwise_layer};

/// Configuration of [`Attention`].
#[derive(Config, Debug)]
pub struct AttentionConfig {
    /// The number of channels.
    pub channels: usize,
    /// The dilation of the atrous convolution.
    pub dilation: usize,
    /// The lengths of the strips, odd.
    #[config(default = "STRIPS")]
    pub strips: [usize; 3],
}

/// `conv1x1(AMS(GELU(conv1x1(x))))`.
#[derive(Module, Debug)]
pub struct Attention {
    /// `[c, c, 1, 1]`
    pub conv1: Conv2d,
    /// The attention map and its product.
    pub ams: Ams,
    /// `[c, c, 1, 1]`
    pub conv2: Conv2d,
}

impl AttentionConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> Attention {
        Attention {
            conv1: pointwise_layer(self.channels, self.channels, device),
            ams: AmsConfig::new(self.channels, self.dilation).with_strips(self.strips).init(device),
            conv2: pointwise_layer(self.channels, self.channels, device),
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
        let x = gelu(pointwise(&self.conv1, x));
        let x = self.ams.forward(x);
        pointwise(&self.conv2, x)
    }

    /// Returns the layers in the order in which the fused operator takes them.
    pub(super) fn layers(&self) -> [fused::Layer; 11] {
        let Ams { local, atrous, strip_5, strip_7, strip_11, mix } = &self.ams;
        [
            &self.conv1,
            local,
            atrous,
            &strip_5.horizontal,
            &strip_5.vertical,
            &strip_7.horizontal,
            &strip_7.vertical,
            &strip_11.horizontal,
            &strip_11.vertical,
            mix,
            &self.conv2,
        ]
        .map(layer)
    }
}
