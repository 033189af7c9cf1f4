//! CBAM: a skip connection weighted by channel, then by place.

use burn::config::Config;
use burn::module::Module;
use burn::nn::PaddingConfig2d;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::activation::{relu, sigmoid};
use burn::tensor::{Device, Tensor, module};

use super::se::hidden;
use crate::blocks::{BatchNorm, BatchNormConfig};
use crate::kernels::{convolution, in_float32, pointwise};

/// Configuration of [`Cbam`].
#[derive(Config, Debug)]
pub struct CbamConfig {
    /// The number of channels.
    pub channels: usize,
}

/// `y * sigmoid(BN(conv7x7([mean over channels of y, their largest])))` with
/// `y = x * sigmoid(M(global average(x)) + M(global maximum(x)))`.
///
/// `M(x) = conv1x1(relu(conv1x1(x)))` with `c -> c/16 -> c`; no convolution has a bias.
#[derive(Module, Debug)]
pub struct Cbam {
    /// `[c/16, c, 1, 1]`, without bias
    pub reduce: Conv2d,
    /// `[c, c/16, 1, 1]`, without bias
    pub restore: Conv2d,
    /// `[1, 2, 7, 7]`, without bias
    pub spatial: Conv2d,
    /// After `spatial`, of one channel.
    pub norm: BatchNorm,
}

impl CbamConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> Cbam {
        let hidden = hidden(self.channels);
        let spatial = Conv2dConfig::new([2, 1], [7, 7]).with_padding(PaddingConfig2d::Explicit(3, 3, 3, 3));
        Cbam {
            reduce: Conv2dConfig::new([self.channels, hidden], [1, 1]).with_bias(false).init(device),
            restore: Conv2dConfig::new([hidden, self.channels], [1, 1]).with_bias(false).init(device),
            spatial: spatial.with_bias(false).init(device),
            norm: BatchNormConfig::new(1).init(device),
        }
    }
}

impl Cbam {
    /// Computes the block.
    ///
    /// # Shapes
    /// - input: `[n, c, h, w]`
    /// - output: `[n, c, h, w]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [n, c, h, w] = x.dims();
        let average = in_float32(x.clone(), |x| module::adaptive_avg_pool2d(x, [1, 1]));
        let largest = x.clone().reshape([n, c, 1, h * w]).max_dim(3);
        // Both are pixels of one image, so that the shared layers see them at once.
        let hidden = relu(pointwise(&self.reduce, Tensor::cat(vec![average, largest], 3)));
        let restored = pointwise(&self.restore, hidden);
        let y = x * sigmoid(restored.sum_dim(3));
        let mean = in_float32(y.clone(), |y| y.mean_dim(1));
        let largest = y.clone().max_dim(1);
        let weights = convolution(&self.spatial, Tensor::cat(vec![mean, largest], 1));
        y * sigmoid(self.norm.forward(weights))
    }
}
