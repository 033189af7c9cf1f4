//! The way from a map of the decoder to twice its size.

use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};

use crate::blocks::{BatchNorm, BatchNormConfig, conv3x3};
use crate::kernels::{convolution, upsample_nearest};

/// Configuration of [`Up`].
#[derive(Config, Debug)]
pub struct UpConfig {
    /// Input channels.
    pub channels_in: usize,
    /// Output channels.
    pub channels_out: usize,
}

/// `relu(BN(conv3x3(upsample2(x))))`, where upsampling repeats pixels.
#[derive(Module, Debug)]
pub struct Up {
    /// `[channels_out, channels_in, 3, 3]`
    pub conv: Conv2d,
    /// After the convolution.
    pub norm: BatchNorm,
}

impl UpConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> Up {
        Up {
            conv: conv3x3(self.channels_in, self.channels_out, true, device),
            norm: BatchNormConfig::new(self.channels_out).init(device),
        }
    }
}

impl Up {
    /// Computes the block.
    ///
    /// # Shapes
    /// - input: `[n, channels_in, h, w]`
    /// - output: `[n, channels_out, 2h, 2w]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = upsample_nearest(x);
        self.norm.forward_relu(convolution(&self.conv, x))
    }
}
