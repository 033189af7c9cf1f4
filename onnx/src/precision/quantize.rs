//! A graph with convolutions in 8-bit integers, in the form that ONNX calls QDQ.
//!
//! A value `x` is held as `q = round(x/s) + z`: `QuantizeLinear` and `DequantizeLinear` stand around each quantised
//! convolution, and a runtime that sees them on both sides computes it with integers. Weights are symmetric (`z = 0`) with a
//! step `s` per output channel, other values have one step. Biases stay floats; runtimes round them to the product of both
//! steps themselves.
//!
//! With unsigned values weights use 7 bits, `-63..=63`: CPUs without VNNI add two products in 16 bits, and
//! `2 * 255 * 127` is more than those hold.

use std::collections::{BTreeMap, BTreeSet};

use crate::graph::{CheckError, Data, Graph, Node, Op, Tensor, TensorType};

/// What the quantised values of a graph are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activations {
    /// `0..=255` with a zero point, and weights of 7 bits: for CPUs.
    #[default]
    U8,
    /// `-127..=127` around zero, and weights of 8 bits: what TensorRT takes.
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
    #[error("cannot quantise `{0}`: it is no convolution of one group with constant weights inside of the graph")]
    Node(String),
    /// Nobody has seen the range of a value.
    #[error("cannot quantise `{0}`: the range of its values is not known or not finite")]
    Range(String),
    /// The graph breaks an invariant.
    #[error("cannot quantise the graph")]
    Check(#[from] CheckError),
}

/// The fewest weights of an output channel for which integers pay: reading and writing values in two forms costs more than
/// a smaller sum saves.
const WEIGHTS_MIN: usize = 64;
/// The fewest output channels for which they do.
const CHANNELS_MIN: usize = 8;

/// The convolutions that can be quantised to advantage, in the order of the graph: those of one group over images (and not
/// over what is pooled of one), with long sums and several channels, whose result is not what a caller gets.
pub fn quantizable(graph: &Graph) -> Vec<&str> {
    let pays = |node: &&Node| {
        let is_pooled = node.output.shape.iter().skip(2).all(|size| size.as_constant() == Some(1));
        let weight = dense_weight(graph, node).map(Tensor::shape);
        let is_large =
            |shape: &[usize]| shape[0] >= CHANNELS_MIN && shape[1..].iter().product::<usize>() >= WEIGHTS_MIN;
        weight.is_some_and(is_large) && !is_pooled
    };
    graph.nodes.iter().filter(pays).map(|node| node.name.as_str()).collect()
}

/// The values around the given convolutions: what must have a range for them to be quantised.
pub fn values_around<'g>(graph: &'g Graph, nodes: &BTreeSet<&str>) -> BTreeSet<&'g str> {
    let around = |node: &'g Node| node.inputs.first().into_iter().chain([&node.name]).map(String::as_str);
    graph.nodes.iter().filter(|node| nodes.contains(node.name.as_str())).flat_map(around).collect()
}

/// The weight of a convolution that can be quantised.
fn dense_weight<'g>(graph: &'g Graph, node: &Node) -> Option<&'g Tensor> {
    match (&node.op, &node.inputs[..]) {
        (Op::Conv(conv), [_, weight, ..]) if conv.group == 1 && !graph.outputs.contains(&node.name) => {
            graph.initializers.get(weight).filter(|weight| weight.as_f32().is_some())
        }
        _ => None,
    }
}

/// The graph with the given convolutions in integers, their values within `ranges`.
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
        ranges,
        activations,
    };
    for &missing in nodes {
        if !graph.nodes.iter().any(|node| node.name == missing && dense_weight(graph, node).is_some()) {
            return Err(QuantizeError::Node(missing.to_owned()));
        }
    }
    for node in &graph.nodes {
        quantizing.add(node, nodes.contains(node.name.as_str()))?;
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
    ranges: &'g Ranges,
    activations: Activations,
}

