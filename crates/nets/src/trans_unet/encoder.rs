//! The layers of the transformer.

use burn::config::Config;
use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::layer::EPSILON;
use super::{Layer, LayerConfig};
use crate::blocks::{LayerNorm, LayerNormConfig};

/// Configuration of [`Encoder`].
#[derive(Config, Debug)]
pub struct EncoderConfig {
    /// A layer.
    pub layer: LayerConfig,
    /// The number of layers.
    pub depth: usize,
}

/// `LN(layers(x))`.
#[derive(Module, Debug)]
pub struct Encoder {
    /// The layers.
    pub layers: Vec<Layer>,
    /// At the end.
    pub norm: LayerNorm,
}

impl EncoderConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> Encoder {
        Encoder {
            layers: (0..self.depth).map(|_| self.layer.init(device)).collect(),
            norm: LayerNormConfig::new(self.layer.hidden).with_epsilon(EPSILON).init(device),
        }
    }
}

impl Encoder {
    /// Computes the block.
    ///
    /// # Shapes
    /// - input: `[n, hidden, h, w]`
    /// - output: `[n, hidden, h, w]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.layers.iter().fold(x, |x, layer| layer.forward(x));
        self.norm.forward(x)
    }
}
