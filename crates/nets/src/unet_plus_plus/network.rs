//! UNet++, the network of Zhou et al., "UNet++: A Nested U-Net Architecture for Medical Image
//! Segmentation", DLMIA 2018: a decoder at each depth, all of whose maps of one size are joined.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};
use seg_contract::Sides;
use serde::{Deserialize, Serialize};

use super::{Join, JoinConfig};
use crate::blocks::{DoubleConv, DoubleConvConfig};
use crate::kernels::{pointwise, pointwise_layer};
use crate::network::{Architecture, NetworkOption, ShapeOf};
use crate::topology::{IMAGE, Stage, inputs as exactly};
use crate::u_shape_config::{Options, UShapeConfig, UShaped};
use crate::unet::{Down, DownConfig};

/// Configuration of [`UNetPlusPlus`]; deeper levels are 2, 4, 8 and 16 times as wide.
pub type UNetPlusPlusConfig = UShapeConfig<UNetPlusPlus, DeepSupervision>;

/// The heads of a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeepSupervision {
    /// True if the decoders of all four depths have a head, whose losses are averaged; the deepest
    /// one's is the prediction.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deep_supervision: bool,
}

impl DeepSupervision {
    /// Returns four heads.
    pub fn on() -> Self {
        Self { deep_supervision: true }
    }
}

impl Options for DeepSupervision {
    const OPTIONS: &'static [NetworkOption] =
        &[NetworkOption { name: "deep_supervision", values: "false or true", in_weights: true, only_with: None }];

    fn from_shapes(shape_of: &ShapeOf<'_>) -> Self {
        Self { deep_supervision: shape_of(HEADS[1]).is_ok() }
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        if self.deep_supervision { vec![("deep_supervision", "true".into())] } else { Vec::new() }
    }
}

/// The published names of the weight of the head that predicts.
const HEADS: [&str; 2] = ["final.weight", "final4.weight"];

/// Makes the list of a network's stages: its nodes, then its heads.
macro_rules! stages {
    ($($head:literal: $node:literal),+) => {
        &[
            Stage::new("conv0_0", &[IMAGE]),
            Stage::new("conv1_0", &["conv0_0"]),
            Stage::new("conv0_1", &["conv0_0", "conv1_0"]),
            Stage::new("conv2_0", &["conv1_0"]),
            Stage::new("conv1_1", &["conv1_0", "conv2_0"]),
            Stage::new("conv0_2", &["conv0_0", "conv0_1", "conv1_1"]),
            Stage::new("conv3_0", &["conv2_0"]),
            Stage::new("conv2_1", &["conv2_0", "conv3_0"]),
            Stage::new("conv1_2", &["conv1_0", "conv1_1", "conv2_1"]),
            Stage::new("conv0_3", &["conv0_0", "conv0_1", "conv0_2", "conv1_2"]),
            Stage::new("conv4_0", &["conv3_0"]),
            Stage::new("conv3_1", &["conv3_0", "conv4_0"]),
            Stage::new("conv2_2", &["conv2_0", "conv2_1", "conv3_1"]),
            Stage::new("conv1_3", &["conv1_0", "conv1_1", "conv1_2", "conv2_2"]),
            Stage::new("conv0_4", &["conv0_0", "conv0_1", "conv0_2", "conv0_3", "conv1_3"]),
            $(Stage::new($head, &[$node]),)+
        ]
    };
}

/// The stages of a network with one head.
const ONE_HEAD: &[Stage] = stages!("head": "conv0_4");
/// The stages that predict in a network with deep supervision.
const LAST_HEAD: &[Stage] = stages!("heads.3": "conv0_4");
/// The stages that learn in a network with deep supervision.
const ALL_HEADS: &[Stage] =
    stages!("heads.0": "conv0_1", "heads.1": "conv0_2", "heads.2": "conv0_3", "heads.3": "conv0_4");

