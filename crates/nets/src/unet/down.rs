//! A step of the encoder: half the size.

use burn::config::Config;
use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::blocks::{DoubleConv, DoubleConvConfig};
use crate::kernels::max_pool_2x2;

/// Configuration of [`Down`].
#[derive(Config, Debug)]
pub struct DownConfig {
    /// Input channels.
    pub channels_in: usize,
    /// Output channels.
    pub channels_out: usize,
    /// True if the convolutions have a bias.
    #[config(default = false)]
    pub bias: bool,
}

/// `DoubleConv(maxpool2x2(x))`; an odd last row or column is left out.
#[derive(Module, Debug)]
pub struct Down {
    /// Behind the pooling.
    pub conv: DoubleConv,
}

impl DownConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> Down {
        let conv = DoubleConvConfig::new(self.channels_in, self.channels_out, self.channels_out);
        Down { conv: conv.with_bias(self.bias).init(device) }
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
