//! A step of the decoder: the deep features at the skip's size, joined with the skip.

use burn::config::Config;
use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{Residual, ResidualConfig};
use crate::kernels::{concatenate, upsample_to_size_of};

/// Configuration of [`Up`].
#[derive(Config, Debug)]
pub struct UpConfig {
    /// The channels of skip and deep features together, half of them each.
    pub channels_in: usize,
    /// Output channels.
    pub channels_out: usize,
}

/// `Residual([skip, pad(upsample2(deep))])` with half of its input's channels in the middle.
///
/// The upsampling is bilinear with aligned corners. Where the skip is one row or column larger,
/// zeros are added below and on the right.
#[derive(Module, Debug)]
pub struct Up {
    /// On skip and deep features together.
    pub conv: Residual,
}

impl UpConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> Up {
        Up { conv: ResidualConfig::new(self.channels_in, self.channels_in / 2, self.channels_out).init(device) }
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
        let deep = upsample_to_size_of(deep, &skip);
        self.conv.forward(concatenate(vec![skip, deep]))
    }
}
