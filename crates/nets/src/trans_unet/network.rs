//! TransUNet, the network of Chen et al., "TransUNet: Transformers make strong encoders for medical
//! image segmentation", 2021, as its public code has it, without dropping values at random.

use burn::module::Module;
use burn::nn::PaddingConfig2d;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::activation::relu;
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Device, Tensor, module};
use seg_contract::Sides;
use serde::{Deserialize, Serialize};

use super::root::GROUPS;
use super::{Embedding, EmbeddingConfig, Encoder, EncoderConfig, LayerConfig, Residual, ResidualConfig};
use super::{Root, RootConfig, Up, UpConfig};
use crate::blocks::{ConvNorm, ConvNormConfig};
use crate::kernels::{convolution, in_float32};
use crate::network::{Architecture, Configuration, MissingParameter, NetworkOption, SettingError, ShapeOf};
use crate::numbers;
use crate::topology::{IMAGE, Stage, inputs as exactly};

/// The sides of an image over those of the map of tokens.
const REDUCTION: usize = 16;

/// The heads of the published network.
const HEADS: usize = 12;

/// The stages.
const STAGES: [Stage; 12] = [
    Stage::new("root", &[IMAGE]),
    Stage::new("block1", &["root"]),
    Stage::new("block2", &["block1"]),
    Stage::new("block3", &["block2"]),
    Stage::new("embedding", &["block3"]),
    Stage::new("encoder", &["embedding"]),
    Stage::new("more", &["encoder"]),
    Stage::new("up1", &["more", "block2"]),
    Stage::new("up2", &["up1", "block1"]),
    Stage::new("up3", &["up2", "root"]),
    Stage::new("up4", &["up3"]),
    Stage::new("head", &["up4"]),
];

/// Configuration of [`TransUNet`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransUNetConfig {
    /// The image's channels.
    pub in_channels: usize,
    /// The classes, one logit each, the background among them.
    pub num_classes: usize,
    /// Height and width of the images, a multiple of 16: the only ones that the network takes.
    pub side: usize,
    /// The channels of the first stage, a multiple of 32; the residual stages have 4, 8 and 16
    /// times as many.
    pub width: usize,
    /// The units of the residual stages.
    #[serde(with = "crate::numbers")]
    pub units: [usize; 3],
    /// The channels of a token, a multiple of the heads.
    pub hidden: usize,
    /// The heads of the attention, which no shape of a weight tells.
    #[serde(default = "published_heads", skip_serializing_if = "is_published")]
    pub heads: usize,
    /// The layers of the transformer.
    pub layers: usize,
    /// The channels in the middle of a layer's feed-forward part.
    pub mlp: usize,
    /// The channels behind the transformer.
    pub more: usize,
    /// The channels of the decoder's steps.
    #[serde(with = "crate::numbers")]
    pub decoder: [usize; 4],
}

fn published_heads() -> usize {
    HEADS
}

fn is_published(heads: &usize) -> bool {
    *heads == HEADS
}

impl TransUNetConfig {
    /// Returns the published settings, R50-ViT-B/16, for images of 256x256, 3 channels and 2
    /// classes.
    #[allow(clippy::new_without_default, reason = "as the configurations that Burn derives")]
    pub fn new() -> Self {
        Self {
            in_channels: 3,
            num_classes: 2,
            side: 256,
            width: 64,
            units: [3, 4, 9],
            hidden: 768,
            heads: HEADS,
            layers: 12,
            mlp: 3072,
            more: 512,
            decoder: [256, 128, 64, 16],
        }
    }

    /// Returns the channels of the skip connections, the deepest first; the last step has none.
    fn skips(&self) -> [usize; 4] {
        [8 * self.width, 4 * self.width, self.width, 0]
    }
}

