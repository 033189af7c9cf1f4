//! A graph that computes in 8-bit integers, in the form that ONNX calls QDQ.
//!
//! A value `x` is held as `q = round(x/s) + z`: `QuantizeLinear` and `DequantizeLinear` stand
//! around each quantised node, and a runtime that sees them on both sides computes it with
//! integers. Weights are symmetric (`z = 0`) with a step `s` per output channel, other values have
//! one step. Biases stay floats; runtimes round them to the product of both steps themselves.
//! [`steps`](super::steps) chooses the steps.
//!
//! Integers pay where one quantised node reads another. Between two nodes that compute in floats,
//! or in another memory layout, a value is written and read once more than without integers, which
//! costs more than a faster convolution saves. So depthwise convolutions, sums and products are
//! quantised together with the others, and nodes that stay float do so in whole
//! [`float_groups`](super::float_groups).
//!
//! A quantised node reads the rounded value, and so does every reader of a value that a quantised
//! node computed, because no other value exists. A float node that reads the value of another float
//! node reads the unrounded one, even if other readers see it rounded.
//!
//! TensorRT ([`Scheme::TensorRt`]) is different. Its convolutions in integers give floats, and
//! rounding these is a kernel of its own; a depthwise convolution in integers first copies its map
//! to four times the channels. So only what a convolution reads is rounded, only convolutions of
//! one group become integers, and only where that takes no further kernel ([`joins_a_kernel`]).
//!
//! The project's own kernels ([`Scheme::Fused`]) compute every dense convolution in integers: they
//! round its operand while that is near in the cache, and its result is a float again. All other
//! nodes stay float, so that nothing but products is rounded. Each channel of an operand whose
//! range is known has a step of its own ([`operand_steps`](super::operand_steps)).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::channel_steps::{move_steps_to_reader, takes_steps};
use super::operand_steps::{OperandSteps, add_gains};
use super::ranges::{Range, Ranges};
use super::steps::{Scheme, in_steps};
use crate::graph::{CheckError, Conv, Data, DataType, Graph, Index, Node, Op, Tensor, TensorType};

/// The result of quantising a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantized {
    /// The graph.
    pub graph: Graph,
    /// The values that are held in 8 bits.
    pub values: BTreeSet<String>,
}

/// An error in quantising a graph.
#[derive(Debug, thiserror::Error)]
pub enum QuantizeError {
    /// The node is not of a kind that can be quantised.
    #[error(
        "cannot quantise `{0}`: it is neither a sum or product of two values nor a convolution with constant weights inside \
         the graph"
    )]
    Node(String),
    /// The range of a value was not measured.
    #[error("cannot quantise `{0}`: the range of its values is not known or not finite")]
    Range(String),
    /// The graph breaks an invariant.
    #[error("cannot quantise the graph")]
    Check(#[from] CheckError),
}

/// The fewest channels, of input and of output, with which a convolution of one group becomes
/// faster in integers.
const CHANNELS_MIN: usize = 8;

/// The axis of a map's channels.
const CHANNELS: usize = 1;

/// The factor between the channels of input and output from which a 1x1 convolution pays for a
/// kernel of TensorRT that rounds what it reads.
const WIDENING_MIN: usize = 2;

/// Lists the nodes that profit from quantisation, in the order of the graph: convolutions of
/// several channels, in one group or in many, and sums and products of two values; for TensorRT,
/// convolutions of one group that take no further kernel; for the fused kernel, all of one group.
/// All of them are over images (not over pooled values), and none computes an output.
pub fn quantizable(graph: &Graph, scheme: Scheme) -> Vec<&str> {
    let is_pooled = |node: &Node| node.output.shape.iter().skip(2).all(|size| size.as_constant() == Some(1));
    let index = graph.index();
    let pays = |node: &&Node| {
        let can_be = operands(graph, node).is_some() && is_wide(graph, node) && !is_pooled(node);
        can_be
            && match scheme {
                Scheme::Cpu => true,
                Scheme::TensorRt => joins_a_kernel(graph, &index, node),
                Scheme::Fused => matches!(node.op, Op::Conv(Conv { group: 1, .. })),
            }
    };
    graph.nodes.iter().filter(pays).map(|node| node.name.as_str()).collect()
}

