//! The pointwise feed-forward part of a layer.

use burn::config::Config;
use burn::module::Module;
use burn::nn::Initializer;
use burn::tensor::{Device, Tensor};

use crate::blocks::{Linear, LinearConfig};
use crate::kernels::gelu;

/// The standard deviation of a fresh bias.
const BIAS_STD: f64 = 1e-6;

/// Configuration of [`Mlp`].
#[derive(Config, Debug)]
pub struct MlpConfig {
    /// The channels of a token.
    pub hidden: usize,
    /// The channels in the middle.
    pub wide: usize,
}

/// `linear(GELU(linear(x)))`.
#[derive(Module, Debug)]
pub struct Mlp {
    /// `[wide, hidden]`
    pub expand: Linear,
    /// `[hidden, wide]`
    pub project: Linear,
}

impl MlpConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> Mlp {
        let bound = (6.0 / (self.hidden + self.wide) as f64).sqrt();
        let weight = Initializer::Uniform { min: -bound, max: bound };
        let bias = Initializer::Normal { mean: 0.0, std: BIAS_STD };
        Mlp {
            expand: LinearConfig::new(self.hidden, self.wide).init_with(&weight, Some(&bias), device),
            project: LinearConfig::new(self.wide, self.hidden).init_with(&weight, Some(&bias), device),
        }
    }
}

impl Mlp {
    /// Computes the block.
    ///
    /// # Shapes
    /// - input: `[n, hidden, h, w]`
    /// - output: `[n, hidden, h, w]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.project.forward(gelu(self.expand.forward(x)))
    }
}
