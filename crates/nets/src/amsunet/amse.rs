//! AMSE: attention and feed-forward part under one residual, normalised before each.

use burn::config::Config;
use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{Attention, AttentionConfig, Ffn, FfnConfig};
use crate::blocks::{BatchNorm, BatchNormConfig};
use crate::kernels::fused::{self, layer};
use crate::kernels::{gelu, is_fused};

/// Configuration of [`Amse`].
#[derive(Config, Debug)]
pub struct AmseConfig {
    /// The number of channels.
    pub channels: usize,
    /// The dilation of the atrous convolution.
    pub dilation: usize,
}

/// `GELU(FFN(BN2(Attention(BN1(x)))) + x)`.
#[derive(Module, Debug)]
pub struct Amse {
    /// Before the attention.
    pub norm1: BatchNorm,
    /// The attention.
    pub attention: Attention,
    /// Before the feed-forward part.
    pub norm2: BatchNorm,
    /// The feed-forward part.
    pub ffn: Ffn,
}

impl AmseConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> Amse {
        Amse {
            norm1: BatchNormConfig::new(self.channels).init(device),
            attention: AttentionConfig::new(self.channels, self.dilation).init(device),
            norm2: BatchNormConfig::new(self.channels).init(device),
            ffn: FfnConfig::new(self.channels).init(device),
        }
    }
}

impl Amse {
    /// Computes the block.
    ///
    /// # Shapes
    /// - input: `[n, c, h, w]`
    /// - output: `[n, c, h, w]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        if is_fused(&x) {
            return self.forward_fused(x);
        }
        let y = self.norm1.forward(x.clone());
        let y = self.attention.forward(y);
        let y = self.norm2.forward(y);
        let y = self.ffn.forward(y);
        gelu(y + x)
    }

    /// Computes [`forward`](Self::forward) by the fused operators of the CPU.
    fn forward_fused(&self, x: Tensor<4>) -> Tensor<4> {
        let Self { norm1, attention, norm2, ffn } = self;
        let y = fused::norm_pointwise(norm1.fused(&x), x.clone(), layer(&attention.conv1));
        let y = fused::attention(y, attention.ams.dilation(), attention.layers_behind_first());
        fused::feed_forward(norm2.fused(&y), y, x, [&ffn.expand, &ffn.local, &ffn.project].map(layer))
    }
}
