//! scSE: a skip connection weighted by channel, plus the same weighted by place.

use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::activation::{relu, sigmoid};
use burn::tensor::{Device, Tensor, module};

use super::se::hidden;
use crate::kernels::{in_float32, pointwise, pointwise_layer};

/// Configuration of [`Scse`].
#[derive(Config, Debug)]
pub struct ScseConfig {
    /// The number of channels.
    pub channels: usize,
}

/// `x * sigmoid(conv1x1(relu(conv1x1(global average(x))))) + x * sigmoid(conv1x1 c->1 (x))` with
/// `c -> c/16 -> c`.
#[derive(Module, Debug)]
pub struct Scse {
    /// `[c/16, c, 1, 1]`
    pub reduce: Conv2d,
    /// `[c, c/16, 1, 1]`
    pub restore: Conv2d,
    /// `[1, c, 1, 1]`
    pub spatial: Conv2d,
}

impl ScseConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> Scse {
        let hidden = hidden(self.channels);
        Scse {
            reduce: pointwise_layer(self.channels, hidden, device),
            restore: pointwise_layer(hidden, self.channels, device),
            spatial: pointwise_layer(self.channels, 1, device),
        }
    }
}

impl Scse {
    /// Computes the block.
    ///
    /// # Shapes
    /// - input: `[n, c, h, w]`
    /// - output: `[n, c, h, w]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let average = in_float32(x.clone(), |x| module::adaptive_avg_pool2d(x, [1, 1]));
        let hidden = relu(pointwise(&self.reduce, average));
        let channel = x.clone() * sigmoid(pointwise(&self.restore, hidden));
        let spatial = x.clone() * sigmoid(pointwise(&self.spatial, x));
        channel + spatial
    }
}
