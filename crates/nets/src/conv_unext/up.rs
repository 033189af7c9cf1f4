//! A step of the decoder: the deep features at the skip's size, joined with the gated skip.

use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};

use super::{Block, BlockConfig, Gate, GateConfig};
use crate::blocks::{BatchNorm, BatchNormConfig};
use crate::kernels::{concatenate, pointwise, pointwise_layer, upsample_to_size_of};

/// Configuration of [`Up`].
#[derive(Config, Debug)]
pub struct UpConfig {
    /// The channels of skip and deep features together, half of them each.
    pub channels_in: usize,
    /// Output channels.
    pub channels_out: usize,
}

/// `Block(conv1x1([gate(deep, skip), deep]))` with `deep` as `pad(upsample2(BN(deep)))`.
///
/// The upsampling is bilinear with aligned corners. Where the skip is one row or column larger,
/// zeros are added below and on the right.
#[derive(Module, Debug)]
pub struct Up {
    /// Before the upsampling.
    pub norm: BatchNorm,
    /// On the skip.
    pub gate: Gate,
    /// `[channels_out, channels_in, 1, 1]`, the skip's channels first
    pub conv: Conv2d,
    /// The stage's block.
    pub block: Block,
}

impl UpConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> Up {
        let half = self.channels_in / 2;
        Up {
            norm: BatchNormConfig::new(half).init(device),
            gate: GateConfig::new(half).init(device),
            conv: pointwise_layer(self.channels_in, self.channels_out, device),
            block: BlockConfig::new(self.channels_out).init(device),
        }
    }
}

impl Up {
    /// Computes the block.
    ///
    /// # Shapes
    /// - deep: `[n, channels_in / 2, floor(h / 2), floor(w / 2)]`
    /// - skip: `[n, channels_in / 2, h, w]`
    /// - output: `[n, channels_out, h, w]`
    pub fn forward(&self, deep: Tensor<4>, skip: Tensor<4>) -> Tensor<4> {
        let deep = self.norm.forward(deep);
        let deep = upsample_to_size_of(deep, &skip);
        let skip = self.gate.forward(deep.clone(), skip);
        let joined = concatenate(vec![skip, deep]);
        self.block.forward(pointwise(&self.conv, joined))
    }
}
