//! The joining of the last three stages.

use burn::config::Config;
use burn::module::Module;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use super::{ConvNorm, ConvNormConfig};
use crate::kernels::{concatenate, resize_half_pixel};

/// Configuration of [`Squeeze`].
#[derive(Config, Debug)]
pub struct SqueezeConfig {
    /// The channels of the three stages together.
    pub channels_in: usize,
    /// Output channels.
    pub channels_out: usize,
}

/// `ReLU(GN(conv1x1([x, resize(y), resize(z)])))`, the smaller maps resized to the first's size.
#[derive(Module, Debug)]
pub struct Squeeze {
    /// On all maps together.
    pub layer: ConvNorm,
}

impl SqueezeConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> Squeeze {
        Squeeze { layer: ConvNormConfig::new(self.channels_in, self.channels_out).init(device) }
    }
}

impl Squeeze {
    /// Computes the block.
    ///
    /// # Shapes
    /// - inputs: `[n, c1, h, w]`, and two smaller maps of `c2` and `c3` channels
    /// - output: `[n, channels_out, h, w]`
    pub fn forward(&self, maps: [Tensor<4>; 3]) -> Tensor<4> {
        let [_, _, height, width] = maps[0].dims();
        let maps = maps.map(|map| resize_half_pixel(map, [height, width]));
        relu(self.layer.forward(concatenate(maps.into())))
    }
}
