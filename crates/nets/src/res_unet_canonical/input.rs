//! The first stage: two convolutions beside one.

use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};

use crate::blocks::{BatchNorm, BatchNormConfig, conv3x3};
use crate::kernels::convolution;

/// Configuration of [`Input`].
#[derive(Config, Debug)]
pub struct InputConfig {
    /// The image's channels.
    pub channels_in: usize,
    /// The stage's channels.
    pub channels_out: usize,
}

/// `conv3x3(relu(BN(conv3x3(x)))) + conv3x3(x)`.
#[derive(Module, Debug)]
pub struct Input {
    /// `[c, channels_in, 3, 3]`
    pub conv1: Conv2d,
    /// After the first convolution.
    pub norm: BatchNorm,
    /// `[c, c, 3, 3]`
    pub conv2: Conv2d,
    /// `[c, channels_in, 3, 3]`
    pub skip: Conv2d,
}

impl InputConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> Input {
        Input {
            conv1: conv3x3(self.channels_in, self.channels_out, true, device),
            norm: BatchNormConfig::new(self.channels_out).init(device),
            conv2: conv3x3(self.channels_out, self.channels_out, true, device),
            skip: conv3x3(self.channels_in, self.channels_out, true, device),
        }
    }
}

impl Input {
    /// Computes the block.
    ///
    /// # Shapes
    /// - input: `[n, channels_in, h, w]`
    /// - output: `[n, c, h, w]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let y = self.norm.forward_relu(convolution(&self.conv1, x.clone()));
        let y = convolution(&self.conv2, y);
        y + convolution(&self.skip, x)
    }
}
