//! A graph that computes in 8-bit integers, in the form that ONNX calls QDQ.
//!
//! A value `x` is held as `q = round(x/s) + z`: `QuantizeLinear` and `DequantizeLinear` stand around each quantised
//! node, and a runtime that sees them on both sides computes it with integers. Weights are symmetric (`z = 0`) with a
//! step `s` per output channel, other values have one step. Biases stay floats; runtimes round them to the product of both
//! steps themselves.
//!
//! Integers pay where one node hands them to the next. Between two that compute in floats, or in another layout of memory,
//! a value is written and read once more than without them, which costs more than a faster convolution saves. So
//! depthwise convolutions, sums and products go along with the others, and what stays float does so in
//! whole [`parts`](super::parts).
//!
//! Whoever computes in integers reads what is left of a value, and so does everyone of a value that was computed in
//! integers: there is nothing else. A node that computes in floats from a value that was computed in floats reads that
//! value itself, whoever else reads it rounded.
//!
//! CPUs without VNNI add the products of two neighbouring weights in 16 bits, which hold no more than
//! `32767 = 128.5 * 255`. The step of a filter's weights is therefore chosen so that neither a weight nor two neighbours of
//! one sign together are more than 127 steps; rounding may add one. Neighbours are those in the order in which ONNX Runtime
//! lays out a filter: all channels of a tap, then those of the next. It is so for signed values as well, because it
//! adds 128 to them and computes with the unsigned ones. Depthwise convolutions add in 32 bits.

use std::collections::{BTreeMap, BTreeSet};

use crate::graph::{CheckError, Data, DataType, Graph, Node, Op, Tensor, TensorType};

/// What the quantised values of a graph are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activations {
    /// `0..=255` with a zero point: for CPUs.
    #[default]
    U8,
    /// `-127..=127` around zero: what TensorRT takes.
    I8,
}

/// The values between which a value lies, or as far as its quantised form should reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// The smallest.
    pub min: f32,
    /// The largest.
    pub max: f32,
}

/// The ranges of values of a graph, by name.
pub type Ranges = BTreeMap<String, Range>;

/// What became of a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantized {
    /// The graph.
    pub graph: Graph,
    /// The values that are held in 8 bits.
    pub values: BTreeSet<String>,
}

/// Why a graph cannot be quantised.
#[derive(Debug, thiserror::Error)]
pub enum QuantizeError {
    /// The node is not one that can be quantised.
    #[error(
        "cannot quantise `{0}`: it is no sum or product of two values and no convolution with constant weights inside of \
         the graph"
    )]
    Node(String),
    /// Nobody has seen the range of a value.
    #[error("cannot quantise `{0}`: the range of its values is not known or not finite")]
    Range(String),
    /// The graph breaks an invariant.
    #[error("cannot quantise the graph")]
    Check(#[from] CheckError),
}

/// The fewest channels, of input and of output, with which a convolution of one group gains by integers.
const CHANNELS_MIN: usize = 8;
/// The largest weight, in steps.
const WEIGHT_MAX: f32 = 127.0;

/// The nodes that can be quantised to advantage, in the order of the graph: convolutions of several channels, in one group or
/// in many, sums and products of two values; all of them over images (and not over what is pooled of one), and none whose
/// result is what a caller gets.
pub fn quantizable(graph: &Graph) -> Vec<&str> {
    let is_wide = |node: &Node| match &node.op {
        Op::Conv(conv) if conv.group == 1 => {
            let channels = &graph.initializers[&node.inputs[1]].shape()[..2];
            channels.iter().all(|count| *count >= CHANNELS_MIN)
        }
        _ => true,
    };
    let is_pooled = |node: &Node| node.output.shape.iter().skip(2).all(|size| size.as_constant() == Some(1));
    let pays = |node: &&Node| operands(graph, node).is_some() && is_wide(node) && !is_pooled(node);
    graph.nodes.iter().filter(pays).map(|node| node.name.as_str()).collect()
}

