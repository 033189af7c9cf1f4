//! A step of the encoder that mixes tokens: half the size, a token for each pixel.

use burn::config::Config;
use burn::module::Module;
use burn::nn::PaddingConfig2d;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::{Device, Tensor};

use super::{ShiftedBlock, ShiftedBlockConfig};
use crate::blocks::{LayerNorm, LayerNormConfig};
use crate::initial::normal_by_fan_out;
use crate::kernels::convolution;

/// Configuration of [`TokenEncoder`].
#[derive(Config, Debug)]
pub struct TokenEncoderConfig {
    /// Input channels.
    pub channels_in: usize,
    /// Output channels.
    pub channels_out: usize,
}

/// `LN(ShiftedBlock(LN(conv3x3 stride 2 (x))))`.
#[derive(Module, Debug)]
pub struct TokenEncoder {
    /// `[channels_out, channels_in, 3, 3]`, stride 2
    pub conv: Conv2d,
    /// After the convolution.
    pub norm: LayerNorm,
    /// On the tokens.
    pub block: ShiftedBlock,
    /// At the end.
    pub norm_out: LayerNorm,
}

impl TokenEncoderConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> TokenEncoder {
        let Self { channels_in, channels_out } = *self;
        let conv = Conv2dConfig::new([channels_in, channels_out], [3, 3]).with_stride([2, 2]);
        let conv = conv.with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1)).init(device);
        TokenEncoder {
            conv: normal_by_fan_out(conv, device),
            norm: LayerNormConfig::new(channels_out).init(device),
            block: ShiftedBlockConfig::new(channels_out).init(device),
            norm_out: LayerNormConfig::new(channels_out).init(device),
        }
    }
}

impl TokenEncoder {
    /// Computes the block.
    ///
    /// # Shapes
    /// - input: `[n, channels_in, h, w]`
    /// - output: `[n, channels_out, ceil(h / 2), ceil(w / 2)]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.norm.forward(convolution(&self.conv, x));
        let x = self.block.forward(x);
        self.norm_out.forward(x)
    }
}