/// Returns true for a convolution of one group whose float result TensorRT needs no kernel for: its
/// reader is a depthwise convolution, which can take the steps of its channels, or all readers
/// compute each element by itself. It also does more work than a 1x1 convolution of as many
/// channels, which saves less than the rounding of its operand costs.
fn joins_a_kernel(graph: &Graph, index: &Index<'_>, node: &Node) -> bool {
    let (Op::Conv(Conv { group: 1, .. }), Some(weight)) =
        (&node.op, node.inputs.get(1).and_then(|weight| graph.initializers.get(weight)))
    else {
        return false;
    };
    let [filters, channels, kernel @ ..] = weight.shape() else { return false };
    let does_much =
        kernel.iter().any(|size| *size > 1) || filters.max(channels) >= &(WIDENING_MIN * filters.min(channels));
    let is_elementwise = |reader: &usize| {
        let op = &graph.nodes[*reader].op;
        matches!(op, Op::Add | Op::Sub | Op::Mul | Op::Gelu | Op::Erf | Op::Div | Op::Sigmoid | Op::Relu | Op::Tanh)
    };
    does_much
        && (takes_steps(graph, index, &node.name).is_some() || index.readers(&node.name).iter().all(is_elementwise))
}

/// Returns true unless the node is a convolution of one group with few channels.
fn is_wide(graph: &Graph, node: &Node) -> bool {
    match &node.op {
        Op::Conv(conv) if conv.group == 1 => {
            let channels = &graph.initializers[&node.inputs[1]].shape()[..2];
            channels.iter().all(|count| *count >= CHANNELS_MIN)
        }
        _ => true,
    }
}

/// Lists the values around the given nodes that are not constant: quantisation needs their ranges.
pub fn values_around<'g>(graph: &'g Graph, nodes: &BTreeSet<&str>, scheme: Scheme) -> BTreeSet<&'g str> {
    let around = |node: &'g Node| {
        let result = scheme.rounds_results().then_some(&node.name);
        operands(graph, node).unwrap_or_default().iter().chain(result)
    };
    let chosen = graph.nodes.iter().filter(|node| nodes.contains(node.name.as_str()));
    let values = chosen.flat_map(around).filter(|value| !graph.initializers.contains_key(*value));
    values.map(String::as_str).collect()
}

/// Returns the values that a quantised node is computed from, except a convolution's weights.
pub(super) fn operands<'g>(graph: &Graph, node: &'g Node) -> Option<&'g [String]> {
    let is_constant = |name: &String| graph.initializers.contains_key(name);
    let can_be = match (&node.op, &node.inputs[..]) {
        (Op::Conv(_), [x, weight, ..]) => {
            !is_constant(x) && graph.initializers.get(weight).is_some_and(|weight| weight.as_f32().is_some())
        }
        (Op::Add | Op::Mul, values) if !values.iter().any(is_constant) => node.output.data_type == DataType::F32,
        // A constant is added to values that are integers already, and is no reason to quantise
        // others.
        (Op::Add, values) => values.iter().any(|value| {
            let mut computed = graph.nodes.iter().filter(|node| node.name == *value);
            computed.any(|node| matches!(node.op, Op::Conv(_) | Op::Add | Op::Mul) && operands(graph, node).is_some())
        }),
        _ => false,
    };
    let operands = if matches!(node.op, Op::Conv(_)) { &node.inputs[..1] } else { &node.inputs[..] };
    (can_be && !graph.outputs.contains(&node.name)).then_some(operands)
}

