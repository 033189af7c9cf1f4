//! The first stage: the one convolution whose border is reflected.

use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::{Device, Tensor};

use super::ams::STRIPS;
use super::{Amse, AmseConfig, AmseForm};
use crate::blocks::{BatchNorm, BatchNormConfig};
use crate::kernels::{convolution, mirror};

/// Configuration of [`Stem`].
#[derive(Config, Debug)]
pub struct StemConfig {
    /// The image's channels.
    pub channels_in: usize,
    /// The stage's channels.
    pub channels_out: usize,
    /// The dilation of the atrous convolution.
    #[config(default = 1)]
    pub dilation: usize,
    /// The lengths of the strips, odd.
    #[config(default = "STRIPS")]
    pub strips: [usize; 3],
    /// The form of the block.
    #[config(default = "AmseForm::default()")]
    pub form: AmseForm,
}

/// `AMSE(GELU(BN(reflect-padded conv3x3(x))))`.
#[derive(Module, Debug)]
pub struct Stem {
    /// `[c, channels_in, 3, 3]`
    pub conv: Conv2d,
    /// After the convolution.
    pub norm: BatchNorm,
    /// The stage's block.
    pub amse: Amse,
}

impl StemConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> Stem {
        let amse = AmseConfig::new(self.channels_out, self.dilation).with_strips(self.strips).with_form(self.form);
        Stem {
            conv: Conv2dConfig::new([self.channels_in, self.channels_out], [3, 3]).init(device),
            norm: BatchNormConfig::new(self.channels_out).init(device),
            amse: amse.init(device),
        }
    }
}

impl Stem {
    /// Computes the block.
    ///
    /// # Shapes
    /// - input: `[n, channels_in, h, w]`
    /// - output: `[n, c, h, w]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = mirror(x, 1);
        let x = convolution(&self.conv, x);
        let x = self.norm.forward_gelu(x);
        self.amse.forward(x)
    }
}
