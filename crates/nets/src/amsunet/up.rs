//! A step of the decoder: the deep features at the skip's size, joined with the skip.

use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::ops::PadMode;
use burn::tensor::{Device, Tensor};

use super::{Amse, AmseConfig, Rsc, RscConfig};
use crate::blocks::{BatchNorm, BatchNormConfig};
use crate::kernels::{self, is_fused, pointwise, pointwise_layer, upsample};

/// Configuration of [`Up`].
#[derive(Config, Debug)]
pub struct UpConfig {
    /// The channels of skip and deep features together, half of them each.
    pub channels_in: usize,
    /// The channels that go.
    pub channels_out: usize,
}

/// `AMSE(conv1x1([RSC(skip), pad(upsample2(BN(deep)))]))`.
///
/// The upsampling is bilinear with aligned corners. Where the skip is one row or column larger, zeros are added:
/// `floor(difference / 2)` before and the rest after.
#[derive(Module, Debug)]
pub struct Up {
    /// Before the upsampling.
    pub norm: BatchNorm,
    /// On the skip.
    pub rsc: Rsc,
    /// `[channels_out, channels_in, 1, 1]`, the skip's channels first
    pub conv: Conv2d,
    /// The stage's block, without dilation.
    pub amse: Amse,
}

impl UpConfig {
    /// The block with fresh weights.
    pub fn init(&self, device: &Device) -> Up {
        let half = self.channels_in / 2;
        Up {
            norm: BatchNormConfig::new(half).init(device),
            rsc: RscConfig::new(half).init(device),
            conv: pointwise_layer(self.channels_in, self.channels_out, device),
            amse: AmseConfig::new(self.channels_out, 1).init(device),
        }
    }
}

impl Up {
    /// # Shapes
    /// - deep: `[n, channels_in / 2, floor(h / 2), floor(w / 2)]`
    /// - skip: `[n, channels_in / 2, h, w]`
    /// - output: `[n, channels_out, h, w]`
    pub fn forward(&self, deep: Tensor<4>, skip: Tensor<4>) -> Tensor<4> {
        if is_fused(&deep) {
            return self.amse.forward(kernels::up(self, deep, skip));
        }
        let deep = self.norm.forward(deep);
        let deep = pad_to_size_of(upsample(deep), &skip);
        let skip = self.rsc.forward(skip);
        let joined = Tensor::cat(vec![skip, deep], 1);
        self.amse.forward(pointwise(&self.conv, joined))
    }
}

/// Twice the height and width, bilinear with aligned corners.
fn pad_to_size_of(x: Tensor<4>, skip: &Tensor<4>) -> Tensor<4> {
    let [_, _, height, width] = x.dims();
    let [_, _, height_skip, width_skip] = skip.dims();
    let (rows, columns) = (height_skip - height, width_skip - width);
    if rows == 0 && columns == 0 {
        return x;
    }
    let (top, left) = (rows / 2, columns / 2);
    x.pad((left, columns - left, top, rows - top), PadMode::Constant(0.0))
}