/// Returns the graph with the given nodes in integers, their values within `ranges`.
///
/// # Errors
/// When a node cannot be quantised or a range is missing.
pub fn quantize(
    graph: &Graph,
    nodes: &BTreeSet<&str>,
    ranges: &Ranges,
    scheme: Scheme,
) -> Result<Quantized, QuantizeError> {
    graph.check()?;
    let mut quantizing = Quantizing {
        graph: Graph { nodes: Vec::new(), ..graph.clone() },
        values: BTreeSet::new(),
        weights: BTreeMap::new(),
        nodes,
        ranges,
        channel_steps: if scheme == Scheme::Fused { steps_of_channels(graph, nodes, ranges) } else { BTreeMap::new() },
        scheme,
    };
    for &missing in nodes {
        if !graph.nodes.iter().any(|node| node.name == missing && operands(graph, node).is_some()) {
            return Err(QuantizeError::Node(missing.to_owned()));
        }
    }
    for node in &graph.nodes {
        let operands = operands(graph, node).filter(|_| nodes.contains(node.name.as_str()));
        quantizing.add(node, operands)?;
    }
    let Quantizing { mut graph, values, .. } = quantizing;
    if scheme == Scheme::TensorRt {
        for node in nodes {
            move_steps_to_reader(&mut graph, node);
        }
    }
    graph.drop_unread_initializers();
    graph.infer_outputs()?;
    graph.check()?;
    Ok(Quantized { graph, values })
}

/// Returns the steps of each channel of the values that nothing but convolutions of one group reads
/// in integers, where the ranges of the channels are known.
fn steps_of_channels<'g>(graph: &'g Graph, nodes: &BTreeSet<&str>, ranges: &Ranges) -> BTreeMap<&'g str, OperandSteps> {
    let mut gains: BTreeMap<&str, Option<Vec<f64>>> = BTreeMap::new();
    for node in graph.nodes.iter().filter(|node| nodes.contains(node.name.as_str())) {
        for value in operands(graph, node).unwrap_or_default() {
            let channels = ranges.channels(value).map_or(0, <[Range]>::len);
            let all = gains.entry(value).or_insert_with(|| Some(vec![0.0; channels]));
            let weight = match (&node.op, node.inputs.get(1)) {
                (Op::Conv(Conv { group: 1, .. }), Some(weight)) => graph.initializers.get(weight),
                _ => None,
            };
            let weight = weight.filter(|weight| weight.shape().get(1) == Some(&channels));
            match (weight.and_then(|weight| Some((weight.as_f32()?, weight.shape()))), &mut *all) {
                (Some((values, shape)), Some(gains)) => add_gains(values, shape, gains),
                _ => *all = None,
            }
        }
    }
    let steps = |(value, gains): (&'g str, Option<Vec<f64>>)| {
        Some((value, OperandSteps::new(ranges.channels(value)?, &gains?)))
    };
    gains.into_iter().filter_map(steps).collect()
}

/// A graph during quantisation.
struct Quantizing<'g> {
    graph: Graph,
    values: BTreeSet<String>,
    /// The names of the dequantised weights, by the weight and the operand whose steps it took.
    weights: BTreeMap<(String, Option<String>), String>,
    nodes: &'g BTreeSet<&'g str>,
    ranges: &'g Ranges,
    channel_steps: BTreeMap<&'g str, OperandSteps>,
    scheme: Scheme,
}