/// The values around the given nodes that no constant is: what must have a range for them to be quantised.
pub fn values_around<'g>(graph: &'g Graph, nodes: &BTreeSet<&str>) -> BTreeSet<&'g str> {
    let around = |node: &'g Node| operands(graph, node).unwrap_or_default().iter().chain([&node.name]);
    let chosen = graph.nodes.iter().filter(|node| nodes.contains(node.name.as_str()));
    let values = chosen.flat_map(around).filter(|value| !graph.initializers.contains_key(*value));
    values.map(String::as_str).collect()
}

/// What a node that can be quantised computes from, beside a convolution's weights.
pub(super) fn operands<'g>(graph: &Graph, node: &'g Node) -> Option<&'g [String]> {
    let is_constant = |name: &String| graph.initializers.contains_key(name);
    let can_be = match (&node.op, &node.inputs[..]) {
        (Op::Conv(_), [x, weight, ..]) => {
            !is_constant(x) && graph.initializers.get(weight).is_some_and(|weight| weight.as_f32().is_some())
        }
        (Op::Add | Op::Mul, values) if !values.iter().any(is_constant) => node.output.data_type == DataType::F32,
        // A constant is added to what is in integers already, and is no reason to bring anything there.
        (Op::Add, values) => values.iter().any(|value| {
            let mut computed = graph.nodes.iter().filter(|node| node.name == *value);
            computed.any(|node| matches!(node.op, Op::Conv(_) | Op::Add | Op::Mul) && operands(graph, node).is_some())
        }),
        _ => false,
    };
    let operands = if matches!(node.op, Op::Conv(_)) { &node.inputs[..1] } else { &node.inputs[..] };
    (can_be && !graph.outputs.contains(&node.name)).then_some(operands)
}

/// The graph with the given nodes in integers, their values within `ranges`.
///
/// # Errors
/// When a node cannot be quantised or a range is missing.
pub fn quantize(
    graph: &Graph,
    nodes: &BTreeSet<&str>,
    ranges: &Ranges,
    activations: Activations,
) -> Result<Quantized, QuantizeError> {
    graph.check()?;
    let mut quantizing = Quantizing {
        graph: Graph { nodes: Vec::new(), ..graph.clone() },
        values: BTreeSet::new(),
        nodes,
        ranges,
        activations,
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
    graph.drop_unread_initializers();
    graph.infer_outputs()?;
    graph.check()?;
    Ok(Quantized { graph, values })
}

/// A graph on its way to integers.
struct Quantizing<'g> {
    graph: Graph,
    values: BTreeSet<String>,
    nodes: &'g BTreeSet<&'g str>,
    ranges: &'g Ranges,
    activations: Activations,
}

