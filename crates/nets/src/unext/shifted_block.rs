//! The block of tokens: an MLP between whose linear maps the channels are shifted.

use burn::config::Config;
use burn::module::Module;
use burn::nn::Initializer;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};

use super::shift;
use crate::blocks::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use crate::initial::normal_by_fan_out;
use crate::kernels::{depthwise, depthwise_layer, gelu};

/// The standard deviation of fresh linear maps.
const STD: f64 = 0.02;

/// Configuration of [`ShiftedBlock`].
#[derive(Config, Debug)]
pub struct ShiftedBlockConfig {
    /// The number of channels.
    pub channels: usize,
}

/// `x + linear(shift_w(GELU(dw3x3(linear(shift_h(LN(x)))))))`.
#[derive(Module, Debug)]
pub struct ShiftedBlock {
    /// Before the first shift.
    pub norm: LayerNorm,
    /// `[c, c]`
    pub expand: Linear,
    /// `[c, 1, 3, 3]`
    pub local: Conv2d,
    /// `[c, c]`
    pub project: Linear,
}

impl ShiftedBlockConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> ShiftedBlock {
        let channels = self.channels;
        let normal = Initializer::Normal { mean: 0.0, std: STD };
        let linear = || LinearConfig::new(channels, channels).init_with(&normal, Some(&Initializer::Zeros), device);
        ShiftedBlock {
            norm: LayerNormConfig::new(channels).init(device),
            expand: linear(),
            local: normal_by_fan_out(depthwise_layer(channels, [3, 3], 1, device), device),
            project: linear(),
        }
    }
}

impl ShiftedBlock {
    /// Computes the block.
    ///
    /// # Shapes
    /// - input: `[n, c, h, w]`
    /// - output: `[n, c, h, w]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let y = self.norm.forward(x.clone());
        let y = shift(y, 2);
        let y = self.expand.forward(y);
        let y = gelu(depthwise(&self.local, y));
        let y = shift(y, 3);
        x + self.project.forward(y)
    }
}
