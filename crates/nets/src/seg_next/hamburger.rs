//! The map's main parts: a factorisation between two pointwise convolutions.

use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use super::{ConvNorm, ConvNormConfig, Factors, FactorsConfig};
use crate::initial::normal_by_fan_in;
use crate::kernels::{pointwise, pointwise_layer};

/// Configuration of [`Hamburger`].
#[derive(Config, Debug)]
pub struct HamburgerConfig {
    /// The number of channels.
    pub channels: usize,
    /// The number of bases.
    pub rank: usize,
}

/// `ReLU(x + GN(conv1x1(factors(ReLU(conv1x1(x))))))`.
#[derive(Module, Debug)]
pub struct Hamburger {
    /// `[c, c, 1, 1]`
    pub conv: Conv2d,
    /// The factorisation.
    pub factors: Factors,
    /// After the factorisation.
    pub out: ConvNorm,
}

impl HamburgerConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> Hamburger {
        Hamburger {
            conv: normal_by_fan_in(pointwise_layer(self.channels, self.channels, device), device),
            factors: FactorsConfig::new(self.channels, self.rank).init(device),
            out: ConvNormConfig::new(self.channels, self.channels).init(device),
        }
    }
}

impl Hamburger {
    /// Computes the block.
    ///
    /// # Shapes
    /// - input: `[n, c, h, w]`
    /// - output: `[n, c, h, w]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let y = relu(pointwise(&self.conv, x.clone()));
        let y = self.factors.forward(y);
        relu(x + self.out.forward(y))
    }
}
