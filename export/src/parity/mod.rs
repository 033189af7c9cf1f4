//! Each block's graph against the block itself, before and after the passes.

mod difference;
mod further;
mod random;

use std::rc::Rc;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use seg_nets::amsunet::*;
use seg_nets::blocks::{BatchNorm, BatchNormConfig, DoubleConv, DoubleConvConfig};
use seg_nets::network::{Network, NetworkConfig};
use seg_nets::unet::{self, UNetConfig};
use seg_nets::weights::to_array;
use seg_nets::{attention_unet, res_unet, res_unet_canonical as canonical, unet_plus_plus};
use seg_onnx::evaluate::evaluate;
use seg_onnx::graph::{Coordinates, Dim, Graph, GraphBuilder, Op, PadMode, Scope, Value};
use seg_onnx::{Opset, Target, passes};

pub(crate) use random::randomised;

use difference::Difference;
use random::noise;

use crate::lower::{Lower, LowerError, to_graph, value_of_stage};

/// Sizes for a network whose sides are multiples of 16.
const MULTIPLES: [[usize; 2]; 2] = [[16, 32], [48, 16]];

/// An even size, and odd ones that the encoder halves unevenly.
const SIZES: [[usize; 2]; 3] = [[16, 32], [17, 31], [45, 22]];

/// Returns the graph as it is lowered, and after the passes of each target.
fn variants(graph: Graph) -> Vec<(String, Graph)> {
    let mut variants = vec![("lowered".to_owned(), graph.clone())];
    for (opset, target) in [(Opset::V17, Target::Portable), (Opset::V20, Target::Cpu), (Opset::V20, Target::TensorRt)] {
        let mut graph = graph.clone();
        passes::run(&mut graph, opset, target).unwrap();
        variants.push((format!("opset {opset}, {target}"), graph));
    }
    variants
}

/// A block in two forms: what it computes, and its graph.
struct Block {
    name: &'static str,
    /// The channels of the input at full size, then those of the input at half the size where there
    /// is one.
    channels: Vec<usize>,
    forward: Box<Forward>,
    lower: Box<Lowering>,
}

type Forward = dyn Fn(&[Tensor<4>]) -> Tensor<4>;
type Lowering = dyn Fn(&mut Scope<'_>, &[Value]) -> Result<Value, LowerError>;

impl Block {
    fn new<M: Module + Lower + 'static>(
        name: &'static str,
        channels: usize,
        module: M,
        forward: fn(&M, Tensor<4>) -> Tensor<4>,
    ) -> Self {
        let module = Rc::new(randomised(module));
        let lowered = Rc::clone(&module);
        Self {
            name,
            channels: vec![channels],
            forward: Box::new(move |x| forward(&module, x[0].clone())),
            lower: Box::new(move |at, x| lowered.lower(at, "block", x[0])),
        }
    }

    fn up<M: Module + Lower<[Value; 2]> + 'static>(
        name: &'static str,
        module: M,
        channels: usize,
        forward: fn(&M, Tensor<4>, Tensor<4>) -> Tensor<4>,
    ) -> Self {
        Self::two(name, module, channels, M::lower, forward)
    }

    /// Makes a block of deep features of half the size and a skip.
    fn two<M: Module + 'static>(
        name: &'static str,
        module: M,
        channels: usize,
        lower: fn(&M, &mut Scope<'_>, &str, [Value; 2]) -> Result<Value, LowerError>,
        forward: fn(&M, Tensor<4>, Tensor<4>) -> Tensor<4>,
    ) -> Self {
        let module = Rc::new(randomised(module));
        let lowered = Rc::clone(&module);
        Self {
            name,
            channels: vec![channels, channels],
            forward: Box::new(move |x| forward(&module, x[1].clone(), x[0].clone())),
            lower: Box::new(move |at, x| lower(&lowered, at, "block", [x[1], x[0]])),
        }
    }

    fn graph(&self) -> Graph {
        let mut builder = GraphBuilder::new(self.name);
        let inputs: Vec<_> = (1..)
            .zip(&self.channels)
            .map(|(divisor, &channels)| {
                let size = |side: Dim| side.floor_div(divisor).unwrap();
                let shape = [Dim::batch(), Dim::try_from(channels).unwrap(), size(Dim::height()), size(Dim::width())];
                builder.input(&format!("input{divisor}"), shape).unwrap()
            })
            .collect();
        let output = (self.lower)(&mut builder.root(), &inputs).unwrap();
        builder.finish(&[("output", output)]).unwrap()
    }

    fn inputs(&self, [height, width]: [usize; 2]) -> Vec<Tensor<4>> {
        let inputs = (1..).zip(&self.channels);
        inputs.map(|(divisor, &channels)| noise([2, channels, height / divisor, width / divisor])).collect()
    }
}

