//! SE: a skip connection weighted by channel.

use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::activation::{relu, sigmoid};
use burn::tensor::{Device, Tensor, module};

use crate::kernels::{in_float32, pointwise};

/// The channels over those of the hidden layer.
const REDUCTION: usize = 16;

/// Returns the channels of the hidden layer of a block on `channels`.
pub(super) fn hidden(channels: usize) -> usize {
    (channels / REDUCTION).max(1)
}

/// Configuration of [`Se`].
#[derive(Config, Debug)]
pub struct SeConfig {
    /// The number of channels.
    pub channels: usize,
}

/// `x * sigmoid(conv1x1(relu(conv1x1(global average(x)))))` with `c -> c/16 -> c`, without biases.
#[derive(Module, Debug)]
pub struct Se {
    /// `[c/16, c, 1, 1]`, without bias
    pub reduce: Conv2d,
    /// `[c, c/16, 1, 1]`, without bias
    pub restore: Conv2d,
}

impl SeConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> Se {
        let hidden = hidden(self.channels);
        Se {
            reduce: Conv2dConfig::new([self.channels, hidden], [1, 1]).with_bias(false).init(device),
            restore: Conv2dConfig::new([hidden, self.channels], [1, 1]).with_bias(false).init(device),
        }
    }
}

impl Se {
    /// Computes the block.
    ///
    /// # Shapes
    /// - input: `[n, c, h, w]`
    /// - output: `[n, c, h, w]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let average = in_float32(x.clone(), |x| module::adaptive_avg_pool2d(x, [1, 1]));
        let hidden = relu(pointwise(&self.reduce, average));
        x * sigmoid(pointwise(&self.restore, hidden))
    }
}
