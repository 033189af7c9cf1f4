//! A step of the decoder: the deep features at the skip's size, joined with the skip.

use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};

use super::{Amse, AmseConfig, Rsc, RscConfig};
use crate::blocks::{BatchNorm, BatchNormConfig};
use crate::kernels::{fused, is_fused, pointwise, pointwise_layer, upsample_to_size_of};

/// Configuration of [`Up`].
#[derive(Config, Debug)]
pub struct UpConfig {
    /// The channels of skip and deep features together, half of them each.
    pub channels_in: usize,
    /// Output channels.
    pub channels_out: usize,
}

/// `AMSE(conv1x1([RSC(skip), pad(upsample2(BN(deep)))]))`.
///
/// The upsampling is bilinear with aligned corners. Where the skip is one row or column larger,
/// zeros are added: `floor(difference / 2)` before and the rest after.
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
    /// Makes the block with fresh weights.
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
    /// Computes the block.
    ///
    /// # Shapes
    /// - deep: `[n, channels_in / 2, floor(h / 2), floor(w / 2)]`
    /// - skip: `[n, channels_in / 2, h, w]`
    /// - output: `[n, channels_out, h, w]`
    pub fn forward(&self, deep: Tensor<4>, skip: Tensor<4>) -> Tensor<4> {
        if is_fused(&deep) {
            return self.amse.forward(self.join_fused(deep, skip));
        }
        let deep = self.norm.forward(deep);
        let deep = upsample_to_size_of(deep, &skip);
        let skip = self.rsc.forward(skip);
        let joined = Tensor::cat(vec![skip, deep], 1);
        self.amse.forward(pointwise(&self.conv, joined))
    }

    /// Computes everything before the stage's block by the fused operators of the CPU.
    ///
    /// Linear interpolation has weights that sum to one, so a 1x1 convolution without bias may as
    /// well come before it, on a quarter of the pixels; the padding's zeros stay zeros.
    fn join_fused(&self, deep: Tensor<4>, skip: Tensor<4>) -> Tensor<4> {
        let [weight, bias] = fused::layer(&self.conv);
        let ([_, half, height, width], [rows, ..]) = (skip.dims(), weight.dims());
        let [skip_weight, deep_weight] = [0, half].map(|start| weight.clone().narrow(1, start, half));
        let no_bias = Tensor::zeros([1, rows, 1, 1], &deep.device());
        let deep = fused::norm_pointwise(self.norm.fused(&deep), deep, [deep_weight, no_bias]);
        let deep = fused::upsample_to(deep, [height, width]);
        let gate = self.rsc.gate(fused::average(skip.clone()));
        fused::join(skip, deep, self.rsc.spatial.weight.val(), gate, [skip_weight, bias])
    }
}