fn blocks() -> Vec<Block> {
    let device = &Device::flex();
    let mut blocks = vec![
        Block::new("batch_norm", 4, BatchNormConfig::new(4).init(device), BatchNorm::forward),
        Block::new("strip", 4, StripConfig::new(4, 7).init(device), Strip::forward),
        Block::new("ams", 4, AmsConfig::new(4, 3).init(device), Ams::forward),
        Block::new("attention", 4, AttentionConfig::new(4, 5).init(device), Attention::forward),
        Block::new("ffn", 4, FfnConfig::new(4).init(device), Ffn::forward),
        Block::new("amse", 4, AmseConfig::new(4, 3).init(device), Amse::forward),
        Block::new("rsc", 8, RscConfig::new(8).init(device), Rsc::forward),
        Block::new("stem", 3, StemConfig::new(3, 4).init(device), Stem::forward),
        Block::new("down", 4, DownConfig::new(4, 6, 3).init(device), Down::forward),
        Block::up("up", UpConfig::new(16, 4).init(device), 8, Up::forward),
        Block::new("double_conv", 4, DoubleConvConfig::new(4, 6, 8).init(device), DoubleConv::forward),
        Block::new("unet_down", 4, unet::DownConfig::new(4, 6).init(device), unet::Down::forward),
        Block::up("unet_up", unet::UpConfig::new(8, 4).init(device), 4, unet::Up::forward),
        Block::two(
            "unet_plus_plus_join",
            unet_plus_plus::JoinConfig::new(4, 1, 4).init(device),
            4,
            |join, at, name, [deep, skip]| join.lower(at, name, vec![skip, deep]),
            |join, deep, skip| join.forward(vec![skip, deep]),
        ),
        Block::new(
            "attention_unet_up",
            4,
            attention_unet::UpConfig::new(4, 6).init(device),
            attention_unet::Up::forward,
        ),
        // The deep features stand for both maps, which have one size.
        Block::two(
            "attention_unet_gate",
            attention_unet::GateConfig::new(4).init(device),
            4,
            |gate, at, name, [deep, _]| gate.lower(at, name, [deep, deep]),
            |gate, deep, _| gate.forward(deep.clone(), deep),
        ),
        Block::new(
            "res_unet_residual",
            4,
            res_unet::ResidualConfig::new(4, 6, 8).init(device),
            res_unet::Residual::forward,
        ),
        Block::new(
            "res_unet_identity",
            4,
            res_unet::ResidualConfig::new(4, 6, 4).init(device),
            res_unet::Residual::forward,
        ),
        Block::new("res_unet_down", 4, res_unet::DownConfig::new(4, 6).init(device), res_unet::Down::forward),
        Block::up("res_unet_up", res_unet::UpConfig::new(8, 4).init(device), 4, res_unet::Up::forward),
        Block::new("canonical_input", 3, canonical::InputConfig::new(3, 4).init(device), canonical::Input::forward),
        Block::new(
            "canonical_residual",
            4,
            canonical::ResidualConfig::new(4, 6, 1).init(device),
            canonical::Residual::forward,
        ),
        Block::new(
            "canonical_halving",
            4,
            canonical::ResidualConfig::new(4, 6, 2).init(device),
            canonical::Residual::forward,
        ),
    ];
    blocks.extend(further::blocks());
    blocks
}

#[test]
fn each_block_is_its_graph() {
    for block in blocks() {
        for (variant, graph) in variants(block.graph()) {
            for size in SIZES {
                let inputs = block.inputs(size);
                let expected = to_array((block.forward)(&inputs));
                let named = graph.inputs.iter().zip(inputs);
                let named: Vec<_> =
                    named.map(|(input, x)| (input.name.as_str(), to_array(x).mapv(f64::from))).collect();
                let found = evaluate(&graph, &named, &["output"]).unwrap();
                let name = format!("{}, {variant}, {size:?}", block.name);
                Difference::between(&name, found["output"].as_f64().unwrap(), &expected)
                    .check()
                    .unwrap_or_else(|difference| panic!("{difference}"));
            }
        }
    }
}

