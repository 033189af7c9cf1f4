//! UNeXt, the network of Valanarasu and Patel, "UNeXt: MLP-based rapid medical image segmentation
//! network", MICCAI 2022, as its public code has it, without dropping paths at random.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use seg_contract::Sides;
use serde::{Deserialize, Serialize};

use super::encoder::conv3x3;
use super::{Decoder, DecoderConfig, Encoder, EncoderConfig, TokenDecoder, TokenDecoderConfig};
use super::{TokenEncoder, TokenEncoderConfig};
use crate::kernels::{convolution, pointwise, pointwise_layer, resize_half_pixel};
use crate::network::{Architecture, Configuration, MissingParameter, SettingError, ShapeOf};
use crate::numbers;
use crate::topology::{IMAGE, Stage, inputs as exactly};

/// The number that each side of an image is a multiple of: five halvings, whose skips are added
/// without padding.
pub const SIDE_MULTIPLE: usize = 32;

/// The stages.
const STAGES: [Stage; 11] = [
    Stage::new("encoder1", &[IMAGE]),
    Stage::new("encoder2", &["encoder1"]),
    Stage::new("encoder3", &["encoder2"]),
    Stage::new("tokens1", &["encoder3"]),
    Stage::new("tokens2", &["tokens1"]),
    Stage::new("decoder1", &["tokens2", "tokens1"]),
    Stage::new("decoder2", &["decoder1", "encoder3"]),
    Stage::new("decoder3", &["decoder2", "encoder2"]),
    Stage::new("decoder4", &["decoder3", "encoder1"]),
    // The image counts for its size alone.
    Stage::new("decoder5", &["decoder4", IMAGE]),
    Stage::new("head", &["decoder5"]),
];

/// Configuration of [`UNext`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UNextConfig {
    /// The image's channels.
    pub in_channels: usize,
    /// The classes, one logit each, the background among them.
    pub num_classes: usize,
    /// The channels of the encoder's five steps.
    #[serde(with = "crate::numbers")]
    pub widths: [usize; 5],
}

impl UNextConfig {
    /// The channels of the small network, UNeXt-S.
    pub const SMALL: [usize; 5] = [8, 16, 32, 64, 128];

    /// Returns the published settings: 3 channels, 2 classes, widths of 16 to 256.
    #[allow(clippy::new_without_default, reason = "as the configurations that Burn derives")]
    pub fn new() -> Self {
        Self { in_channels: 3, num_classes: 2, widths: [16, 32, 128, 160, 256] }
    }

    /// Returns the configuration with the channels of the encoder's five steps.
    pub fn with_widths(self, widths: [usize; 5]) -> Self {
        Self { widths, ..self }
    }
}

/// A U-Net of convolutions at the large sizes and of shifted MLPs at the small ones.
#[derive(Module, Debug)]
pub struct UNext {
    /// 1/2 of the size.
    pub encoder1: Encoder,
    /// 1/4 of the size.
    pub encoder2: Encoder,
    /// 1/8 of the size.
    pub encoder3: Encoder,
    /// 1/16 of the size.
    pub tokens1: TokenEncoder,
    /// 1/32 of the size.
    pub tokens2: TokenEncoder,
    /// 1/16 of the size.
    pub decoder1: TokenDecoder,
    /// 1/8 of the size.
    pub decoder2: TokenDecoder,
    /// 1/4 of the size.
    pub decoder3: Decoder,
    /// 1/2 of the size.
    pub decoder4: Decoder,
    /// `[c, c, 3, 3]` at 1/2 of the size, before the last upsampling.
    pub decoder5: Conv2d,
    /// `[num_classes, c, 1, 1]` at full size.
    pub head: Conv2d,
}

