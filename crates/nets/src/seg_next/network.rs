//! SegNeXt, the network of Guo et al., "SegNeXt: Rethinking convolutional attention design for
//! semantic segmentation", NeurIPS 2022, as its public code has it, without dropping values or
//! paths at random and with first bases of the factorisation that are drawn once.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use seg_contract::Sides;
use serde::{Deserialize, Serialize};

use super::conv_norm::GROUPS;
use super::{ConvNorm, ConvNormConfig, First, FirstConfig, Hamburger, HamburgerConfig};
use super::{Next, NextConfig, Squeeze, SqueezeConfig, TrunkConfig};
use crate::initial::normal;
use crate::kernels::{pointwise, pointwise_layer, resize_half_pixel};
use crate::network::{Architecture, Configuration, MissingParameter, SettingError, ShapeOf};
use crate::numbers;
use crate::topology::{IMAGE, Stage, inputs as exactly};

/// The shortest side of an image that the network takes, in pixels: the last stage has one for it.
pub const SIDE_MIN: usize = 32;

/// The standard deviation of a fresh weight of the head.
const HEAD_STD: f64 = 0.01;

/// The stages.
const STAGES: [Stage; 9] = [
    Stage::new("stage1", &[IMAGE]),
    Stage::new("stage2", &["stage1"]),
    Stage::new("stage3", &["stage2"]),
    Stage::new("stage4", &["stage3"]),
    Stage::new("squeeze", &["stage2", "stage3", "stage4"]),
    Stage::new("hamburger", &["squeeze"]),
    Stage::new("align", &["hamburger"]),
    Stage::new("head", &["align"]),
    // The image counts for its size alone.
    Stage::new("resize", &["head", IMAGE]),
];

/// Configuration of [`SegNext`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SegNextConfig {
    /// The image's channels.
    pub in_channels: usize,
    /// The classes, one logit each, the background among them.
    pub num_classes: usize,
    /// The channels of the backbone's stages, the first even.
    #[serde(with = "crate::numbers")]
    pub widths: [usize; 4],
    /// The blocks of the backbone's stages.
    #[serde(with = "crate::numbers")]
    pub depths: [usize; 4],
    /// The channels in the middle of the blocks' feed-forward parts over those at their ends.
    #[serde(with = "crate::numbers")]
    pub ratios: [usize; 4],
    /// The channels of the factorised map, a multiple of 32.
    pub ham_channels: usize,
    /// The channels before the logits, a multiple of 32.
    pub head_channels: usize,
    /// The number of bases of the factorisation.
    pub rank: usize,
}

impl SegNextConfig {
    /// Returns the published settings of the tiny network: 3 channels, 2 classes.
    #[allow(clippy::new_without_default, reason = "as the configurations that Burn derives")]
    pub fn new() -> Self {
        Self::tiny()
    }

    /// Returns the published settings of SegNeXt-T.
    pub fn tiny() -> Self {
        Self::sized([32, 64, 160, 256], [3, 3, 5, 2], 256, 16)
    }

    /// Returns the published settings of SegNeXt-S.
    pub fn small() -> Self {
        Self::sized([64, 128, 320, 512], [2, 2, 4, 2], 256, 16)
    }

    /// Returns the published settings of SegNeXt-B.
    pub fn base() -> Self {
        Self::sized([64, 128, 320, 512], [3, 3, 12, 3], 512, 64)
    }

    /// Returns the published settings of SegNeXt-L.
    pub fn large() -> Self {
        Self::sized([64, 128, 320, 512], [3, 5, 27, 3], 1024, 64)
    }

    fn sized(widths: [usize; 4], depths: [usize; 4], head_channels: usize, rank: usize) -> Self {
        let (in_channels, num_classes, ratios) = (3, 2, [8, 8, 4, 4]);
        Self { in_channels, num_classes, widths, depths, ratios, ham_channels: head_channels, head_channels, rank }
    }
}

/// A pyramid of convolutional attention, with a factorisation in its head.
#[derive(Module, Debug)]
pub struct SegNext {
    /// 1/4 of the size.
    pub stage1: First,
    /// 1/8 of the size.
    pub stage2: Next,
    /// 1/16 of the size.
    pub stage3: Next,
    /// 1/32 of the size.
    pub stage4: Next,
    /// 1/8 of the size.
    pub squeeze: Squeeze,
    /// 1/8 of the size.
    pub hamburger: Hamburger,
    /// 1/8 of the size.
    pub align: ConvNorm,
    /// `[num_classes, c, 1, 1]` at 1/8 of the size.
    pub head: Conv2d,
}