impl Quantizing<'_> {
    /// Adds a node, which is quantised if the values that it is computed from are given.
    fn add(&mut self, node: &Node, operands: Option<&[String]>) -> Result<(), QuantizeError> {
        let mut node = node.clone();
        for value in operands.unwrap_or_default() {
            self.hold(value)?;
        }
        if let (Op::Conv(conv), Some(_)) = (&node.op, operands) {
            node.inputs[1] = self.quantize_weight(&node.inputs[1], conv.group, &node.inputs[0]);
        }
        for operand in &mut node.inputs {
            let is_integer = self.scheme.rounds_results() && self.nodes.contains(operand.as_str());
            let is_rounded = operands.is_some() || is_integer;
            if is_rounded && self.values.contains(operand) {
                *operand = dequantized(operand);
            }
        }
        let name = node.name.clone();
        self.graph.nodes.push(node);
        if operands.is_some() && self.scheme.rounds_results() { self.hold(&name) } else { Ok(()) }
    }

    /// Quantises a value to 8 bits.
    fn hold(&mut self, value: &str) -> Result<(), QuantizeError> {
        if !self.values.insert(value.to_owned()) {
            return Ok(());
        }
        let unknown = || QuantizeError::Range(value.to_owned());
        let constant = self.graph.initializers.get(value).and_then(|tensor| Some((tensor.shape(), tensor.as_f32()?)));
        let range = constant.map(|(_, values)| Range::from_values(values)).or_else(|| self.ranges.get(value));
        let range = range.filter(|range| range.is_finite()).ok_or_else(unknown)?;
        if let Some(steps) = self.channel_steps.get(value).cloned() {
            self.hold_channels(value, steps);
            return Ok(());
        }
        let held = constant.map(|(shape, values)| {
            let held = self.scheme.hold(values, &range);
            // TensorRT takes no integer constant without an axis, and one of one element broadcasts
            // like it.
            let is_scalar = shape.is_empty() && self.scheme == Scheme::TensorRt;
            Tensor::new(if is_scalar { &[1] } else { shape }, held).expect("as many elements")
        });
        let (step, zero) = self.scheme.step(&range);
        let [scale, zero_point, quantized] = ["scale", "zero", "quantized"].map(|part| format!("{value}.{part}"));
        self.graph.initializers.insert(scale.clone(), Tensor::scalar(step));
        self.graph.initializers.insert(zero_point.clone(), Tensor::new([], zero).expect("a scalar has one element"));
        let steps = [scale, zero_point];
        let with_steps = |x: String| [x].into_iter().chain(steps.clone()).collect();
        match held {
            Some(held) => _ = self.graph.initializers.insert(quantized.clone(), held),
            None => {
                let op = Op::QuantizeLinear { axis: 0 };
                self.graph.nodes.push(node(quantized.clone(), op, with_steps(value.to_owned())));
            }
        }
        let op = Op::DequantizeLinear { axis: 0 };
        self.graph.nodes.push(node(dequantized(value), op, with_steps(quantized)));
        Ok(())
    }

    /// Quantises a value to 8 bits, each channel in steps of its own; the dequantised value is one
    /// of steps.
    fn hold_channels(&mut self, value: &str, OperandSteps { steps, zero_point }: OperandSteps) {
        let [scales, zeros, one, zero, quantized] =
            ["scales", "zeros", "scale", "zero", "quantized"].map(|part| format!("{value}.{part}"));
        let zero_point_of_all = Tensor::new([], Data::U8(vec![zero_point])).expect("a scalar has one element");
        let constants = [
            (scales.clone(), Tensor::vector(steps.clone())),
            (zeros.clone(), Tensor::vector(Data::U8(vec![zero_point; steps.len()]))),
            (one.clone(), Tensor::scalar(1.0)),
            (zero.clone(), zero_point_of_all),
        ];
        self.graph.initializers.extend(constants);
        let quantize = Op::QuantizeLinear { axis: CHANNELS };
        self.graph.nodes.push(node(quantized.clone(), quantize, vec![value.to_owned(), scales, zeros]));
        let dequantize = Op::DequantizeLinear { axis: 0 };
        self.graph.nodes.push(node(dequantized(value), dequantize, vec![quantized, one, zero]));
    }

    /// Quantises the weight to 8 bits, with a step for each output channel, for an operand whose
    /// steps it takes if its channels have their own; returns the name of the dequantised weight.
    fn quantize_weight(&mut self, weight: &str, group: usize, operand: &str) -> String {
        let operand_steps = self.channel_steps.get(operand);
        let key = (weight.to_owned(), operand_steps.map(|_| operand.to_owned()));
        if let Some(name) = self.weights.get(&key) {
            return name.clone();
        }
        let is_first = self.weights.keys().all(|(other, _)| other != weight);
        let base = if is_first { weight.to_owned() } else { format!("{weight}.of.{operand}") };
        let name = dequantized(&base);
        let tensor = self.graph.initializers.get(weight).and_then(|tensor| Some((tensor.shape(), tensor.as_f32()?)));
        let Some((shape, values)) = tensor else { return name };
        let values = operand_steps.map_or(Cow::Borrowed(values), |steps| Cow::Owned(steps.take(values, shape)));
        let (steps, quantized) = in_steps(&values, shape, group, self.scheme);
        let zeros = Tensor::vector(Data::I8(vec![0; steps.len()]));
        let quantized = Tensor::new(shape, Data::I8(quantized)).expect("the shape is kept");
        let operands = ["quantized", "scale", "zero"].map(|part| format!("{base}.{part}"));
        for (name, tensor) in operands.iter().zip([quantized, Tensor::vector(steps), zeros]) {
            self.graph.initializers.insert(name.clone(), tensor);
        }
        self.graph.nodes.push(node(name.clone(), Op::DequantizeLinear { axis: 0 }, operands.to_vec()));
        self.weights.insert(key, name.clone());
        name
    }
}

