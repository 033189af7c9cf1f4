//! AMSE: attention and feed-forward part under one residual, normalised before each; and its other
//! forms.

use burn::config::Config;
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::ams::STRIPS;
use super::{Attention, AttentionConfig, Ffn, FfnConfig};
use crate::blocks::{BatchNorm, BatchNormConfig};
use crate::kernels::fused::{self, layer};
use crate::kernels::{gelu, is_fused};

/// The place of a normalisation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NormPlace {
    /// Before the part that it normalises for.
    #[default]
    Bf,
    /// Behind it.
    Bb,
}

/// The number of residuals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Residuals {
    /// One around both parts, then GELU.
    #[default]
    N,
    /// One around each part.
    O,
}

/// The form of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AmseForm {
    /// The place of the normalisations.
    pub norm: NormPlace,
    /// The number of residuals.
    pub residual: Residuals,
    /// True if GELU follows the last of two residuals.
    pub closing_gelu: bool,
}

/// Configuration of [`Amse`].
#[derive(Config, Debug)]
pub struct AmseConfig {
    /// The number of channels.
    pub channels: usize,
    /// The dilation of the atrous convolution.
    pub dilation: usize,
    /// The lengths of the strips, odd.
    #[config(default = "STRIPS")]
    pub strips: [usize; 3],
    /// The order of the parts.
    #[config(default = "AmseForm::default()")]
    pub form: AmseForm,
}

/// `GELU(FFN(BN2(Attention(BN1(x)))) + x)`, or another [form](AmseForm).
///
/// With `A` for the attention with its normalisation before or behind it, and `F` for the
/// feed-forward part with its own: `GELU(F(A(x)) + x)` with one residual, `F(y) + y` with
/// `y = A(x) + x` with two.
#[derive(Module, Debug)]
pub struct Amse {
    /// At the attention.
    pub norm1: BatchNorm,
    /// The attention.
    pub attention: Attention,
    /// At the feed-forward part.
    pub norm2: BatchNorm,
    /// The feed-forward part.
    pub ffn: Ffn,
    /// The order of the parts.
    #[module(skip)]
    pub form: AmseForm,
}

impl AmseConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> Amse {
        let attention = AttentionConfig::new(self.channels, self.dilation).with_strips(self.strips);
        Amse {
            norm1: BatchNormConfig::new(self.channels).init(device),
            attention: attention.init(device),
            norm2: BatchNormConfig::new(self.channels).init(device),
            ffn: FfnConfig::new(self.channels).init(device),
            form: self.form,
        }
    }
}

impl Amse {
    /// Computes the block.
    ///
    /// # Shapes
    /// - input: `[n, c, h, w]`
    /// - output: `[n, c, h, w]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let AmseForm { norm, residual, closing_gelu } = self.form;
        let y = self.attend(x.clone());
        match residual {
            Residuals::N if norm == NormPlace::Bf && is_fused(&y) => {
                let Self { norm2, ffn, .. } = self;
                fused::feed_forward(norm2.fused(&y), y, x, [&ffn.expand, &ffn.local, &ffn.project].map(layer))
            }
            Residuals::N => gelu(self.feed(y) + x),
            Residuals::O => {
                let y = y + x;
                let z = self.feed(y.clone()) + y;
                if closing_gelu { gelu(z) } else { z }
            }
        }
    }

    /// Computes the attention with its normalisation.
    fn attend(&self, x: Tensor<4>) -> Tensor<4> {
        let Self { norm1, attention, form, .. } = self;
        let fused = |norm, x| fused::attention(norm, x, attention.ams.dilation(), attention.layers());
        match (form.norm, is_fused(&x)) {
            (NormPlace::Bf, true) => fused(norm1.fused(&x), x),
            (NormPlace::Bf, false) => attention.forward(norm1.forward(x)),
            (NormPlace::Bb, true) => norm1.forward(fused(fused::Norm::identity(&x), x)),
            (NormPlace::Bb, false) => norm1.forward(attention.forward(x)),
        }
    }

    /// Computes the feed-forward part with its normalisation.
    fn feed(&self, x: Tensor<4>) -> Tensor<4> {
        match self.form.norm {
            NormPlace::Bf => self.ffn.forward(self.norm2.forward(x)),
            NormPlace::Bb => self.norm2.forward(self.ffn.forward(x)),
        }
    }
}
