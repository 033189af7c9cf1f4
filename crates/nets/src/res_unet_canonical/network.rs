//! ResUNet, the network of Zhang et al., "Road Extraction by Deep Residual U-Net", IEEE GRSL 2018,
//! as today's public PyTorch code has it, with a head of one logit for each class.

use burn::module::Module;
use burn::nn::conv::{Conv2d, ConvTranspose2d};
use burn::tensor::{Device, Tensor};
use seg_contract::Sides;

use super::{Input, InputConfig, Residual, ResidualConfig};
use crate::kernels::{concatenate, pointwise, pointwise_layer, transposed, transposed_layer};
use crate::network::Architecture;
use crate::topology::{IMAGE, Stage, inputs as exactly};
use crate::u_shape_config::{UShapeConfig, UShaped};

/// Configuration of [`ResUNetCanonical`]; deeper levels are 2, 4 and 8 times as wide.
pub type ResUNetCanonicalConfig = UShapeConfig<ResUNetCanonical>;

/// The stages. A step of the decoder reads the deep features, then the skip.
const STAGES: [Stage; 11] = [
    Stage::new("input", &[IMAGE]),
    Stage::new("residual_conv_1", &["input"]),
    Stage::new("residual_conv_2", &["residual_conv_1"]),
    Stage::new("bridge", &["residual_conv_2"]),
    Stage::new("upsample_1", &["bridge"]),
    Stage::new("up_residual_conv1", &["upsample_1", "residual_conv_2"]),
    Stage::new("upsample_2", &["up_residual_conv1"]),
    Stage::new("up_residual_conv2", &["upsample_2", "residual_conv_1"]),
    Stage::new("upsample_3", &["up_residual_conv2"]),
    Stage::new("up_residual_conv3", &["upsample_3", "input"]),
    Stage::new("output_layer", &["up_residual_conv3"]),
];

/// A U-Net of three depths whose blocks are residual and activated before their convolutions.
#[derive(Module, Debug)]
pub struct ResUNetCanonical {
    /// `b` channels at full size.
    pub input: Input,
    /// `2b` channels at 1/2.
    pub residual_conv_1: Residual,
    /// `4b` channels at 1/4.
    pub residual_conv_2: Residual,
    /// `8b` channels at 1/8.
    pub bridge: Residual,
    /// `[8b, 8b, 2, 2]`, to 1/4
    pub upsample_1: ConvTranspose2d,
    /// `4b` channels at 1/4.
    pub up_residual_conv1: Residual,
    /// `[4b, 4b, 2, 2]`, to 1/2
    pub upsample_2: ConvTranspose2d,
    /// `2b` channels at 1/2.
    pub up_residual_conv2: Residual,
    /// `[2b, 2b, 2, 2]`, to full size
    pub upsample_3: ConvTranspose2d,
    /// `b` channels at full size.
    pub up_residual_conv3: Residual,
    /// `[num_classes, b, 1, 1]`
    pub output_layer: Conv2d,
}

/// The module of a stage.
#[derive(Debug)]
pub enum Part<'a> {
    /// The first stage.
    Input(&'a Input),
    /// A step of the encoder.
    Down(&'a Residual),
    /// The way to twice the size.
    Upsample(&'a ConvTranspose2d),
    /// A step of the decoder, on deep features and skip together.
    Up(&'a Residual),
    /// The 1x1 convolution to the logits.
    Head(&'a Conv2d),
}

impl UShaped for ResUNetCanonical {
    const BASE_WIDTH_MULTIPLE: usize = 1;
    const BASE_WIDTH: usize = 64;
    const SIDES: Sides = Sides::multiples_of(8);
    const STEM: &'static str = "input_layer.0.weight";
    const HEADS: &'static [&'static str] = &["output_layer.0.weight"];
    const SOURCE: &'static str = "rishikksh20/ResUnet; Zhang et al. 2018";

    fn from_config(config: &ResUNetCanonicalConfig, device: &Device) -> Self {
        let b = config.base_width;
        let down = |channels| ResidualConfig::new(channels, 2 * channels, 2).init(device);
        // The deep features are twice as wide as the skip.
        let up = |channels| ResidualConfig::new(3 * channels, channels, 1).init(device);
        Self {
            input: InputConfig::new(config.in_channels, b).init(device),
            residual_conv_1: down(b),
            residual_conv_2: down(2 * b),
            bridge: down(4 * b),
            upsample_1: transposed_layer(8 * b, 8 * b, device),
            up_residual_conv1: up(4 * b),
            upsample_2: transposed_layer(4 * b, 4 * b, device),
            up_residual_conv2: up(2 * b),
            upsample_3: transposed_layer(2 * b, 2 * b, device),
            up_residual_conv3: up(b),
            output_layer: pointwise_layer(b, config.num_classes, device),
        }
    }
}

impl ResUNetCanonical {
    /// Returns the module of a stage.
    ///
    /// # Panics
    /// When the network has no such stage.
    pub fn part(&self, stage: &Stage) -> Part<'_> {
        match stage.name {
            "input" => Part::Input(&self.input),
            "residual_conv_1" => Part::Down(&self.residual_conv_1),
            "residual_conv_2" => Part::Down(&self.residual_conv_2),
            "bridge" => Part::Down(&self.bridge),
            "upsample_1" => Part::Upsample(&self.upsample_1),
            "up_residual_conv1" => Part::Up(&self.up_residual_conv1),
            "upsample_2" => Part::Upsample(&self.upsample_2),
            "up_residual_conv2" => Part::Up(&self.up_residual_conv2),
            "upsample_3" => Part::Upsample(&self.upsample_3),
            "up_residual_conv3" => Part::Up(&self.up_residual_conv3),
            "output_layer" => Part::Head(&self.output_layer),
            other => panic!("`{other}` is not a stage of ResUNet"),
        }
    }
}

impl Architecture for ResUNetCanonical {
    type Config = ResUNetCanonicalConfig;

    fn config(&self) -> ResUNetCanonicalConfig {
        ResUNetCanonicalConfig::from_dims(self.input.conv1.weight.dims(), self.output_layer.weight.dims())
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
            Part::Input(input) => input.forward(only(inputs)),
            Part::Down(down) => down.forward(only(inputs)),
            Part::Upsample(layer) => transposed(layer, only(inputs)),
            Part::Up(up) => up.forward(concatenate(inputs)),
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
            ("default", ResUNetCanonicalConfig::new(), 13_043_074, 9_088),
            ("one class", ResUNetCanonicalConfig::new().with_num_classes(1), 13_043_009, 9_088),
            ("base 32", ResUNetCanonicalConfig::new().with_base_width(32), 3_265_218, 4_544),
        ] {
            let net = config.init(&Device::flex());
            assert_eq!(net.num_learnable(), expected, "{name}");
            assert_eq!(crate::parameters::num_statistics(&net), statistics, "{name}");
            assert_eq!(net.config(), config, "{name}");
        }
    }
}
