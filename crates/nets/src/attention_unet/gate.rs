//! A gate on a skip connection: each pixel is weighted by what the decoder asks for.

use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::activation::{relu, sigmoid};
use burn::tensor::{Device, Tensor};

use crate::blocks::{BatchNorm, BatchNormConfig};
use crate::kernels::{pointwise, pointwise_layer};

/// The channels over those in the middle of the gate.
const REDUCTION: usize = 2;

/// Configuration of [`Gate`].
#[derive(Config, Debug)]
pub struct GateConfig {
    /// The channels of the skip and of the decoder's map.
    pub channels: usize,
}

/// `skip * sigmoid(BN(conv1x1 c/2->1 (relu(BN(conv1x1(deep)) + BN(conv1x1(skip))))))`.
#[derive(Module, Debug)]
pub struct Gate {
    /// `[c/2, c, 1, 1]`, on the decoder's map
    pub deep: Conv2d,
    /// After `deep`.
    pub deep_norm: BatchNorm,
    /// `[c/2, c, 1, 1]`, on the skip
    pub skip: Conv2d,
    /// After `skip`.
    pub skip_norm: BatchNorm,
    /// `[1, c/2, 1, 1]`
    pub weigh: Conv2d,
    /// After `weigh`, of one channel.
    pub weigh_norm: BatchNorm,
}

impl GateConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> Gate {
        let inner = self.channels / REDUCTION;
        Gate {
            deep: pointwise_layer(self.channels, inner, device),
            deep_norm: BatchNormConfig::new(inner).init(device),
            skip: pointwise_layer(self.channels, inner, device),
            skip_norm: BatchNormConfig::new(inner).init(device),
            weigh: pointwise_layer(inner, 1, device),
            weigh_norm: BatchNormConfig::new(1).init(device),
        }
    }
}

impl Gate {
    /// Computes the block.
    ///
    /// # Shapes
    /// - deep, skip: `[n, c, h, w]`
    /// - output: `[n, c, h, w]`
    pub fn forward(&self, deep: Tensor<4>, skip: Tensor<4>) -> Tensor<4> {
        let deep = self.deep_norm.forward(pointwise(&self.deep, deep));
        let own = self.skip_norm.forward(pointwise(&self.skip, skip.clone()));
        let sum = relu(deep + own);
        let weights = sigmoid(self.weigh_norm.forward(pointwise(&self.weigh, sum)));
        skip * weights
    }
}