/// The module of a stage.
#[derive(Debug)]
pub enum Part<'a> {
    /// A step of the encoder that convolves.
    Encoder(&'a Encoder),
    /// A step of the encoder that mixes tokens.
    TokenEncoder(&'a TokenEncoder),
    /// A step of the decoder that mixes tokens.
    TokenDecoder(&'a TokenDecoder),
    /// A step of the decoder that convolves.
    Decoder(&'a Decoder),
    /// The last step of the decoder, which has no skip.
    Last(&'a Conv2d),
    /// The 1x1 convolution to the logits.
    Head(&'a Conv2d),
}

impl UNext {
    /// Returns the module of a stage.
    ///
    /// # Panics
    /// When the stage is not one of the network's.
    pub fn part(&self, stage: &Stage) -> Part<'_> {
        match stage.name {
            "encoder1" => Part::Encoder(&self.encoder1),
            "encoder2" => Part::Encoder(&self.encoder2),
            "encoder3" => Part::Encoder(&self.encoder3),
            "tokens1" => Part::TokenEncoder(&self.tokens1),
            "tokens2" => Part::TokenEncoder(&self.tokens2),
            "decoder1" => Part::TokenDecoder(&self.decoder1),
            "decoder2" => Part::TokenDecoder(&self.decoder2),
            "decoder3" => Part::Decoder(&self.decoder3),
            "decoder4" => Part::Decoder(&self.decoder4),
            "decoder5" => Part::Last(&self.decoder5),
            "head" => Part::Head(&self.head),
            other => panic!("`{other}` is not a stage of UNeXt"),
        }
    }
}

impl Configuration for UNextConfig {
    type Network = UNext;

    const SOURCE: &'static str = "jeya-maria-jose/UNeXt-pytorch; Valanarasu and Patel 2022";

    fn published(in_channels: usize, num_classes: usize) -> Self {
        Self { in_channels, num_classes, ..Self::new() }
    }

    fn from_shapes(shape_of: &ShapeOf<'_>) -> Result<Self, MissingParameter> {
        let convolutions = ["encoder1", "encoder2", "encoder3", "patch_embed3.proj", "patch_embed4.proj"]
            .map(|name| shape_of(&format!("{name}.weight")));
        let [first, second, third, fourth, fifth] = convolutions;
        let [width, in_channels, _, _] = first?;
        let [num_classes, ..] = shape_of("final.weight")?;
        Ok(Self { in_channels, num_classes, widths: [width, second?[0], third?[0], fourth?[0], fifth?[0]] })
    }

    fn init(&self, device: &Device) -> UNext {
        let [first, second, third, fourth, fifth] = self.widths;
        UNext {
            encoder1: EncoderConfig::new(self.in_channels, first).init(device),
            encoder2: EncoderConfig::new(first, second).init(device),
            encoder3: EncoderConfig::new(second, third).init(device),
            tokens1: TokenEncoderConfig::new(third, fourth).init(device),
            tokens2: TokenEncoderConfig::new(fourth, fifth).init(device),
            decoder1: TokenDecoderConfig::new(fifth, fourth).init(device),
            decoder2: TokenDecoderConfig::new(fourth, third).init(device),
            decoder3: DecoderConfig::new(third, second).init(device),
            decoder4: DecoderConfig::new(second, first).init(device),
            decoder5: conv3x3([first, first], device),
            head: pointwise_layer(first, self.num_classes, device),
        }
    }

    fn in_channels(&self) -> usize {
        self.in_channels
    }

    fn num_classes(&self) -> usize {
        self.num_classes
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        vec![("widths", numbers::text(&self.widths))]
    }

    fn sides(&self) -> Sides {
        Sides::multiples_of(SIDE_MULTIPLE)
    }

    fn check(&self) -> Result<(), SettingError> {
        if self.widths.contains(&0) {
            let (found, expected) = (numbers::text(&self.widths), "at least 1 each".into());
            return Err(SettingError { name: "widths", found, expected });
        }
        Ok(())
    }
}

impl Architecture for UNext {
    type Config = UNextConfig;

    fn config(&self) -> UNextConfig {
        let [first, in_channels, _, _] = self.encoder1.conv.weight.dims();
        let [num_classes, ..] = self.head.weight.dims();
        let others = [&self.encoder2.conv, &self.encoder3.conv, &self.tokens1.conv, &self.tokens2.conv];
        let [second, third, fourth, fifth] = others.map(|conv| conv.weight.dims()[0]);
        UNextConfig { in_channels, num_classes, widths: [first, second, third, fourth, fifth] }
    }

    fn stages(&self) -> &'static [Stage] {
        &STAGES
    }

    fn compute(&self, stage: &Stage, inputs: Vec<Tensor<4>>) -> Tensor<4> {
        match self.part(stage) {
            Part::Encoder(encoder) => encoder.forward(only(inputs)),
            Part::TokenEncoder(encoder) => encoder.forward(only(inputs)),
            Part::TokenDecoder(decoder) => {
                let [deep, skip] = exactly(inputs);
                decoder.forward(deep, skip)
            }
            Part::Decoder(decoder) => {
                let [deep, skip] = exactly(inputs);
                decoder.forward(deep, skip)
            }
            Part::Last(conv) => {
                let [deep, image] = exactly(inputs);
                let [_, _, height, width] = image.dims();
                relu(resize_half_pixel(convolution(conv, deep), [height, width]))
            }
            Part::Head(head) => pointwise(head, only(inputs)),
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
            ("default", UNextConfig::new(), 1_471_938, 1_024),
            ("one class", UNextConfig { num_classes: 1, ..UNextConfig::new() }, 1_471_921, 1_024),
            ("small", UNextConfig::new().with_widths(UNextConfig::SMALL), 253_570, 352),
        ] {
            let net = Configuration::init(&config, &Device::flex());
            assert_eq!(net.num_learnable(), expected, "{name}");
            assert_eq!(crate::parameters::num_statistics(&net), statistics, "{name}");
            assert_eq!(net.config(), config, "{name}");
        }
    }

    #[test]
    fn multiples_of_32_come_back_at_their_size() {
        let device = Device::flex();
        let net = Configuration::init(&UNextConfig::new().with_widths([2, 3, 4, 5, 6]), &device);
        for [h, w] in [[32, 32], [64, 96]] {
            let y = net.forward(Tensor::zeros([1, 3, h, w], &device));
            assert_eq!(y.dims(), [1, 2, h, w], "{h}x{w}");
        }
    }
}
