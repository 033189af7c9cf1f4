//! Attention U-Net, the network of Oktay et al., "Attention U-Net: Learning Where to Look for the
//! Pancreas", 2018, as today's public PyTorch code has it: batch normalisation, and upsampling that
//! repeats pixels.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};
use seg_contract::Sides;

use super::{Gate, GateConfig, Up, UpConfig};
use crate::blocks::{DoubleConv, DoubleConvConfig};
use crate::kernels::{concatenate, pointwise, pointwise_layer};
use crate::network::Architecture;
use crate::topology::{IMAGE, Stage, inputs as exactly};
use crate::u_shape_config::{UShapeConfig, UShaped};
use crate::unet::{Down, DownConfig};

/// Configuration of [`AttentionUNet`]; deeper levels are 2, 4, 8 and 16 times as wide.
pub type AttentionUNetConfig = UShapeConfig<AttentionUNet>;

/// The stages. A gate reads the decoder's map, then the skip; the convolutions behind it read the
/// gated skip, then the decoder's map.
const STAGES: [Stage; 18] = [
    Stage::new("conv1", &[IMAGE]),
    Stage::new("conv2", &["conv1"]),
    Stage::new("conv3", &["conv2"]),
    Stage::new("conv4", &["conv3"]),
    Stage::new("conv5", &["conv4"]),
    Stage::new("up5", &["conv5"]),
    Stage::new("att5", &["up5", "conv4"]),
    Stage::new("up_conv5", &["att5", "up5"]),
    Stage::new("up4", &["up_conv5"]),
    Stage::new("att4", &["up4", "conv3"]),
    Stage::new("up_conv4", &["att4", "up4"]),
    Stage::new("up3", &["up_conv4"]),
    Stage::new("att3", &["up3", "conv2"]),
    Stage::new("up_conv3", &["att3", "up3"]),
    Stage::new("up2", &["up_conv3"]),
    Stage::new("att2", &["up2", "conv1"]),
    Stage::new("up_conv2", &["att2", "up2"]),
    Stage::new("conv_1x1", &["up_conv2"]),
];

/// A U-Net whose skip connections are gated.
#[derive(Module, Debug)]
pub struct AttentionUNet {
    /// `b` channels at full size.
    pub conv1: DoubleConv,
    /// `2b` channels at 1/2.
    pub conv2: Down,
    /// `4b` channels at 1/4.
    pub conv3: Down,
    /// `8b` channels at 1/8.
    pub conv4: Down,
    /// `16b` channels at 1/16.
    pub conv5: Down,
    /// `8b` channels at 1/8.
    pub up5: Up,
    /// On `8b` channels at 1/8.
    pub att5: Gate,
    /// `8b` channels at 1/8.
    pub up_conv5: DoubleConv,
    /// `4b` channels at 1/4.
    pub up4: Up,
    /// On `4b` channels at 1/4.
    pub att4: Gate,
    /// `4b` channels at 1/4.
    pub up_conv4: DoubleConv,
    /// `2b` channels at 1/2.
    pub up3: Up,
    /// On `2b` channels at 1/2.
    pub att3: Gate,
    /// `2b` channels at 1/2.
    pub up_conv3: DoubleConv,
    /// `b` channels at full size.
    pub up2: Up,
    /// On `b` channels at full size.
    pub att2: Gate,
    /// `b` channels at full size.
    pub up_conv2: DoubleConv,
    /// `[num_classes, b, 1, 1]`
    pub conv_1x1: Conv2d,
}

