//! The block of a stage: attention and feed-forward, each added with a factor per channel.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::{Device, Tensor};

use super::{Attention, AttentionConfig, FeedForward, FeedForwardConfig};
use crate::blocks::{BatchNorm, BatchNormConfig};
use crate::kernels::scale_channels;

/// The fresh value of the factors.
const SCALE: f64 = 0.01;

/// Configuration of [`Block`].
#[derive(Config, Debug)]
pub struct BlockConfig {
    /// The number of channels.
    pub channels: usize,
    /// The channels in the middle of the feed-forward part over those at its ends.
    pub ratio: usize,
}

/// `y = x + scale1 * Attention(BN(x))`, then `y + scale2 * FeedForward(BN(y))`.
#[derive(Module, Debug)]
pub struct Block {
    /// Before the attention.
    pub norm1: BatchNorm,
    /// With its own input added.
    pub attention: Attention,
    /// `[c]`
    pub scale1: Param<Tensor<1>>,
    /// Before the feed-forward part.
    pub norm2: BatchNorm,
    /// The feed-forward part.
    pub feed_forward: FeedForward,
    /// `[c]`
    pub scale2: Param<Tensor<1>>,
}

impl BlockConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> Block {
        let channels = self.channels;
        let scale = || Initializer::Constant { value: SCALE }.init([channels], device);
        Block {
            norm1: BatchNormConfig::new(channels).init(device),
            attention: AttentionConfig::new(channels).init(device),
            scale1: scale(),
            norm2: BatchNormConfig::new(channels).init(device),
            feed_forward: FeedForwardConfig::new(channels, self.ratio).init(device),
            scale2: scale(),
        }
    }
}

impl Block {
    /// Computes the block.
    ///
    /// # Shapes
    /// - input: `[n, c, h, w]`
    /// - output: `[n, c, h, w]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let y = self.attention.forward(self.norm1.forward(x.clone()));
        let x = x + scale_channels(&self.scale1, y);
        let y = self.feed_forward.forward(self.norm2.forward(x.clone()));
        x + scale_channels(&self.scale2, y)
    }
}
