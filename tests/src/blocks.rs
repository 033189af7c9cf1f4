//! The blocks of the network, each alone: its result in Burn, and its graph.

use std::rc::Rc;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use ndarray::ArrayD;
use seg_export::lower::{Lower, LowerError};
use seg_nets::amsunet::*;
use seg_nets::blocks::{BatchNorm, BatchNormConfig, DoubleConv, DoubleConvConfig};
use seg_nets::blocks::{GroupNorm, GroupNormConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig};
use seg_nets::weights::to_array;
use seg_nets::{attention_unet, conv_unext, res_unet, res_unet_canonical, seg_next, unet, unet_plus_plus, unext};
use seg_onnx::graph::{Dim, Graph, GraphBuilder, Scope, Value};

use crate::fixtures::{noise, randomised, to_tensor};

/// A random block in two forms.
pub struct Block {
    /// The name of the file that holds it.
    pub name: &'static str,
    /// The graph as it is lowered, before any pass.
    pub graph: Graph,
    inputs: Vec<Operand>,
    forward: Box<Forward>,
}

type Forward = dyn Fn(&[Tensor<4>]) -> Tensor<4>;

/// An image that a block takes.
#[derive(Clone, Copy)]
struct Operand {
    name: &'static str,
    channels: usize,
    /// The side of the largest input over its own.
    divisor: usize,
}

const SEED: u64 = 3;

impl Block {
    /// Lists all blocks, the smaller ones first.
    pub fn all() -> Vec<Self> {
        let device = &Device::flex();
        vec![
            Self::new("batch_norm", BatchNormConfig::new(8).init(device), 8, BatchNorm::forward),
            Self::new("strip", StripConfig::new(8, 7).init(device), 8, Strip::forward),
            Self::new("ams", AmsConfig::new(8, 3).init(device), 8, Ams::forward),
            Self::new("attention", AttentionConfig::new(8, 5).init(device), 8, Attention::forward),
            Self::new("ffn", FfnConfig::new(8).init(device), 8, Ffn::forward),
            Self::new("amse", AmseConfig::new(8, 3).init(device), 8, Amse::forward),
            Self::new("rsc", RscConfig::new(8).init(device), 8, Rsc::forward),
            Self::new("stem", StemConfig::new(3, 8).init(device), 3, Stem::forward),
            Self::new("down", DownConfig::new(8, 16, 3).init(device), 8, Down::forward),
            Self::up("up", UpConfig::new(16, 4).init(device), 8, Up::forward),
            Self::new("double_conv", DoubleConvConfig::new(8, 4, 8).init(device), 8, DoubleConv::forward),
            Self::new("unet_down", unet::DownConfig::new(8, 16).init(device), 8, unet::Down::forward),
            Self::up("unet_up", unet::UpConfig::new(16, 4).init(device), 8, unet::Up::forward),
            Self::two(
                "unet_plus_plus_join",
                unet_plus_plus::JoinConfig::new(8, 1, 8).init(device),
                8,
                2,
                |join, at, name, [deep, skip]| join.lower(at, name, vec![skip, deep]),
                |join, deep, skip| join.forward(vec![skip, deep]),
            ),
            Self::new(
                "attention_unet_up",
                attention_unet::UpConfig::new(8, 4).init(device),
                8,
                attention_unet::Up::forward,
            ),
            Self::pair(
                "attention_unet_gate",
                attention_unet::GateConfig::new(8).init(device),
                8,
                attention_unet::Gate::forward,
            ),
            Self::new(
                "res_unet_residual",
                res_unet::ResidualConfig::new(8, 4, 6).init(device),
                8,
                res_unet::Residual::forward,
            ),
            Self::new(
                "res_unet_identity",
                res_unet::ResidualConfig::new(8, 4, 8).init(device),
                8,
                res_unet::Residual::forward,
            ),
            Self::new("res_unet_down", res_unet::DownConfig::new(8, 16).init(device), 8, res_unet::Down::forward),
            Self::up("res_unet_up", res_unet::UpConfig::new(16, 4).init(device), 8, res_unet::Up::forward),
            Self::new(
                "canonical_input",
                res_unet_canonical::InputConfig::new(3, 8).init(device),
                3,
                res_unet_canonical::Input::forward,
            ),
            Self::new(
                "canonical_residual",
                res_unet_canonical::ResidualConfig::new(8, 4, 1).init(device),
                8,
                res_unet_canonical::Residual::forward,
            ),
            Self::new(
                "canonical_halving",
                res_unet_canonical::ResidualConfig::new(8, 16, 2).init(device),
                8,
                res_unet_canonical::Residual::forward,
            ),
            Self::new("linear", LinearConfig::new(8, 12).init(device), 8, Linear::forward),
            Self::new("layer_norm", LayerNormConfig::new(8).init(device), 8, LayerNorm::forward),
            Self::new("group_norm", GroupNormConfig::new(4, 8, 1e-5).init(device), 8, GroupNorm::forward),
            Self::new("conv_unext_block", conv_unext::BlockConfig::new(8).init(device), 8, conv_unext::Block::forward),
            Self::new("conv_unext_stem", conv_unext::StemConfig::new(3, 8).init(device), 3, conv_unext::Stem::forward),
            Self::new(
                "conv_unext_down",
                conv_unext::DownConfig::new(8, 16, 2).init(device),
                8,
                conv_unext::Down::forward,
            ),
            Self::up("conv_unext_up", conv_unext::UpConfig::new(16, 4).init(device), 8, conv_unext::Up::forward),
            Self::new("shifted_block", unext::ShiftedBlockConfig::new(8).init(device), 8, unext::ShiftedBlock::forward),
            Self::new("unext_encoder", unext::EncoderConfig::new(8, 12).init(device), 8, unext::Encoder::forward),
            Self::new(
                "token_encoder",
                unext::TokenEncoderConfig::new(8, 12).init(device),
                8,
                unext::TokenEncoder::forward,
            ),
            Self::up("unext_decoder", unext::DecoderConfig::new(8, 8).init(device), 8, unext::Decoder::forward),
            Self::up(
                "token_decoder",
                unext::TokenDecoderConfig::new(8, 8).init(device),
                8,
                unext::TokenDecoder::forward,
            ),
            Self::new("msca", seg_next::AttentionConfig::new(8).init(device), 8, seg_next::Attention::forward),
            Self::new("seg_next_block", seg_next::BlockConfig::new(8, 4).init(device), 8, seg_next::Block::forward),
            Self::new("seg_next_stem", seg_next::StemConfig::new(3, 8).init(device), 3, seg_next::Stem::forward),
            Self::new("embed", seg_next::EmbedConfig::new(8, 12).init(device), 8, seg_next::Embed::forward),
            Self::new("conv_norm", seg_next::ConvNormConfig::new(8, 64).init(device), 8, seg_next::ConvNorm::forward),
        ]
    }

