//! A step of the encoder: half the size.

use burn::config::Config;
use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{Residual, ResidualConfig};
use crate::kernels::max_pool_2x2;

/// Configuration of [`Down`].
#[derive(Config, Debug)]
pub struct DownConfig {
    /// Input channels.
    pub channels_in: usize,
    /// Output channels.
    pub channels_out: usize,
}

/// `Residual(maxpool2x2(x))`; an odd last row or column is left out.
#[derive(Module, Debug)]
pub struct Down {
    /// Behind the pooling.
    pub conv: Residual,
}

impl DownConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> Down {
        Down { conv: ResidualConfig::new(self.channels_in, self.channels_out, self.channels_out).init(device) }
    }
}

impl Down {
    /// Computes the block.
    ///
    /// # Shapes
    /// - input: `[n, channels_in, h, w]`
    /// - output: `[n, channels_out, floor(h / 2), floor(w / 2)]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = max_pool_2x2(x);
        self.conv.forward(x)
    }
}
