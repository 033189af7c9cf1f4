//! A stage of the backbone: an embedding, blocks, and a normalisation.

use burn::config::Config;
use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{Block, BlockConfig, Embed, EmbedConfig, Stem, StemConfig};
use crate::blocks::{LayerNorm, LayerNormConfig};

/// Configuration of [`Trunk`].
#[derive(Config, Debug)]
pub struct TrunkConfig {
    /// The number of channels.
    pub channels: usize,
    /// The number of blocks.
    pub depth: usize,
    /// The channels in the middle of the blocks' feed-forward parts over those at their ends.
    pub ratio: usize,
}

/// `LN(blocks(x))`.
#[derive(Module, Debug)]
pub struct Trunk {
    /// The blocks.
    pub blocks: Vec<Block>,
    /// At the end.
    pub norm: LayerNorm,
}

impl TrunkConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> Trunk {
        let block = BlockConfig::new(self.channels, self.ratio);
        Trunk {
            blocks: (0..self.depth).map(|_| block.init(device)).collect(),
            norm: LayerNormConfig::new(self.channels).init(device),
        }
    }
}

impl Trunk {
    /// Computes the block.
    ///
    /// # Shapes
    /// - input: `[n, c, h, w]`
    /// - output: `[n, c, h, w]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.blocks.iter().fold(x, |x, block| block.forward(x));
        self.norm.forward(x)
    }
}

/// Configuration of [`First`].
#[derive(Config, Debug)]
pub struct FirstConfig {
    /// The image's channels.
    pub channels_in: usize,
    /// The blocks.
    pub trunk: TrunkConfig,
}

/// The first stage.
#[derive(Module, Debug)]
pub struct First {
    /// To a quarter of the size.
    pub embed: Stem,
    /// The blocks.
    pub trunk: Trunk,
}

impl FirstConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> First {
        First {
            embed: StemConfig::new(self.channels_in, self.trunk.channels).init(device),
            trunk: self.trunk.init(device),
        }
    }
}

impl First {
    /// Computes the block.
    ///
    /// # Shapes
    /// - input: `[n, channels_in, h, w]`
    /// - output: `[n, c, ceil(h / 4), ceil(w / 4)]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.trunk.forward(self.embed.forward(x))
    }
}

/// Configuration of [`Next`].
#[derive(Config, Debug)]
pub struct NextConfig {
    /// Input channels.
    pub channels_in: usize,
    /// The blocks.
    pub trunk: TrunkConfig,
}

/// A later stage.
#[derive(Module, Debug)]
pub struct Next {
    /// To half the size.
    pub embed: Embed,
    /// The blocks.
    pub trunk: Trunk,
}

impl NextConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> Next {
        Next {
            embed: EmbedConfig::new(self.channels_in, self.trunk.channels).init(device),
            trunk: self.trunk.init(device),
        }
    }
}

impl Next {
    /// Computes the block.
    ///
    /// # Shapes
    /// - input: `[n, channels_in, h, w]`
    /// - output: `[n, c, ceil(h / 2), ceil(w / 2)]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.trunk.forward(self.embed.forward(x))
    }
}