/// A nested U-Net. A node `convI_J` has the size of level `I`, and `b * 2^I` channels.
#[derive(Module, Debug)]
pub struct UNetPlusPlus {
    /// `b` channels at full size.
    pub conv0_0: DoubleConv,
    /// `2b` channels at 1/2.
    pub conv1_0: Down,
    /// `4b` channels at 1/4.
    pub conv2_0: Down,
    /// `8b` channels at 1/8.
    pub conv3_0: Down,
    /// `16b` channels at 1/16.
    pub conv4_0: Down,
    /// The decoder of depth 1.
    pub conv0_1: Join,
    /// The decoder of depth 2.
    pub conv1_1: Join,
    /// The decoder of depth 2.
    pub conv0_2: Join,
    /// The decoder of depth 3.
    pub conv2_1: Join,
    /// The decoder of depth 3.
    pub conv1_2: Join,
    /// The decoder of depth 3.
    pub conv0_3: Join,
    /// The decoder of depth 4.
    pub conv3_1: Join,
    /// The decoder of depth 4.
    pub conv2_2: Join,
    /// The decoder of depth 4.
    pub conv1_3: Join,
    /// The decoder of depth 4.
    pub conv0_4: Join,
    /// `[num_classes, b, 1, 1]`, on the deepest decoder, where it is the only head.
    pub head: Option<Conv2d>,
    /// Four of `[num_classes, b, 1, 1]`, on the decoders of all depths, or none.
    pub heads: Vec<Conv2d>,
}

