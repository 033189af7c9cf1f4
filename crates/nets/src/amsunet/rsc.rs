//! RSC: a skip connection weighted by place and by channel.

use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::activation::{relu, sigmoid};
use burn::tensor::{Device, Tensor, module};

use crate::kernels::{in_float32, pointwise, pointwise_layer};

/// The channels over those of the channel weights' hidden layer.
const REDUCTION: usize = 4;

/// Configuration of [`Rsc`].
#[derive(Config, Debug)]
pub struct RscConfig {
    /// The number of channels.
    pub channels: usize,
}

/// `x + (x * spatial(x)) * (x * channel(x))`: quadratic in `x`.
///
/// `spatial(x) = sigmoid(conv1x1 c->1 (x))`,
/// `channel(x) = sigmoid(conv1x1(relu(conv1x1(global average(x)))))` with `c -> c/4 -> c`.
#[derive(Module, Debug)]
pub struct Rsc {
    /// `[1, c, 1, 1]`, without bias
    pub spatial: Conv2d,
    /// `[c/4, c, 1, 1]`
    pub reduce: Conv2d,
    /// `[c, c/4, 1, 1]`
    pub restore: Conv2d,
}

impl RscConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> Rsc {
        let hidden = self.channels / REDUCTION;
        Rsc {
            spatial: Conv2dConfig::new([self.channels, 1], [1, 1]).with_bias(false).init(device),
            reduce: pointwise_layer(self.channels, hidden, device),
            restore: pointwise_layer(hidden, self.channels, device),
        }
    }
}

impl Rsc {
    /// Computes the block.
    ///
    /// # Shapes
    /// - input: `[n, c, h, w]`
    /// - output: `[n, c, h, w]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let spatial = x.clone() * sigmoid(pointwise(&self.spatial, x.clone()));
        let channel = in_float32(x.clone(), |x| module::adaptive_avg_pool2d(x, [1, 1]));
        let channel = x.clone() * self.gate(channel);
        x + spatial * channel
    }

    /// Computes the channels' weights from their means.
    ///
    /// Computes the block.
    ///
    /// # Shapes
    /// - input: `[n, c, 1, 1]`
    /// - output: `[n, c, 1, 1]`
    pub(super) fn gate(&self, average: Tensor<4>) -> Tensor<4> {
        let hidden = relu(pointwise(&self.reduce, average));
        sigmoid(pointwise(&self.restore, hidden))
    }
}
