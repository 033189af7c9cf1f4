//! A step of the encoder: half the size.

use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::{Device, Tensor};

use super::ams::STRIPS;
use super::{Amse, AmseConfig, AmseForm};
use crate::blocks::{BatchNorm, BatchNormConfig};
use crate::kernels::{convolution, fused, is_fused};

/// Configuration of [`Down`].
#[derive(Config, Debug)]
pub struct DownConfig {
    /// Input channels.
    pub channels_in: usize,
    /// Output channels.
    pub channels_out: usize,
    /// The dilation of the atrous convolution.
    pub dilation: usize,
    /// The lengths of the strips, odd.
    #[config(default = "STRIPS")]
    pub strips: [usize; 3],
    /// The form of the block.
    #[config(default = "AmseForm::default()")]
    pub form: AmseForm,
}

/// `AMSE(conv2x2 stride 2 (BN(x)))`; an odd last row or column is left out.
#[derive(Module, Debug)]
pub struct Down {
    /// Before the convolution.
    pub norm: BatchNorm,
    /// `[channels_out, channels_in, 2, 2]`, stride 2
    pub conv: Conv2d,
    /// The stage's block.
    pub amse: Amse,
}

impl DownConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> Down {
        let amse = AmseConfig::new(self.channels_out, self.dilation).with_strips(self.strips).with_form(self.form);
        Down {
            norm: BatchNormConfig::new(self.channels_in).init(device),
            conv: Conv2dConfig::new([self.channels_in, self.channels_out], [2, 2]).with_stride([2, 2]).init(device),
            amse: amse.init(device),
        }
    }
}

impl Down {
    /// Computes the block.
    ///
    /// # Shapes
    /// - input: `[n, channels_in, h, w]`
    /// - output: `[n, channels_out, floor(h / 2), floor(w / 2)]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = if is_fused(&x) {
            fused::norm_halve(self.norm.fused(&x), x, fused::layer(&self.conv))
        } else {
            convolution(&self.conv, self.norm.forward(x))
        };
        self.amse.forward(x)
    }
}