    /// Creates the inputs for a number of images and their size.
    pub fn inputs(&self, [n, height, width]: [usize; 3]) -> Vec<(&'static str, ArrayD<f32>)> {
        let shape = |of: &Operand| [n, of.channels, height / of.divisor, width / of.divisor];
        (SEED..).zip(&self.inputs).map(|(seed, of)| (of.name, noise(&shape(of), seed))).collect()
    }

    /// Computes the block in Burn.
    pub fn forward(&self, inputs: &[(&'static str, ArrayD<f32>)]) -> ArrayD<f32> {
        let inputs: Vec<_> = inputs.iter().map(|(_, values)| to_tensor(values, &Device::flex())).collect();
        to_array((self.forward)(&inputs))
    }

    fn new<M: Module + Lower + 'static>(
        name: &'static str,
        module: M,
        channels: usize,
        forward: fn(&M, Tensor<4>) -> Tensor<4>,
    ) -> Self {
        let module = Rc::new(randomised(module, SEED));
        let inputs = vec![Operand { name: "input", channels, divisor: 1 }];
        let graph = graph(name, &inputs, |at, x| module.lower(at, name, x[0]));
        Self { name, graph, inputs, forward: Box::new(move |x| forward(&module, x[0].clone())) }
    }

    fn up<M: Module + Lower<[Value; 2]> + 'static>(
        name: &'static str,
        module: M,
        channels: usize,
        forward: fn(&M, Tensor<4>, Tensor<4>) -> Tensor<4>,
    ) -> Self {
        Self::two(name, module, channels, 2, M::lower, forward)
    }

    /// Makes a block of two images of one size.
    fn pair<M: Module + Lower<[Value; 2]> + 'static>(
        name: &'static str,
        module: M,
        channels: usize,
        forward: fn(&M, Tensor<4>, Tensor<4>) -> Tensor<4>,
    ) -> Self {
        Self::two(name, module, channels, 1, M::lower, forward)
    }

    /// Makes a block of deep features and a skip; `divisor` is that of the deep features' side.
    fn two<M: Module + 'static>(
        name: &'static str,
        module: M,
        channels: usize,
        divisor: usize,
        lower: fn(&M, &mut Scope<'_>, &str, [Value; 2]) -> Result<Value, LowerError>,
        forward: fn(&M, Tensor<4>, Tensor<4>) -> Tensor<4>,
    ) -> Self {
        let module = Rc::new(randomised(module, SEED));
        let inputs = vec![Operand { name: "deep", channels, divisor }, Operand { name: "skip", channels, divisor: 1 }];
        let graph = graph(name, &inputs, |at, x| lower(&module, at, name, [x[0], x[1]]));
        Self { name, graph, inputs, forward: Box::new(move |x| forward(&module, x[0].clone(), x[1].clone())) }
    }
}

fn graph(
    name: &str,
    inputs: &[Operand],
    lower: impl FnOnce(&mut Scope<'_>, &[Value]) -> Result<Value, LowerError>,
) -> Graph {
    let mut builder = GraphBuilder::new(name);
    let values: Vec<_> = inputs
        .iter()
        .map(|&Operand { name, channels, divisor }| {
            let side = |side: Dim| side.floor_div(divisor as i64).expect("no divisor is 0");
            let channels = Dim::try_from(channels).expect("there are few channels");
            let shape = [Dim::batch(), channels, side(Dim::height()), side(Dim::width())];
            builder.input(name, shape).expect("the names differ")
        })
        .collect();
    let output = lower(&mut builder.root(), &values).unwrap_or_else(|error| panic!("{name}: {error}"));
    builder.finish(&[("output", output)]).unwrap_or_else(|error| panic!("{name}: {error}"))
}