impl Quantizing<'_> {
    /// Adds a node, which computes in integers where the values that it computes from are given.
    fn add(&mut self, node: &Node, operands: Option<&[String]>) -> Result<(), QuantizeError> {
        let mut node = node.clone();
        for value in operands.unwrap_or_default() {
            self.hold(value)?;
        }
        if let (Op::Conv(conv), Some(_)) = (&node.op, operands) {
            node.inputs[1] = self.quantize_weight(&node.inputs[1], conv.group);
        }
        for operand in &mut node.inputs {
            let is_rounded = operands.is_some() || self.nodes.contains(operand.as_str());
            if is_rounded && self.values.contains(operand) {
                *operand = dequantized(operand);
            }
        }
        let name = node.name.clone();
        self.graph.nodes.push(node);
        if operands.is_some() { self.hold(&name) } else { Ok(()) }
    }

    /// Holds a value in 8 bits.
    fn hold(&mut self, value: &str) -> Result<(), QuantizeError> {
        if !self.values.insert(value.to_owned()) {
            return Ok(());
        }
        let unknown = || QuantizeError::Range(value.to_owned());
        let constant = self.graph.initializers.get(value).and_then(|tensor| Some((tensor.shape(), tensor.as_f32()?)));
        let range = constant.map(|(_, values)| Range::of(values)).or_else(|| self.ranges.get(value).copied());
        let range = range.filter(|range| range.min.is_finite() && range.max.is_finite()).ok_or_else(unknown)?;
        let held = constant.map(|(shape, values)| {
            let held = self.activations.hold(values, &range);
            Tensor::new(shape, held).expect("the shape is kept")
        });
        let (step, zero) = self.activations.step(&range);
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

    /// Holds the weight in 8 bits, with a step for each output channel; returns the name of what is left of it.
    fn quantize_weight(&mut self, weight: &str, group: usize) -> String {
        let name = dequantized(weight);
        let tensor = self.graph.initializers.get(weight).and_then(|tensor| Some((tensor.shape(), tensor.as_f32()?)));
        let Some((shape, values)) = tensor.filter(|_| self.graph.nodes.iter().all(|node| node.name != name)) else {
            return name;
        };
        let filter_len = shape[1..].iter().product::<usize>().max(1);
        let is_depthwise = group > 1 && shape[..2] == [group, 1];
        let (mut steps, mut quantized) = (Vec::new(), Vec::new());
        for filter in values.chunks_exact(filter_len) {
            let mut reach = filter.iter().fold(0.0, |reach: f32, value| reach.max(value.abs()));
            if !is_depthwise {
                let by_tap = by_tap(filter, shape[1]);
                reach = by_tap.windows(2).fold(reach, |reach, pair| reach.max(of_one_sign(pair[0], pair[1])));
            }
            let step = positive(reach / WEIGHT_MAX);
            steps.push(step);
            quantized.extend(filter.iter().map(|value| (value / step).round_ties_even() as i8));
        }
        let zeros = Tensor::vector(Data::I8(vec![0; steps.len()]));
        let quantized = Tensor::new(shape, Data::I8(quantized)).expect("the shape is kept");
        let operands = ["quantized", "scale", "zero"].map(|part| format!("{weight}.{part}"));
        for (name, tensor) in operands.iter().zip([quantized, Tensor::vector(steps), zeros]) {
            self.graph.initializers.insert(name.clone(), tensor);
        }
        self.graph.nodes.push(node(name.clone(), Op::DequantizeLinear { axis: 0 }, operands.to_vec()));
        name
    }
}

/// What is left of a value that was held in 8 bits.
fn dequantized(value: &str) -> String {
    format!("{value}.dequantized")
}

/// A node whose type is inferred when all nodes are there.
fn node(name: String, op: Op, inputs: Vec<String>) -> Node {
    Node { name, op, inputs, output: TensorType::new(DataType::F32, []) }
}

impl Range {
    /// The smallest range that holds the values.
    fn of(values: &[f32]) -> Self {
        let (min, max) = (f32::INFINITY, f32::NEG_INFINITY);
        values
            .iter()
            .fold(Self { min, max }, |range, value| Self { min: range.min.min(*value), max: range.max.max(*value) })
    }
}

impl Activations {
    /// The values, which lie within the range, in steps.
    fn hold(self, values: &[f32], range: &Range) -> Data {
        let (step, zero) = self.step(range);
        let steps = values.iter().map(|value| (value / step).round_ties_even());
        match zero {
            Data::U8(zero) => Data::U8(steps.map(|steps| (steps + f32::from(zero[0])) as u8).collect()),
            _ => Data::I8(steps.map(|steps| steps as i8).collect()),
        }
    }

    /// The step and the zero point with which the range, and zero itself, can be held.
    fn step(self, range: &Range) -> (f32, Data) {
        let (min, max) = (range.min.min(0.0), range.max.max(0.0));
        match self {
            Self::U8 => {
                let step = positive((max - min) / 255.0);
                (step, Data::U8(vec![(-min / step).round() as u8]))
            }
            Self::I8 => (positive(max.max(-min) / 127.0), Data::I8(vec![0])),
        }
    }
}

/// The weights of a filter of so many channels, those of one tap after those of another.
fn by_tap(filter: &[f32], channels: usize) -> Vec<f32> {
    let taps = filter.len() / channels;
    (0..taps).flat_map(|tap| filter.iter().skip(tap).step_by(taps)).copied().collect()
}

/// The magnitude of the larger sum of what is positive and of what is negative of two weights.
fn of_one_sign(a: f32, b: f32) -> f32 {
    (a.max(0.0) + b.max(0.0)).max(-(a.min(0.0) + b.min(0.0)))
}