impl Quantizing<'_> {
    fn add(&mut self, node: &Node, is_quantized: bool) -> Result<(), QuantizeError> {
        let mut node = node.clone();
        if is_quantized {
            let x = node.inputs[0].clone();
            self.hold(&x)?;
            node.inputs[1] = self.quantize_weight(&node.inputs[1]);
        }
        for operand in &mut node.inputs {
            if self.values.contains(operand) {
                *operand = dequantized(operand);
            }
        }
        let name = node.name.clone();
        self.graph.nodes.push(node);
        if is_quantized { self.hold(&name) } else { Ok(()) }
    }

    /// Holds a value in 8 bits; who reads it from here on reads what is left of it.
    fn hold(&mut self, value: &str) -> Result<(), QuantizeError> {
        if !self.values.insert(value.to_owned()) {
            return Ok(());
        }
        let unknown = || QuantizeError::Range(value.to_owned());
        let range = self.ranges.get(value).filter(|range| range.min.is_finite() && range.max.is_finite());
        let (step, zero) = self.activations.step(range.ok_or_else(unknown)?);
        let constant = |part: &str| format!("{value}.{part}");
        let [scale, zero_point, quantized] = ["scale", "zero", "quantized"].map(constant);
        self.graph.initializers.insert(scale.clone(), Tensor::scalar(step));
        self.graph.initializers.insert(zero_point.clone(), Tensor::new([], zero).expect("a scalar has one element"));
        let quantize = (quantized.clone(), Op::QuantizeLinear { axis: 0 }, value.to_owned());
        let dequantize = (dequantized(value), Op::DequantizeLinear { axis: 0 }, quantized);
        for (name, op, x) in [quantize, dequantize] {
            self.graph.nodes.push(node(name, op, vec![x, scale.clone(), zero_point.clone()]));
        }
        Ok(())
    }

    /// Holds the weight in 8 bits, with a step for each output channel; returns the name of what is left of it.
    fn quantize_weight(&mut self, weight: &str) -> String {
        let name = dequantized(weight);
        let tensor = self.graph.initializers.get(weight).and_then(|tensor| Some((tensor.shape(), tensor.as_f32()?)));
        let Some((shape, values)) = tensor.filter(|_| self.graph.nodes.iter().all(|node| node.name != name)) else {
            return name;
        };
        let largest = self.activations.weight_max();
        let filter_len = shape[1..].iter().product::<usize>().max(1);
        let (mut steps, mut quantized) = (Vec::new(), Vec::new());
        for filter in values.chunks_exact(filter_len) {
            let reach = filter.iter().fold(0.0, |reach: f32, value| reach.max(value.abs()));
            // A filter of zeros has any step.
            let step = if reach > 0.0 { reach / largest } else { 1.0 };
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
    Node { name, op, inputs, output: TensorType::new(crate::graph::DataType::F32, []) }
}

impl Activations {
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

    fn weight_max(self) -> f32 {
        match self {
            Self::U8 => 63.0,
            Self::I8 => 127.0,
        }
    }
}

/// A step that can be divided by, for values that are all zero as well.
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

    /// Two convolutions of 64 channels with an activation between them, and one that the caller sees.
    fn network() -> Graph {
        let mut random = Random(8);
        let mut builder = GraphBuilder::new("network");
        let x = builder.input("image", [Dim::batch(), 64.into(), Dim::height(), Dim::width()]).unwrap();
        let mut root = builder.root();
        let x =
            root.conv("first", x, random.tensor([64, 64, 1, 1]), Some(random.tensor([64])), Conv::default()).unwrap();
        let x = root.conv("second", x, random.tensor([64, 64, 1, 1]), None, Conv::default()).unwrap();
        let x = root.gelu("gelu", x).unwrap();
        let depthwise = Conv { pads: [1; 4], group: 64, ..Conv::default() };
        let x = root.conv("depthwise", x, random.tensor([64, 1, 3, 3]), None, depthwise).unwrap();
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
    fn convolutions_of_long_sums_inside_of_the_graph_can_be_quantised() {
        let graph = network();
        assert_eq!(quantizable(&graph), ["first", "second"]);
        let around = values_around(&graph, &BTreeSet::from(["second"]));
        assert_eq!(around, BTreeSet::from(["first", "second"]));
    }

    #[test]
    fn a_quantised_network_is_off_by_a_few_steps() {
        let before = network();
        let nodes = quantizable(&before).into_iter().collect();
        for activations in [Activations::U8, Activations::I8] {
            let Quantized { graph, values: held } = quantize(&before, &nodes, &ranges(&before), activations).unwrap();
            assert_eq!((&graph.inputs, &graph.outputs), (&before.inputs, &before.outputs));
            assert_eq!(held.iter().collect::<Vec<_>>(), ["first", "image", "second"]);
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
        let Data::I8(weights) = graph.initializers["second.weight.quantized"].data() else { panic!("weights are i8") };
        assert_eq!(weights.iter().map(|weight| weight.abs()).max(), Some(63), "two products fit 16 bits");
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
        for node in ["depthwise", "y", "gelu", "nothing"] {
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