/// The module of a stage.
#[derive(Debug)]
pub enum Part<'a> {
    /// The first node of the encoder.
    Stem(&'a DoubleConv),
    /// Another node of the encoder.
    Down(&'a Down),
    /// A node of a decoder.
    Join(&'a Join),
    /// A 1x1 convolution to logits.
    Head(&'a Conv2d),
}

impl UShaped<DeepSupervision> for UNetPlusPlus {
    const BASE_WIDTH_MULTIPLE: usize = 1;
    const SIDES: Sides = Sides::multiples_of(16);
    const STEM: &'static str = "conv0_0.conv1.weight";
    const HEADS: &'static [&'static str] = &HEADS;
    const SOURCE: &'static str = "4uiiurz1/pytorch-nested-unet; Zhou et al. 2018";

    fn from_config(config: &UNetPlusPlusConfig, device: &Device) -> Self {
        let b = config.base_width;
        let down = |level: usize| DownConfig::new(b << (level - 1), b << level).with_bias(true).init(device);
        let join = |level: usize, skips| JoinConfig::new(b << level, skips, b << (level + 1)).init(device);
        let head = || pointwise_layer(b, config.num_classes, device);
        let deep_supervision = config.options.deep_supervision;
        Self {
            conv0_0: DoubleConvConfig::new(config.in_channels, b, b).with_bias(true).init(device),
            conv1_0: down(1),
            conv2_0: down(2),
            conv3_0: down(3),
            conv4_0: down(4),
            conv0_1: join(0, 1),
            conv1_1: join(1, 1),
            conv0_2: join(0, 2),
            conv2_1: join(2, 1),
            conv1_2: join(1, 2),
            conv0_3: join(0, 3),
            conv3_1: join(3, 1),
            conv2_2: join(2, 2),
            conv1_3: join(1, 3),
            conv0_4: join(0, 4),
            head: (!deep_supervision).then(head),
            heads: if deep_supervision { (0..4).map(|_| head()).collect() } else { Vec::new() },
        }
    }
}

impl UNetPlusPlus {
    /// Returns the module of a stage.
    ///
    /// # Panics
    /// When the network has no such stage.
    pub fn part(&self, stage: &Stage) -> Part<'_> {
        let found = match stage.name {
            "conv0_0" => Some(Part::Stem(&self.conv0_0)),
            "conv1_0" => Some(Part::Down(&self.conv1_0)),
            "conv2_0" => Some(Part::Down(&self.conv2_0)),
            "conv3_0" => Some(Part::Down(&self.conv3_0)),
            "conv4_0" => Some(Part::Down(&self.conv4_0)),
            "conv0_1" => Some(Part::Join(&self.conv0_1)),
            "conv1_1" => Some(Part::Join(&self.conv1_1)),
            "conv0_2" => Some(Part::Join(&self.conv0_2)),
            "conv2_1" => Some(Part::Join(&self.conv2_1)),
            "conv1_2" => Some(Part::Join(&self.conv1_2)),
            "conv0_3" => Some(Part::Join(&self.conv0_3)),
            "conv3_1" => Some(Part::Join(&self.conv3_1)),
            "conv2_2" => Some(Part::Join(&self.conv2_2)),
            "conv1_3" => Some(Part::Join(&self.conv1_3)),
            "conv0_4" => Some(Part::Join(&self.conv0_4)),
            "head" => self.head.as_ref().map(Part::Head),
            other => other
                .strip_prefix("heads.")
                .and_then(|index| self.heads.get(index.parse::<usize>().ok()?))
                .map(Part::Head),
        };
        found.unwrap_or_else(|| panic!("`{}` is not a stage of this UNet++", stage.name))
    }
}

impl Architecture for UNetPlusPlus {
    type Config = UNetPlusPlusConfig;

    fn config(&self) -> UNetPlusPlusConfig {
        let head = self.head.as_ref().unwrap_or_else(|| &self.heads[0]).weight.dims();
        let options = DeepSupervision { deep_supervision: self.head.is_none() };
        UNetPlusPlusConfig::from_dims(self.conv0_0.conv1.weight.dims(), head).with_options(options)
    }

    fn stages(&self) -> &'static [Stage] {
        if self.head.is_some() { ONE_HEAD } else { LAST_HEAD }
    }

    fn training_stages(&self) -> &'static [Stage] {
        if self.head.is_some() { ONE_HEAD } else { ALL_HEADS }
    }

    fn compute(&self, stage: &Stage, inputs: Vec<Tensor<4>>) -> Tensor<4> {
        let only = |inputs| {
            let [x] = exactly(inputs);
            x
        };
        match self.part(stage) {
            Part::Stem(conv) => conv.forward(only(inputs)),
            Part::Down(down) => down.forward(only(inputs)),
            Part::Join(join) => join.forward(inputs),
            Part::Head(head) => pointwise(head, only(inputs)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_parameter_counts() {
        for (name, config, expected) in [
            ("default", UNetPlusPlusConfig::new(), 9_163_362),
            ("deep supervision", UNetPlusPlusConfig::new().with_options(DeepSupervision::on()), 9_163_560),
            ("base 8", UNetPlusPlusConfig::new().with_base_width(8), 574_938),
        ] {
            let net = config.init(&Device::flex());
            assert_eq!(net.num_learnable(), expected, "{name}");
            assert_eq!(net.config(), config, "{name}");
            assert_eq!(
                crate::parameters::num_statistics(&net),
                if name == "base 8" { 7_296 / 4 } else { 7_296 },
                "{name}"
            );
        }
    }

    #[test]
    fn the_published_parameter_counts_by_node() {
        let net = UNetPlusPlusConfig::new().init(&Device::flex());
        macro_rules! count {
            ($($node:ident: $expected:literal),+ $(,)?) => {
                $(
                    let found = net.$node.num_params() - crate::parameters::num_statistics(&net.$node);
                    assert_eq!(found, $expected, stringify!($node));
                )+
            };
        }
        count! {
            conv0_0: 10_272, conv1_0: 55_680, conv2_0: 221_952, conv3_0: 886_272, conv4_0: 3_542_016,
            conv0_1: 37_056, conv1_1: 147_840, conv2_1: 590_592, conv3_1: 2_360_832, conv0_2: 46_272,
            conv1_2: 184_704, conv2_2: 738_048, conv0_3: 55_488, conv1_3: 221_568, conv0_4: 64_704,
        }
    }

    #[test]
    fn the_last_head_predicts() {
        let device = Device::flex();
        for (options, heads) in [(DeepSupervision::default(), 1), (DeepSupervision::on(), 4)] {
            let net = UNetPlusPlusConfig::new().with_base_width(2).with_options(options).init(&device);
            let image = Tensor::ones([1, 3, 16, 32], &device);
            let logits = net.forward_supervised(image.clone());
            assert_eq!(logits.len(), heads);
            assert_eq!(logits.last().unwrap().to_data(), net.forward(image).into_data());
        }
    }
}