/// Returns the dequantised form of a value.
fn dequantized(value: &str) -> String {
    format!("{value}.dequantized")
}

/// Creates a node whose type is inferred once all nodes exist.
fn node(name: String, op: Op, inputs: Vec<String>) -> Node {
    Node { name, op, inputs, output: TensorType::new(DataType::F32, []) }
}

#[cfg(test)]
mod tests {
    use ndarray::{ArrayD, IxDyn};

    use super::*;
    use crate::evaluate::{Array, evaluate_each};
    use crate::graph::example::Random;
    use crate::graph::{Dim, GraphBuilder};

    /// Builds convolutions of 64 channels with an activation, a sum and a gate between them, and
    /// two of few channels, one of which is an output.
    fn network() -> Graph {
        let mut random = Random(8);
        let mut builder = GraphBuilder::new("network");
        let x = builder.input("image", [Dim::batch(), 64.into(), Dim::height(), Dim::width()]).unwrap();
        let mut root = builder.root();
        let x =
            root.conv("first", x, random.tensor([64, 64, 1, 1]), Some(random.tensor([64])), Conv::default()).unwrap();
        let second = root.conv("second", x, random.tensor([64, 64, 1, 1]), None, Conv::default()).unwrap();
        let x = root.gelu("gelu", second).unwrap();
        let depthwise = Conv { pads: [1; 4], group: 64, ..Conv::default() };
        let x = root.conv("depthwise", x, random.tensor([64, 1, 3, 3]), None, depthwise).unwrap();
        let x = root.add("sum", x, second).unwrap();
        let gate = root.global_average_pool("pool", x).unwrap();
        let gate = root.mul("square", gate, gate).unwrap();
        let x = root.mul("gated", x, gate).unwrap();
        let half = root.constant("half", Tensor::scalar(0.5)).unwrap();
        let x = root.add("raised", x, half).unwrap();
        let x = root.relu("active", x).unwrap();
        let x = root.add("raised_again", x, half).unwrap();
        let x = root.conv("narrow", x, random.tensor([3, 64, 1, 1]), None, Conv::default()).unwrap();
        let y = root.conv("y", x, random.tensor([2, 3, 1, 1]), None, Conv::default()).unwrap();
        builder.finish(&[("y", y)]).unwrap()
    }