/// A step that can be divided by, for values that are all zero, or next to it, as well.
fn positive(step: f32) -> f32 {
    if step.is_normal() { step } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use ndarray::{ArrayD, IxDyn};

    use super::*;
    use crate::evaluate::{Array, evaluate_each};
    use crate::graph::example::Random;
    use crate::graph::{Conv, Dim, GraphBuilder};

    /// Convolutions of 64 channels with an activation, a sum and a gate between them, and two of few channels, one of which the caller sees.
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

    fn ranges(graph: &Graph) -> Ranges {
        let range = |values: &ArrayD<f64>| Range {
            min: values.iter().fold(f64::INFINITY, |min, value| min.min(*value)) as f32,
            max: values.iter().fold(f64::NEG_INFINITY, |max, value| max.max(*value)) as f32,
        };
        values(graph).iter().map(|(name, values)| (name.clone(), range(values))).collect()
    }

    #[test]
    fn what_hands_images_on_inside_of_the_graph_can_be_quantised() {
        let graph = network();
        assert_eq!(quantizable(&graph), ["first", "second", "depthwise", "sum", "gated", "raised"]);
        for (node, expected) in [
            ("second", vec!["first", "second"]),
            ("depthwise", vec!["depthwise", "gelu"]),
            ("gated", vec!["gated", "square", "sum"]),
            ("raised", vec!["gated", "raised"]),
        ] {
            assert_eq!(values_around(&graph, &BTreeSet::from([node])), expected.into_iter().collect(), "{node}");
        }
    }

    #[test]
    fn two_products_of_neighbouring_weights_fit_16_bits() {
        let graph = |weight: Vec<f32>, shape: [usize; 4], group| {
            let mut builder = GraphBuilder::new("network");
            let channels = Dim::try_from(shape[1] * group).unwrap();
            let x = builder.input("image", [Dim::batch(), channels, Dim::height(), Dim::width()]).unwrap();
            let mut root = builder.root();
            let conv = Conv { group, pads: [0, 0, shape[2] - 1, 0], ..Conv::default() };
            let x = root.conv("conv", x, Tensor::new(shape, Data::F32(weight)).unwrap(), None, conv).unwrap();
            let y = root.gelu("y", x).unwrap();
            builder.finish(&[("y", y)]).unwrap()
        };
        let range = Range { min: 0.0, max: 1.0 };
        let ranges = Ranges::from([("image".to_owned(), range), ("conv".to_owned(), range)]);
        for (name, weight, shape, group, expected) in [
            // The third and the fourth are the largest sum of one sign: -1.5 is 127 steps.
            ("neighbours", vec![1.0, -0.5, -0.5, -1.0], [1, 4, 1, 1], 1, vec![85, -42, -42, -85]),
            ("opposite signs", vec![1.0, -1.0, 1.0, -1.0], [1, 4, 1, 1], 1, vec![127, -127, 127, -127]),
            // A channel's weights are its taps: by taps these are 1, -1, 0, 0 and 1, -1, 0, 0.
            (
                "taps of one channel",
                vec![1.0, 1.0, -1.0, -1.0, 0.0, 0.0, 0.0, 0.0],
                [1, 4, 2, 1],
                1,
                vec![127, 127, -127, -127, 0, 0, 0, 0],
            ),
            // 1, 0, 0.5 and 0.5, 0, 0: the last channel of the first tap is next to the first channel of the second.
            (
                "from tap to tap, odd channels",
                vec![1.0, 0.5, 0.0, 0.0, 0.5, 0.0],
                [1, 3, 2, 1],
                1,
                vec![127, 64, 0, 0, 64, 0],
            ),
            (
                "from tap to tap, too much",
                vec![1.0, 1.0, 0.0, 0.0, 1.0, 0.0],
                [1, 3, 2, 1],
                1,
                vec![64, 64, 0, 0, 64, 0],
            ),
            // Two maps of each channel: no depthwise convolution to ONNX Runtime, so that taps are neighbours.
            ("several of a channel", vec![1.0, 1.0, 1.0, -1.0], [2, 1, 2, 1], 1, vec![64, 64, 127, -127]),
            ("depthwise", vec![1.0, 1.0, 0.5, -2.0], [2, 1, 2, 1], 2, vec![127, 127, 32, -127]),
            ("next to nothing", vec![1e-44, -1e-44], [1, 2, 1, 1], 1, vec![0, 0]),
        ] {
            let graph = graph(weight, shape, group);
            for activations in [Activations::U8, Activations::I8] {
                let quantized = quantize(&graph, &BTreeSet::from(["conv"]), &ranges, activations).unwrap().graph;
                let found = quantized.initializers["conv.weight.quantized"].data();
                assert_eq!(found, &Data::I8(expected.clone()), "{name}, {activations:?}");
            }
        }
    }

    #[test]
    fn a_constant_is_held_as_it_is() {
        for (activations, expected) in [(Activations::U8, Data::U8(vec![255])), (Activations::I8, Data::I8(vec![127]))]
        {
            let quantized = quantize(&network(), &BTreeSet::from(["raised"]), &ranges(&network()), activations);
            let Quantized { graph, .. } = quantized.unwrap();
            assert_eq!(graph.initializers["half.quantized"].data(), &expected);
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
        let quantized = quantize(&graph, &BTreeSet::from(["conv"]), &ranges, Activations::U8).unwrap().graph;
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
        let nodes = quantizable(&before).into_iter().collect();
        for activations in [Activations::U8, Activations::I8] {
            let Quantized { graph, values: held } = quantize(&before, &nodes, &ranges(&before), activations).unwrap();
            assert_eq!((&graph.inputs, &graph.outputs), (&before.inputs, &before.outputs));
            assert_eq!(
                held.iter().collect::<Vec<_>>(),
                ["depthwise", "first", "gated", "gelu", "half", "image", "raised", "second", "square", "sum"]
            );
            let (expected, found) = (&values(&before)["y"], &values(&graph)["y"]);
            let largest = expected.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
            let worst = (expected - found).iter().fold(0.0, |worst: f64, value| worst.max(value.abs())) / largest;
            assert!(worst < 0.05 && worst > 1e-5, "{activations:?}: {worst:e}");
        }
    }

    #[test]
    fn each_convolution_stands_between_quantised_values() {
        let before = network();
        let graph = quantize(&before, &BTreeSet::from(["second"]), &ranges(&before), Activations::U8).unwrap().graph;
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
    fn a_range_always_holds_zero_exactly() {
        for (min, max, expected) in
            [(-1.0, 1.55, (0.01, 100)), (1.0, 2.55, (0.01, 0)), (-2.55, -1.0, (0.01, 255)), (0.0, 0.0, (1.0, 0))]
        {
            let (step, zero) = Activations::U8.step(&Range { min, max });
            assert!((step - expected.0).abs() < 1e-7, "{min}..{max}: {step}");
            assert_eq!(zero, Data::U8(vec![expected.1]), "{min}..{max}");
        }
        assert_eq!(Activations::I8.step(&Range { min: -2.54, max: 1.0 }), (0.02, Data::I8(vec![0])));
    }

    #[test]
    fn what_cannot_be_quantised_is_named() {
        let graph = network();
        for node in ["y", "gelu", "pool", "raised_again", "nothing"] {
            let error = quantize(&graph, &BTreeSet::from([node]), &ranges(&graph), Activations::U8).unwrap_err();
            assert!(error.to_string().starts_with(&format!("cannot quantise `{node}`: it is no")), "{error}");
        }
        let mut ranges = ranges(&graph);
        ranges.remove("first");
        for range in [None, Some(f32::NAN), Some(f32::INFINITY)] {
            ranges.extend(range.map(|end| ("first".to_owned(), Range { min: -end, max: end })));
            let error = quantize(&graph, &BTreeSet::from(["second"]), &ranges, Activations::U8).unwrap_err();
            let expected = "cannot quantise `first`: the range of its values is not known or not finite";
            assert_eq!(error.to_string(), expected, "{range:?}");
        }
    }
}
