//! The embedding of a map's pixels as tokens, each with its place.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};

use crate::kernels::{in_float32, pointwise, pointwise_layer};

/// Configuration of [`Embedding`].
#[derive(Config, Debug)]
pub struct EmbeddingConfig {
    /// Input channels.
    pub channels_in: usize,
    /// The channels of a token.
    pub hidden: usize,
    /// The tokens along each side of the map.
    pub side: usize,
}

/// `conv1x1(x) + position`, a token for each pixel, row by row.
#[derive(Module, Debug)]
pub struct Embedding {
    /// `[hidden, channels_in, 1, 1]`
    pub conv: Conv2d,
    /// `[1, side * side, hidden]`
    pub position: Param<Tensor<3>>,
}

impl EmbeddingConfig {
    /// Makes the block with fresh weights; all places are alike at first.
    pub fn init(&self, device: &Device) -> Embedding {
        Embedding {
            conv: pointwise_layer(self.channels_in, self.hidden, device),
            position: Initializer::Zeros.init([1, self.side * self.side, self.hidden], device),
        }
    }
}

impl Embedding {
    /// Computes the block.
    ///
    /// # Shapes
    /// - input: `[n, channels_in, side, side]`
    /// - output: `[n, hidden, side, side]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = pointwise(&self.conv, x);
        let [_, _, height, width] = x.dims();
        let position = self.planes(height, width);
        in_float32(x, |x| x + position)
    }

    /// Returns the positions as a map, `[1, hidden, height, width]`.
    pub fn planes(&self, height: usize, width: usize) -> Tensor<4> {
        let [_, _, hidden] = self.position.dims();
        self.position.val().swap_dims(1, 2).reshape([1, hidden, height, width])
    }
}
