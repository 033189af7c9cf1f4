//! The gate of a skip connection, which the deep features open.

use burn::config::Config;
use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::blocks::{Linear, LinearConfig};
use crate::kernels::gate;

/// Configuration of [`Gate`].
#[derive(Config, Debug)]
pub struct GateConfig {
    /// The number of channels of skip and deep features, each.
    pub channels: usize,
}

/// `linear2(sigmoid(linear1(g1 + skip)) * skip + sigmoid(g2) * tanh(g3))` with
/// `[g1, g2, g3] = linear(deep)`.
#[derive(Module, Debug)]
pub struct Gate {
    /// `[3c, c]`
    pub gate: Linear,
    /// `[c, c]`
    pub linear1: Linear,
    /// `[c, c]`
    pub linear2: Linear,
}

impl GateConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> Gate {
        let channels = self.channels;
        Gate {
            gate: LinearConfig::new(channels, 3 * channels).init(device),
            linear1: LinearConfig::new(channels, channels).init(device),
            linear2: LinearConfig::new(channels, channels).init(device),
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
        let [_, channels, _, _] = skip.dims();
        // Parts of the weight and not of the map, which is larger.
        let [g1, g2, g3] = [0, 1, 2].map(|part| self.gate.rows(part * channels, channels).forward(deep.clone()));
        let kept = self.linear1.forward(g1 + skip.clone());
        self.linear2.forward(gate(kept, skip, g2, g3))
    }
}