    fn values(graph: &Graph) -> BTreeMap<String, ArrayD<f64>> {
        let mut random = Random(4);
        let image = ArrayD::from_shape_fn(IxDyn(&[2, 64, 5, 6]), |_| f64::from(random.number()));
        let mut values = BTreeMap::from([("image".to_owned(), image.clone())]);
        evaluate_each(graph, &[("image", image)], |name, value| {
            if let Array::F64(floats) = value {
                values.insert(name.into(), floats.clone());
            }
        })
        .unwrap();
        values
    }

    fn range(values: &ArrayD<f64>) -> Range {
        let min = values.iter().copied().fold(f64::INFINITY, f64::min) as f32;
        let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max) as f32;
        Range { min, max }
    }

    fn ranges(graph: &Graph) -> Ranges {
        values(graph).iter().map(|(name, values)| (name.clone(), range(values))).collect()
    }

    #[test]
    fn what_hands_images_on_inside_of_the_graph_can_be_quantised() {
        let graph = network();
        let [for_cpus, for_tensorrt] = [Scheme::Cpu, Scheme::TensorRt].map(|kind| quantizable(&graph, kind));
        assert_eq!(for_cpus, ["first", "second", "depthwise", "sum", "gated", "raised"]);
        assert_eq!(for_tensorrt, [""; 0], "no convolution widens or narrows, or sees more than a pixel");
        for (node, expected) in [
            ("second", vec!["first", "second"]),
            ("depthwise", vec!["depthwise", "gelu"]),
            ("gated", vec!["gated", "square", "sum"]),
            ("raised", vec!["gated", "raised"]),
        ] {
            let values = values_around(&graph, &BTreeSet::from([node]), Scheme::Cpu);
            assert_eq!(values, expected.into_iter().collect(), "{node}");
        }
    }

    #[test]
    fn a_constant_is_held_as_it_is() {
        for (scheme, expected) in [(Scheme::Cpu, Data::U8(vec![255])), (Scheme::TensorRt, Data::I8(vec![127]))] {
            let quantized = quantize(&network(), &BTreeSet::from(["raised"]), &ranges(&network()), scheme);
            let Quantized { graph, .. } = quantized.unwrap();
            assert_eq!(graph.initializers["half.quantized"].data(), &expected);
            // TensorRT refuses an integer constant without an axis.
            let axes = usize::from(scheme == Scheme::TensorRt);
            assert_eq!(graph.initializers["half.quantized"].shape().len(), axes, "{scheme:?}");
            let raised = graph.nodes.iter().find(|node| node.name == "raised").unwrap();
            assert_eq!(raised.inputs, ["gated.dequantized", "half.dequantized"]);
            let again = graph.nodes.iter().find(|node| node.name == "raised_again").unwrap();
            assert_eq!(again.inputs, ["active", "half"], "who computes in floats reads the constant itself");
        }
    }

    #[test]
    fn floats_are_read_as_they_are_unless_integers_computed_them() {
        let mut builder = GraphBuilder::new("network");
        let x = builder.input("image", [Dim::batch(), 8.into(), Dim::height(), Dim::width()]).unwrap();
        let (mut random, mut root) = (Random(2), builder.root());
        let gelu = root.gelu("gelu", x).unwrap();
        let before = root.sigmoid("before", gelu).unwrap();
        let conv = root.conv("conv", gelu, random.tensor([8, 8, 1, 1]), None, Conv::default()).unwrap();
        let after = root.sigmoid("after", gelu).unwrap();
        let rounded = root.sigmoid("rounded", conv).unwrap();
        let sum = root.add("sum", before, after).unwrap();
        let y = root.add("y", sum, rounded).unwrap();
        let graph = builder.finish(&[("y", y)]).unwrap();
        let range = Range { min: -1.0, max: 1.0 };
        let ranges = ["gelu", "conv"].map(|value| (value.to_owned(), range)).into();
        let quantized = quantize(&graph, &BTreeSet::from(["conv"]), &ranges, Scheme::Cpu).unwrap().graph;
        for (name, expected) in
            [("before", "gelu"), ("conv", "gelu.dequantized"), ("after", "gelu"), ("rounded", "conv.dequantized")]
        {
            let node = quantized.nodes.iter().find(|node| node.name == name).unwrap();
            assert_eq!(node.inputs[0], expected, "{name}");
        }
    }

    #[test]
    fn a_quantised_network_is_off_by_a_few_steps() {
        let before = network();
        let nodes = quantizable(&before, Scheme::Cpu).into_iter().collect();
        for scheme in [Scheme::Cpu, Scheme::TensorRt, Scheme::Fused] {
            let Quantized { graph, values: held } = quantize(&before, &nodes, &ranges(&before), scheme).unwrap();
            assert_eq!((&graph.inputs, &graph.outputs), (&before.inputs, &before.outputs));
            let results = if scheme == Scheme::Cpu { vec!["depthwise", "raised"] } else { vec![] };
            let read = ["first", "gated", "gelu", "half", "image", "second", "square", "sum", "depthwise"];
            assert_eq!(held, read.into_iter().chain(results).map(str::to_owned).collect(), "{scheme:?}");
            let (expected, found) = (&values(&before)["y"], &values(&graph)["y"]);
            let largest = expected.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
            let worst = (expected - found).iter().fold(0.0, |worst: f64, value| worst.max(value.abs())) / largest;
            assert!(worst < 0.05 && worst > 1e-5, "{scheme:?}: {worst:e}");
        }
    }

    #[test]
    fn each_convolution_stands_between_quantised_values() {
        let before = network();
        let graph = quantize(&before, &BTreeSet::from(["second"]), &ranges(&before), Scheme::Cpu).unwrap().graph;
        let lines: Vec<_> = graph.nodes.iter().map(ToString::to_string).skip(1).take(7).collect();
        assert_eq!(
            lines,
            [
                "first.quantized: u8[batch, 64, height, width] = QuantizeLinear(first, first.scale, first.zero) axis=0",
                "first.dequantized: f32[batch, 64, height, width] = DequantizeLinear(first.quantized, first.scale, \
                 first.zero) axis=0",
                "second.weight.dequantized: f32[64, 64, 1, 1] = DequantizeLinear(second.weight.quantized, \
                 second.weight.scale, second.weight.zero) axis=0",
                "second: f32[batch, 64, height, width] = Conv(first.dequantized, second.weight.dequantized) \
                 strides=[1, 1] pads=[0, 0, 0, 0] dilations=[1, 1] group=1",
                "second.quantized: u8[batch, 64, height, width] = QuantizeLinear(second, second.scale, second.zero) axis=0",
                "second.dequantized: f32[batch, 64, height, width] = DequantizeLinear(second.quantized, second.scale, \
                 second.zero) axis=0",
                "gelu: f32[batch, 64, height, width] = Gelu(second.dequantized)",
            ]
        );
    }

    #[test]
    fn what_cannot_be_quantised_is_named() {
        let graph = network();
        for node in ["y", "gelu", "pool", "raised_again", "nothing"] {
            let error = quantize(&graph, &BTreeSet::from([node]), &ranges(&graph), Scheme::Cpu).unwrap_err();
            assert!(error.to_string().starts_with(&format!("cannot quantise `{node}`: it is neither")), "{error}");
        }
        let known: Vec<_> = values(&graph)
            .iter()
            .map(|(name, values)| (name.clone(), range(values)))
            .filter(|(name, _)| name != "first")
            .collect();
        for range in [None, Some(f32::NAN), Some(f32::INFINITY)] {
            let first = range.map(|end| ("first".to_owned(), Range { min: -end, max: end }));
            let ranges = known.iter().cloned().chain(first).collect();
            let error = quantize(&graph, &BTreeSet::from(["second"]), &ranges, Scheme::Cpu).unwrap_err();
            let expected = "cannot quantise `first`: the range of its values is not known or not finite";
            assert_eq!(error.to_string(), expected, "{range:?}");
        }
    }
}
