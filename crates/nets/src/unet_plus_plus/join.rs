//! A node of the decoder: all maps of its level so far, joined with the one below them.

use burn::config::Config;
use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::blocks::{DoubleConv, DoubleConvConfig};
use crate::kernels::{concatenate, upsample_to_size_of};

/// Configuration of [`Join`].
#[derive(Config, Debug)]
pub struct JoinConfig {
    /// The channels of each skip, and of the output.
    pub channels: usize,
    /// The number of skips.
    pub skips: usize,
    /// The channels of the deep features.
    pub channels_deep: usize,
}

/// `DoubleConv([skip_0, ..., skip_k, upsample2(deep)])`, bilinear with aligned corners.
#[derive(Module, Debug)]
pub struct Join {
    /// On skips and deep features together.
    pub conv: DoubleConv,
}

impl JoinConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> Join {
        let channels_in = self.skips * self.channels + self.channels_deep;
        Join { conv: DoubleConvConfig::new(channels_in, self.channels, self.channels).with_bias(true).init(device) }
    }
}

impl Join {
    /// Computes the block. The deep features come last.
    ///
    /// # Shapes
    /// - skips: each `[n, channels, h, w]`
    /// - deep: `[n, channels_deep, h / 2, w / 2]`
    /// - output: `[n, channels, h, w]`
    ///
    /// # Panics
    /// When there are no inputs.
    pub fn forward(&self, mut inputs: Vec<Tensor<4>>) -> Tensor<4> {
        let deep = inputs.pop().expect("a node has skips and deep features");
        let deep = upsample_to_size_of(deep, &inputs[0]);
        inputs.push(deep);
        self.conv.forward(concatenate(inputs))
    }
}