/// The module of a stage.
#[derive(Debug)]
pub enum Part<'a> {
    /// The first stage of the backbone.
    First(&'a First),
    /// A later stage of the backbone.
    Next(&'a Next),
    /// The joining of three stages.
    Squeeze(&'a Squeeze),
    /// The factorisation.
    Hamburger(&'a Hamburger),
    /// The layer before the logits, with a ReLU behind it.
    Align(&'a ConvNorm),
    /// The 1x1 convolution to the logits.
    Head(&'a Conv2d),
    /// The resizing of the logits to the image's size.
    Resize,
}

impl SegNext {
    /// Returns the module of a stage.
    ///
    /// # Panics
    /// When the stage is not one of the network's.
    pub fn part(&self, stage: &Stage) -> Part<'_> {
        match stage.name {
            "stage1" => Part::First(&self.stage1),
            "stage2" => Part::Next(&self.stage2),
            "stage3" => Part::Next(&self.stage3),
            "stage4" => Part::Next(&self.stage4),
            "squeeze" => Part::Squeeze(&self.squeeze),
            "hamburger" => Part::Hamburger(&self.hamburger),
            "align" => Part::Align(&self.align),
            "head" => Part::Head(&self.head),
            "resize" => Part::Resize,
            other => panic!("`{other}` is not a stage of SegNeXt"),
        }
    }
}

impl Configuration for SegNextConfig {
    type Network = SegNext;

    const SOURCE: &'static str = "Visual-Attention-Network/SegNeXt; Guo et al. 2022";

    fn published(in_channels: usize, num_classes: usize) -> Self {
        Self { in_channels, num_classes, ..Self::new() }
    }

    fn from_shapes(shape_of: &ShapeOf<'_>) -> Result<Self, MissingParameter> {
        let [_, in_channels, _, _] = shape_of("backbone.patch_embed1.proj.0.weight")?;
        let mut config = Self { in_channels, ..Self::new() };
        for (index, number) in (1..=4).enumerate() {
            let layer = if number == 1 { "proj.3" } else { "proj" };
            let [width, ..] = shape_of(&format!("backbone.patch_embed{number}.{layer}.weight"))?;
            let expand = |block: usize| shape_of(&format!("backbone.block{number}.{block}.mlp.fc1.weight"));
            config.widths[index] = width;
            config.ratios[index] = expand(0)?[0] / width.max(1);
            config.depths[index] = (0..).take_while(|block| expand(*block).is_ok()).count();
        }
        [config.ham_channels, ..] = shape_of("decode_head.squeeze.conv.weight")?;
        [config.head_channels, ..] = shape_of("decode_head.align.conv.weight")?;
        [config.num_classes, ..] = shape_of("decode_head.conv_seg.weight")?;
        [_, _, config.rank, _] = shape_of("decode_head.hamburger.ham.bases")?;
        Ok(config)
    }

    fn init(&self, device: &Device) -> SegNext {
        let trunk = |index: usize| TrunkConfig::new(self.widths[index], self.depths[index], self.ratios[index]);
        let next = |index: usize| NextConfig::new(self.widths[index - 1], trunk(index)).init(device);
        SegNext {
            stage1: FirstConfig::new(self.in_channels, trunk(0)).init(device),
            stage2: next(1),
            stage3: next(2),
            stage4: next(3),
            squeeze: SqueezeConfig::new(self.widths[1..].iter().sum(), self.ham_channels).init(device),
            hamburger: HamburgerConfig::new(self.ham_channels, self.rank).init(device),
            align: ConvNormConfig::new(self.ham_channels, self.head_channels).init(device),
            head: normal(pointwise_layer(self.head_channels, self.num_classes, device), HEAD_STD, device),
        }
    }

    fn in_channels(&self) -> usize {
        self.in_channels
    }

    fn num_classes(&self) -> usize {
        self.num_classes
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("widths", numbers::text(&self.widths)),
            ("depths", numbers::text(&self.depths)),
            ("ratios", numbers::text(&self.ratios)),
            ("ham_channels", self.ham_channels.to_string()),
            ("head_channels", self.head_channels.to_string()),
            ("rank", self.rank.to_string()),
        ]
    }

    fn sides(&self) -> Sides {
        Sides::at_least(SIDE_MIN)
    }

    fn smallest_side(&self, side: usize) -> usize {
        // Its strided convolutions pad.
        side.div_ceil(SIDE_MIN)
    }

    fn check(&self) -> Result<(), SettingError> {
        let list = |list: [usize; 4]| numbers::text(&list);
        let in_groups = |channels: usize| channels > 0 && channels.is_multiple_of(GROUPS);
        let checks = [
            (
                "widths",
                !self.widths.contains(&0) && self.widths[0].is_multiple_of(2),
                list(self.widths),
                "at least 1 each, the first even",
            ),
            ("depths", !self.depths.contains(&0), list(self.depths), "at least 1 each"),
            ("ratios", !self.ratios.contains(&0), list(self.ratios), "at least 1 each"),
            ("ham_channels", in_groups(self.ham_channels), self.ham_channels.to_string(), "a positive multiple of 32"),
            (
                "head_channels",
                in_groups(self.head_channels),
                self.head_channels.to_string(),
                "a positive multiple of 32",
            ),
            ("rank", self.rank > 0, self.rank.to_string(), "at least 1"),
        ];
        match checks.into_iter().find(|(_, fits, ..)| !fits) {
            Some((name, _, found, expected)) => Err(SettingError { name, found, expected: expected.into() }),
            None => Ok(()),
        }
    }
}

impl Architecture for SegNext {
    type Config = SegNextConfig;

    fn config(&self) -> SegNextConfig {
        let trunks = [&self.stage1.trunk, &self.stage2.trunk, &self.stage3.trunk, &self.stage4.trunk];
        let expand = trunks.map(|trunk| trunk.blocks[0].feed_forward.expand.weight.dims());
        let [_, _, rank] = self.hamburger.factors.bases.value().dims();
        SegNextConfig {
            in_channels: self.stage1.embed.conv1.weight.dims()[1],
            num_classes: self.head.weight.dims()[0],
            widths: expand.map(|[_, width, _, _]| width),
            depths: trunks.map(|trunk| trunk.blocks.len()),
            ratios: expand.map(|[wide, width, _, _]| wide / width),
            ham_channels: self.hamburger.conv.weight.dims()[0],
            head_channels: self.align.conv.weight.dims()[0],
            rank,
        }
    }

    fn stages(&self) -> &'static [Stage] {
        &STAGES
    }

    fn compute(&self, stage: &Stage, inputs: Vec<Tensor<4>>) -> Tensor<4> {
        match self.part(stage) {
            Part::First(first) => first.forward(only(inputs)),
            Part::Next(next) => next.forward(only(inputs)),
            Part::Squeeze(squeeze) => squeeze.forward(exactly(inputs)),
            Part::Hamburger(hamburger) => hamburger.forward(only(inputs)),
            Part::Align(align) => relu(align.forward(only(inputs))),
            Part::Head(head) => pointwise(head, only(inputs)),
            Part::Resize => {
                let [x, image] = exactly(inputs);
                let [_, _, height, width] = image.dims();
                resize_half_pixel(x, [height, width])
            }
        }
    }
}

/// Returns the only input of a stage.
fn only(inputs: Vec<Tensor<4>>) -> Tensor<4> {
    let [x] = exactly(inputs);
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_parameter_counts() {
        for (name, config, expected, statistics) in [
            ("tiny", SegNextConfig::tiny(), 4_225_378, 7_456),
            ("small", SegNextConfig::small(), 13_894_850, 12_864),
            ("base", SegNextConfig::base(), 27_560_386, 25_920),
            ("large", SegNextConfig::large(), 48_774_850, 46_144),
        ] {
            let net = config.init(&Device::flex());
            assert_eq!(net.num_learnable(), expected, "{name}");
            let bases = config.ham_channels * config.rank;
            assert_eq!(crate::parameters::num_statistics(&net), statistics + bases, "{name}");
            assert_eq!(net.config(), config, "{name}");
            assert_eq!(config.check(), Ok(()), "{name}");
        }
    }

    #[test]
    fn any_size_from_the_smallest_comes_back_at_its_size() {
        let device = Device::flex();
        let config = SegNextConfig {
            widths: [4, 6, 8, 10],
            depths: [1; 4],
            ham_channels: 32,
            head_channels: 32,
            rank: 4,
            ..SegNextConfig::new()
        };
        let net = config.init(&device);
        for [h, w] in [[SIDE_MIN, SIDE_MIN], [33, 47], [70, 41]] {
            let y = net.forward(Tensor::zeros([1, 3, h, w], &device));
            assert_eq!(y.dims(), [1, 2, h, w], "{h}x{w}");
        }
    }
}