/// A residual network, a transformer on its smallest maps, and a decoder with skip connections.
#[derive(Module, Debug)]
pub struct TransUNet {
    /// 1/2 of the size.
    pub root: Root,
    /// 1/4 of the size, rounded down by the pooling before it.
    pub block1: Residual,
    /// 1/8 of the size.
    pub block2: Residual,
    /// 1/16 of the size.
    pub block3: Residual,
    /// 1/16 of the size.
    pub embedding: Embedding,
    /// 1/16 of the size.
    pub encoder: Encoder,
    /// 1/16 of the size.
    pub more: ConvNorm,
    /// 1/8 of the size.
    pub up1: Up,
    /// 1/4 of the size.
    pub up2: Up,
    /// 1/2 of the size.
    pub up3: Up,
    /// Full size.
    pub up4: Up,
    /// `[num_classes, c, 3, 3]`
    pub head: Conv2d,
}

/// The module of a stage.
#[derive(Debug)]
pub enum Part<'a> {
    /// The first stage.
    Root(&'a Root),
    /// The first residual stage, behind a pooling.
    Pooled(&'a Residual),
    /// A later residual stage.
    Residual(&'a Residual),
    /// The tokens.
    Embedding(&'a Embedding),
    /// The transformer.
    Encoder(&'a Encoder),
    /// The layer behind the transformer.
    More(&'a ConvNorm),
    /// A step of the decoder.
    Up(&'a Up),
    /// The 3x3 convolution to the logits.
    Head(&'a Conv2d),
}

impl TransUNet {
    /// Returns the module of a stage.
    ///
    /// # Panics
    /// When the stage is not one of the network's.
    pub fn part(&self, stage: &Stage) -> Part<'_> {
        match stage.name {
            "root" => Part::Root(&self.root),
            "block1" => Part::Pooled(&self.block1),
            "block2" => Part::Residual(&self.block2),
            "block3" => Part::Residual(&self.block3),
            "embedding" => Part::Embedding(&self.embedding),
            "encoder" => Part::Encoder(&self.encoder),
            "more" => Part::More(&self.more),
            "up1" => Part::Up(&self.up1),
            "up2" => Part::Up(&self.up2),
            "up3" => Part::Up(&self.up3),
            "up4" => Part::Up(&self.up4),
            "head" => Part::Head(&self.head),
            other => panic!("`{other}` is not a stage of TransUNet"),
        }
    }
}

impl Configuration for TransUNetConfig {
    type Network = TransUNet;

    const SOURCE: &'static str = "Beckschen/TransUNet; Chen et al. 2021";

    const OPTIONS: &'static [NetworkOption] = &[NetworkOption {
        name: "heads",
        values: "12, or another number that divides `hidden`",
        in_weights: false,
        only_with: None,
    }];

    fn published(in_channels: usize, num_classes: usize) -> Self {
        Self { in_channels, num_classes, ..Self::new() }
    }

    fn from_shapes(shape_of: &ShapeOf<'_>) -> Result<Self, MissingParameter> {
        let hybrid = "transformer.embeddings.hybrid_model";
        let [width, in_channels, _, _] = shape_of(&format!("{hybrid}.root.conv.weight"))?;
        let unit = |block, unit| shape_of(&format!("{hybrid}.body.block{block}.unit{unit}.conv1.weight"));
        let units = [1, 2, 3].map(|block| (1..).take_while(|index| unit(block, *index).is_ok()).count());
        let [_, tokens, hidden, _] = shape_of("transformer.embeddings.position_embeddings")?;
        let expand = |layer: usize| shape_of(&format!("transformer.encoder.layer.{layer}.ffn.fc1.weight"));
        let mut decoder = [0; 4];
        for (index, channels) in decoder.iter_mut().enumerate() {
            [*channels, ..] = shape_of(&format!("decoder.blocks.{index}.conv1.0.weight"))?;
        }
        Ok(Self {
            in_channels,
            num_classes: shape_of("segmentation_head.0.weight")?[0],
            side: REDUCTION * tokens.isqrt(),
            width,
            units,
            hidden,
            heads: HEADS,
            layers: (0..).take_while(|layer| expand(*layer).is_ok()).count(),
            mlp: expand(0)?[0],
            more: shape_of("decoder.conv_more.0.weight")?[0],
            decoder,
        })
    }

    fn init(&self, device: &Device) -> TransUNet {
        let Self { width, units, hidden, more, decoder, .. } = *self;
        let deep = [more, decoder[0], decoder[1], decoder[2]];
        let skips = self.skips();
        let up = |step: usize| UpConfig::new(deep[step] + skips[step], decoder[step]).init(device);
        let layer = LayerConfig::new(hidden, self.heads, self.mlp);
        let head = Conv2dConfig::new([decoder[3], self.num_classes], [3, 3]);
        TransUNet {
            root: RootConfig::new(self.in_channels, width).init(device),
            block1: ResidualConfig::new(width, width, units[0], 1).init(device),
            block2: ResidualConfig::new(4 * width, 2 * width, units[1], 2).init(device),
            block3: ResidualConfig::new(8 * width, 4 * width, units[2], 2).init(device),
            embedding: EmbeddingConfig::new(16 * width, hidden, self.side / REDUCTION).init(device),
            encoder: EncoderConfig::new(layer, self.layers).init(device),
            more: ConvNormConfig::new(hidden, more).init(device),
            up1: up(0),
            up2: up(1),
            up3: up(2),
            up4: up(3),
            head: head.with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1)).init(device),
        }
    }

    fn in_channels(&self) -> usize {
        self.in_channels
    }

    fn num_classes(&self) -> usize {
        self.num_classes
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        let heads = (self.heads != HEADS).then(|| ("heads", self.heads.to_string()));
        let settings = [
            ("side", self.side.to_string()),
            ("width", self.width.to_string()),
            ("units", numbers::text(&self.units)),
            ("hidden", self.hidden.to_string()),
            ("layers", self.layers.to_string()),
            ("mlp", self.mlp.to_string()),
            ("more", self.more.to_string()),
            ("decoder", numbers::text(&self.decoder)),
        ];
        settings.into_iter().chain(heads).collect()
    }

    fn sides(&self) -> Sides {
        Sides::only([self.side; 2])
    }

    fn smallest_side(&self, side: usize) -> usize {
        side / REDUCTION
    }

    fn check(&self) -> Result<(), SettingError> {
        let multiple = |number: usize, of: usize| number > 0 && of > 0 && number.is_multiple_of(of);
        let checks = [
            ("side", multiple(self.side, REDUCTION), self.side.to_string(), "a positive multiple of 16".to_owned()),
            ("width", multiple(self.width, GROUPS), self.width.to_string(), "a positive multiple of 32".into()),
            ("units", !self.units.contains(&0), numbers::text(&self.units), "at least 1 each".into()),
            (
                "hidden",
                multiple(self.hidden, self.heads),
                self.hidden.to_string(),
                format!("a positive multiple of {} heads", self.heads),
            ),
            ("layers", self.layers > 0, self.layers.to_string(), "at least 1".into()),
            ("mlp", self.mlp > 0, self.mlp.to_string(), "at least 1".into()),
            ("more", self.more > 0, self.more.to_string(), "at least 1".into()),
            ("decoder", !self.decoder.contains(&0), numbers::text(&self.decoder), "at least 1 each".into()),
        ];
        match checks.into_iter().find(|(_, fits, ..)| !fits) {
            Some((name, _, found, expected)) => Err(SettingError { name, found, expected }),
            None => Ok(()),
        }
    }
}

impl Architecture for TransUNet {
    type Config = TransUNetConfig;

    fn config(&self) -> TransUNetConfig {
        let [width, in_channels, _, _] = self.root.conv.weight.dims();
        let [_, tokens, hidden] = self.embedding.position.dims();
        let layer = &self.encoder.layers[0];
        let ups = [&self.up1, &self.up2, &self.up3, &self.up4];
        TransUNetConfig {
            in_channels,
            num_classes: self.head.weight.dims()[0],
            side: REDUCTION * tokens.isqrt(),
            width,
            units: [&self.block1, &self.block2, &self.block3].map(|block| block.units.len()),
            hidden,
            heads: layer.attention.heads,
            layers: self.encoder.layers.len(),
            mlp: layer.mlp.expand.weight.dims()[0],
            more: self.more.conv.weight.dims()[0],
            decoder: ups.map(|up| up.conv.conv1.weight.dims()[0]),
        }
    }

    fn stages(&self) -> &'static [Stage] {
        &STAGES
    }

    fn compute(&self, stage: &Stage, inputs: Vec<Tensor<4>>) -> Tensor<4> {
        match self.part(stage) {
            Part::Root(root) => root.forward(only(inputs)),
            Part::Pooled(block) => block.forward(pool(only(inputs))),
            Part::Residual(block) => block.forward(only(inputs)),
            Part::Embedding(embedding) => embedding.forward(only(inputs)),
            Part::Encoder(encoder) => encoder.forward(only(inputs)),
            Part::More(more) => relu(more.forward(only(inputs))),
            Part::Up(up) => {
                let mut inputs = inputs.into_iter();
                let deep = inputs.next().expect("a step of the decoder reads deep features");
                up.forward(deep, inputs.next())
            }
            Part::Head(head) => convolution(head, only(inputs)),
        }
    }
}

/// Takes the largest value of each 3x3 square, every second one, without padding.
fn pool(x: Tensor<4>) -> Tensor<4> {
    in_float32(x, |x| module::max_pool2d(x, MaxPoolOptions::new([3, 3]).with_stride([2, 2])))
}

/// Returns the only input of a stage.
fn only(inputs: Vec<Tensor<4>>) -> Tensor<4> {
    let [x] = exactly(inputs);
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small network.
    fn small() -> TransUNetConfig {
        TransUNetConfig {
            side: 32,
            width: 32,
            units: [1, 2, 1],
            hidden: 24,
            layers: 2,
            mlp: 12,
            more: 6,
            decoder: [5, 4, 3, 2],
            ..TransUNetConfig::new()
        }
    }

    #[test]
    fn the_published_parameter_count() {
        let net = TransUNetConfig::new().init(&Device::flex());
        assert_eq!(net.num_learnable(), 105_322_146);
        assert_eq!(crate::parameters::num_statistics(&net), 2_880);
        assert_eq!(net.config(), TransUNetConfig::new());
    }

    #[test]
    fn its_one_size_comes_back() {
        let device = Device::flex();
        let net = small().init(&device);
        assert_eq!(net.config(), small());
        let y = net.forward(Tensor::zeros([2, 3, 32, 32], &device));
        assert_eq!(y.dims(), [2, 2, 32, 32]);
        assert_eq!(small().sides(), Sides::only([32, 32]));
    }

    #[test]
    fn another_number_of_heads_survives_the_way_through_weights() {
        let device = Device::flex();
        let config = TransUNetConfig { heads: 3, ..small() };
        let weights = crate::weights::Weights::from_network(&config.init(&device));
        assert_eq!(weights.options()["heads"], "3");
        assert_eq!(weights.to_network(&device).unwrap().config(), config.into());
        assert_eq!(crate::weights::Weights::from_network(&small().init(&device)).options().len(), 0);
    }

    #[test]
    fn a_side_of_no_whole_tokens_is_refused() {
        for (name, config) in [
            ("side", TransUNetConfig { side: 40, ..small() }),
            ("width", TransUNetConfig { width: 40, ..small() }),
            ("hidden", TransUNetConfig { hidden: 30, ..small() }),
            ("hidden", TransUNetConfig { heads: 5, ..small() }),
            ("hidden", TransUNetConfig { heads: 0, ..small() }),
        ] {
            assert_eq!(config.check().unwrap_err().name, name);
        }
        assert_eq!(small().check(), Ok(()));
    }
}
