//! A step of the decoder that mixes tokens: twice the size, and the skip added.

use burn::config::Config;
use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{Decoder, DecoderConfig, ShiftedBlock, ShiftedBlockConfig};
use crate::blocks::{LayerNorm, LayerNormConfig};

/// Configuration of [`TokenDecoder`].
#[derive(Config, Debug)]
pub struct TokenDecoderConfig {
    /// Input channels.
    pub channels_in: usize,
    /// Output channels.
    pub channels_out: usize,
}

/// `LN(ShiftedBlock(Decoder(deep, skip)))`.
#[derive(Module, Debug)]
pub struct TokenDecoder {
    /// The upsampling and the skip.
    pub join: Decoder,
    /// On the tokens.
    pub block: ShiftedBlock,
    /// At the end.
    pub norm_out: LayerNorm,
}

impl TokenDecoderConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> TokenDecoder {
        let Self { channels_in, channels_out } = *self;
        TokenDecoder {
            join: DecoderConfig::new(channels_in, channels_out).init(device),
            block: ShiftedBlockConfig::new(channels_out).init(device),
            norm_out: LayerNormConfig::new(channels_out).init(device),
        }
    }
}

impl TokenDecoder {
    /// Computes the block.
    ///
    /// # Shapes
    /// - deep: `[n, channels_in, h / 2, w / 2]`
    /// - skip: `[n, channels_out, h, w]`
    /// - output: `[n, channels_out, h, w]`
    pub fn forward(&self, deep: Tensor<4>, skip: Tensor<4>) -> Tensor<4> {
        let x = self.join.forward(deep, skip);
        let x = self.block.forward(x);
        self.norm_out.forward(x)
    }
}
