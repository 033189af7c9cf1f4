//! A layer of the transformer.

use burn::config::Config;
use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{Attention, AttentionConfig, Mlp, MlpConfig};
use crate::blocks::{LayerNorm, LayerNormConfig};

/// Added to the variance of a layer normalisation.
pub(super) const EPSILON: f64 = 1e-6;

/// Configuration of [`Layer`].
#[derive(Config, Debug)]
pub struct LayerConfig {
    /// The channels of a token.
    pub hidden: usize,
    /// The number of heads.
    pub heads: usize,
    /// The channels in the middle of the feed-forward part.
    pub wide: usize,
}

/// `y = x + Attention(LN(x))`, then `y + MLP(LN(y))`.
#[derive(Module, Debug)]
pub struct Layer {
    /// Before the attention.
    pub norm1: LayerNorm,
    /// Between all tokens.
    pub attention: Attention,
    /// Before the feed-forward part.
    pub norm2: LayerNorm,
    /// On each token.
    pub mlp: Mlp,
}

impl LayerConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> Layer {
        let norm = || LayerNormConfig::new(self.hidden).with_epsilon(EPSILON).init(device);
        Layer {
            norm1: norm(),
            attention: AttentionConfig::new(self.hidden, self.heads).init(device),
            norm2: norm(),
            mlp: MlpConfig::new(self.hidden, self.wide).init(device),
        }
    }
}

impl Layer {
    /// Computes the block.
    ///
    /// # Shapes
    /// - input: `[n, hidden, h, w]`
    /// - output: `[n, hidden, h, w]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = x.clone() + self.attention.forward(self.norm1.forward(x));
        x.clone() + self.mlp.forward(self.norm2.forward(x))
    }
}
