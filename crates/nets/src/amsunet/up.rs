//! A step of the decoder: the deep features at the skip's size, joined with the skip.

use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};

use super::ams::STRIPS;
use super::{Amse, AmseConfig, AmseForm, Cbam, CbamConfig, Rsc, RscConfig, Scse, ScseConfig, Se, SeConfig, SkipKind};
use crate::blocks::{BatchNorm, BatchNormConfig};
use crate::kernels::{concatenate, fused, is_fused, pointwise, pointwise_layer, upsample_to_size_of};

/// Configuration of [`Up`].
#[derive(Config, Debug)]
pub struct UpConfig {
    /// The channels of skip and deep features together, half of them each.
    pub channels_in: usize,
    /// Output channels.
    pub channels_out: usize,
    /// The block on the skip.
    #[config(default = "SkipKind::default()")]
    pub skip: SkipKind,
    /// The lengths of the strips, odd.
    #[config(default = "STRIPS")]
    pub strips: [usize; 3],
    /// The form of the stage's block.
    #[config(default = "AmseForm::default()")]
    pub form: AmseForm,
}

/// `AMSE(conv1x1([RSC(skip), pad(upsample2(BN(deep)))]))`, with another block on the skip or none.
///
/// The upsampling is bilinear with aligned corners. Where the skip is one row or column larger,
/// zeros are added: `floor(difference / 2)` before and the rest after.
#[derive(Module, Debug)]
pub struct Up {
    /// Before the upsampling.
    pub norm: BatchNorm,
    /// On the skip, at most one of the four.
    pub rsc: Option<Rsc>,
    /// On the skip.
    pub se: Option<Se>,
    /// On the skip.
    pub cbam: Option<Cbam>,
    /// On the skip.
    pub scse: Option<Scse>,
    /// `[channels_out, channels_in, 1, 1]`, the skip's channels first
    pub conv: Conv2d,
    /// The stage's block, without dilation.
    pub amse: Amse,
}

impl UpConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> Up {
        let half = self.channels_in / 2;
        let amse = AmseConfig::new(self.channels_out, 1).with_strips(self.strips).with_form(self.form);
        Up {
            norm: BatchNormConfig::new(half).init(device),
            rsc: (self.skip == SkipKind::Rsc).then(|| RscConfig::new(half).init(device)),
            se: (self.skip == SkipKind::Se).then(|| SeConfig::new(half).init(device)),
            cbam: (self.skip == SkipKind::Cbam).then(|| CbamConfig::new(half).init(device)),
            scse: (self.skip == SkipKind::Scse).then(|| ScseConfig::new(half).init(device)),
            conv: pointwise_layer(self.channels_in, self.channels_out, device),
            amse: amse.init(device),
        }
    }
}

/// The block on a skip.
#[derive(Debug)]
pub enum Skip<'a> {
    /// None.
    Plain,
    /// Weights by place and by channel, quadratic in the skip.
    Rsc(&'a Rsc),
    /// Weights by channel.
    Se(&'a Se),
    /// Weights by channel, then by place.
    Cbam(&'a Cbam),
    /// Weights by channel plus weights by place.
    Scse(&'a Scse),
}

impl Up {
    /// Computes the block.
    ///
    /// # Shapes
    /// - deep: `[n, channels_in / 2, floor(h / 2), floor(w / 2)]`
    /// - skip: `[n, channels_in / 2, h, w]`
    /// - output: `[n, channels_out, h, w]`
    pub fn forward(&self, deep: Tensor<4>, skip: Tensor<4>) -> Tensor<4> {
        if let (Some(rsc), true) = (&self.rsc, is_fused(&deep)) {
            return self.amse.forward(self.join_fused(rsc, deep, skip));
        }
        let deep = self.norm.forward(deep);
        let deep = upsample_to_size_of(deep, &skip);
        let skip = match self.skip() {
            Skip::Plain => skip,
            Skip::Rsc(block) => block.forward(skip),
            Skip::Se(block) => block.forward(skip),
            Skip::Cbam(block) => block.forward(skip),
            Skip::Scse(block) => block.forward(skip),
        };
        let joined = concatenate(vec![skip, deep]);
        self.amse.forward(pointwise(&self.conv, joined))
    }

    /// Returns the block on the skip.
    pub fn skip(&self) -> Skip<'_> {
        match self {
            Self { rsc: Some(block), .. } => Skip::Rsc(block),
            Self { se: Some(block), .. } => Skip::Se(block),
            Self { cbam: Some(block), .. } => Skip::Cbam(block),
            Self { scse: Some(block), .. } => Skip::Scse(block),
            _ => Skip::Plain,
        }
    }

    /// Computes everything before the stage's block by the fused operators of the CPU.
    ///
    /// Linear interpolation has weights that sum to one, so a 1x1 convolution without bias may as
    /// well come before it, on a quarter of the pixels; the padding's zeros stay zeros.
    fn join_fused(&self, rsc: &Rsc, deep: Tensor<4>, skip: Tensor<4>) -> Tensor<4> {
        let [_, _, height, width] = skip.dims();
        let ([skip_weight, deep_weight], [bias, no_bias]) = self.halves();
        let deep = fused::norm_pointwise(self.norm.fused(&deep), deep, [deep_weight, no_bias]);
        let deep = fused::upsample_to(deep, [height, width]);
        let gate = rsc.gate(fused::average(skip.clone()));
        fused::join(skip, deep, rsc.spatial.weight.val(), gate, [skip_weight, bias])
    }

    /// Returns the 1x1 convolution's weights for the skip's channels and for the deep map's, and
    /// the biases of the two products.
    pub(super) fn halves(&self) -> ([Tensor<4>; 2], [Tensor<4>; 2]) {
        let [weight, bias] = fused::layer(&self.conv);
        let [_, channels, _, _] = weight.dims();
        let half = channels / 2;
        let no_bias = bias.zeros_like();
        ([0, half].map(|start| weight.clone().narrow(1, start, half)), [bias, no_bias])
    }
}