/// Returns the first stage whose output differs from the network's.
fn compare_stages(net: &Network, graph: &Graph, size: [usize; 2]) -> Result<(), Difference> {
    let x = noise([2, 3, size[0], size[1]]);
    let mut stages = Vec::new();
    net.forward_observed(x.clone(), |stage, output| stages.push((stage.to_owned(), to_array(output.clone()))));
    let values: Vec<_> = stages.iter().map(|(stage, _)| value_of_stage(graph, stage)).collect();
    let wanted: Vec<_> = values.iter().map(String::as_str).collect();
    let found = evaluate(graph, &[("input", to_array(x).mapv(f64::from))], &wanted).unwrap();
    stages.iter().zip(wanted).try_for_each(|((stage, expected), value)| {
        Difference::between(stage, found[value].as_f64().unwrap(), expected).check()
    })
}

fn network(config: impl Into<NetworkConfig>) -> (Network, Graph) {
    let net = randomised(config.into().init(&Device::flex()));
    let graph = to_graph(&net, "input", "logits").unwrap();
    (net, graph)
}

fn amsunet() -> (Network, Graph) {
    network(AmsUnetConfig::new().with_base_width(4))
}

#[test]
fn each_network_is_its_graph() {
    let amsunet = AmsUnetConfig::new().with_base_width(4).into();
    let unet = UNetConfig::new().with_base_width(3).into();
    let nested = unet_plus_plus::UNetPlusPlusConfig::new().with_base_width(2);
    let supervised = nested.clone().with_options(unet_plus_plus::DeepSupervision::on()).into();
    let attention = attention_unet::AttentionUNetConfig::new().with_base_width(2).into();
    let residual = res_unet::ResUNetConfig::new().with_base_width(2).into();
    let canonical = canonical::ResUNetCanonicalConfig::new().with_base_width(2).into();
    for config in [amsunet, unet, nested.into(), supervised, attention, residual, canonical] as [NetworkConfig; 7] {
        let (net, graph) = network(config.clone());
        for (variant, graph) in variants(graph) {
            let takes_any = SIZES.iter().all(|size| config.sides().fit(*size));
            for &size in if takes_any { &SIZES[..] } else { &MULTIPLES } {
                compare_stages(&net, &graph, size)
                    .unwrap_or_else(|difference| panic!("{config}, {variant}, {size:?}: {difference}"));
            }
        }
    }
}

#[test]
fn a_planted_fault_is_found_where_it_is() {
    type Fault = fn(&mut Op);
    let faults: [(&str, &str, &str, Fault); 6] = [
        ("zeros at the border", "in_conv.pad", "in_conv", |op| *op = Op::Pad { mode: PadMode::Constant }),
        ("another epsilon", "down2.norm", "down2", |op| *op = Op::BatchNormalization { epsilon: 1e-3 }),
        ("another dilation", "down3.amse.attention.ams.atrous", "down3", |op| {
            if let Op::Conv(conv) = op {
                conv.dilations = [2, 2];
                conv.pads = [2; 4];
            }
        }),
        ("a gate left out", "up2.rsc.spatial_sigmoid", "up2", |op| *op = Op::Relu),
        ("corners not aligned", "up3.upsample", "up3", |op| {
            if let Op::Resize { coordinates, .. } = op {
                *coordinates = Coordinates::HalfPixel;
            }
        }),
        ("the difference of a residual", "up4.amse.sum", "up4", |op| *op = Op::Sub),
    ];
    let (net, graph) = amsunet();
    for (fault, node, stage, plant) in faults {
        let mut graph = graph.clone();
        plant(&mut graph.nodes.iter_mut().find(|candidate| candidate.name == node).unwrap().op);
        let difference = compare_stages(&net, &graph, SIZES[1]).expect_err(fault);
        assert_eq!(difference.name, stage, "{fault}: {difference}");
    }
}

#[test]
fn a_transposed_kernel_is_found() {
    let (net, mut graph) = amsunet();
    let weight = graph.initializers.get_mut("down1.amse.ffn.local.weight").unwrap();
    let mut values = weight.as_f32().unwrap().to_vec();
    for kernel in values.chunks_exact_mut(3 * 3) {
        for (above, below) in [(1, 3), (2, 6), (5, 7)] {
            kernel.swap(above, below);
        }
    }
    *weight = seg_onnx::graph::Tensor::new(weight.shape(), values).unwrap();
    assert_eq!(compare_stages(&net, &graph, SIZES[0]).unwrap_err().name, "down1");
}