/// The module of a stage.
#[derive(Debug)]
pub enum Part<'a> {
    /// The first stage.
    Stem(&'a DoubleConv),
    /// A step of the encoder.
    Down(&'a Down),
    /// The way to twice the size.
    Up(&'a Up),
    /// The gate on a skip.
    Gate(&'a Gate),
    /// The convolutions on gated skip and decoder's map together.
    Join(&'a DoubleConv),
    /// The 1x1 convolution to the logits.
    Head(&'a Conv2d),
}

impl UShaped for AttentionUNet {
    // A gate is half as wide as its skip.
    const BASE_WIDTH_MULTIPLE: usize = 2;
    const BASE_WIDTH: usize = 64;
    const SIDES: Sides = Sides::multiples_of(16);
    const STEM: &'static str = "Conv1.conv.0.weight";
    const HEADS: &'static [&'static str] = &["Conv_1x1.weight"];
    const SOURCE: &'static str = "LeeJunHyun/Image_Segmentation; Oktay et al. 2018";

    fn from_config(config: &AttentionUNetConfig, device: &Device) -> Self {
        let b = config.base_width;
        let down = |channels| DownConfig::new(channels, 2 * channels).with_bias(true).init(device);
        let up = |channels| UpConfig::new(2 * channels, channels).init(device);
        let gate = |channels| GateConfig::new(channels).init(device);
        let join = |channels| DoubleConvConfig::new(2 * channels, channels, channels).with_bias(true).init(device);
        Self {
            conv1: DoubleConvConfig::new(config.in_channels, b, b).with_bias(true).init(device),
            conv2: down(b),
            conv3: down(2 * b),
            conv4: down(4 * b),
            conv5: down(8 * b),
            up5: up(8 * b),
            att5: gate(8 * b),
            up_conv5: join(8 * b),
            up4: up(4 * b),
            att4: gate(4 * b),
            up_conv4: join(4 * b),
            up3: up(2 * b),
            att3: gate(2 * b),
            up_conv3: join(2 * b),
            up2: up(b),
            att2: gate(b),
            up_conv2: join(b),
            conv_1x1: pointwise_layer(b, config.num_classes, device),
        }
    }
}

impl AttentionUNet {
    /// Returns the module of a stage.
    ///
    /// # Panics
    /// When the network has no such stage.
    pub fn part(&self, stage: &Stage) -> Part<'_> {
        match stage.name {
            "conv1" => Part::Stem(&self.conv1),
            "conv2" => Part::Down(&self.conv2),
            "conv3" => Part::Down(&self.conv3),
            "conv4" => Part::Down(&self.conv4),
            "conv5" => Part::Down(&self.conv5),
            "up5" => Part::Up(&self.up5),
            "att5" => Part::Gate(&self.att5),
            "up_conv5" => Part::Join(&self.up_conv5),
            "up4" => Part::Up(&self.up4),
            "att4" => Part::Gate(&self.att4),
            "up_conv4" => Part::Join(&self.up_conv4),
            "up3" => Part::Up(&self.up3),
            "att3" => Part::Gate(&self.att3),
            "up_conv3" => Part::Join(&self.up_conv3),
            "up2" => Part::Up(&self.up2),
            "att2" => Part::Gate(&self.att2),
            "up_conv2" => Part::Join(&self.up_conv2),
            "conv_1x1" => Part::Head(&self.conv_1x1),
            other => panic!("`{other}` is not a stage of Attention U-Net"),
        }
    }
}

impl Architecture for AttentionUNet {
    type Config = AttentionUNetConfig;

    fn config(&self) -> AttentionUNetConfig {
        AttentionUNetConfig::from_dims(self.conv1.conv1.weight.dims(), self.conv_1x1.weight.dims())
    }

    fn stages(&self) -> &'static [Stage] {
        &STAGES
    }

    fn compute(&self, stage: &Stage, inputs: Vec<Tensor<4>>) -> Tensor<4> {
        let only = |inputs| {
            let [x] = exactly(inputs);
            x
        };
        match self.part(stage) {
            Part::Stem(conv) => conv.forward(only(inputs)),
            Part::Down(down) => down.forward(only(inputs)),
            Part::Up(up) => up.forward(only(inputs)),
            Part::Gate(gate) => {
                let [deep, skip] = exactly(inputs);
                gate.forward(deep, skip)
            }
            Part::Join(conv) => conv.forward(concatenate(inputs)),
            Part::Head(head) => pointwise(head, only(inputs)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_parameter_counts() {
        for (name, config, expected, statistics) in [
            ("base 32", AttentionUNetConfig::new().with_base_width(32), 8_726_110, 7_816),
            ("base 8", AttentionUNetConfig::new().with_base_width(8), 547_810, 1_960),
        ] {
            let net = config.init(&Device::flex());
            assert_eq!(net.num_learnable(), expected, "{name}");
            assert_eq!(crate::parameters::num_statistics(&net), statistics, "{name}");
            assert_eq!(net.config(), config, "{name}");
        }
    }
}
