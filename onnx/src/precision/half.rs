//! A graph in half precision: 16-bit floats for weights and values, 32-bit ones where those would
//! overflow.
//!
//! Inputs and outputs stay float32, with casts behind and before them. A node stays in 32 bits if
//! its own value or one of its constants is close to the largest half, if it reads such a value,
//! and if it sums a whole image: the sum overflows long before the mean does, and not every kernel
//! adds in more bits. So does what is computed of such a mean alone, a few values for each image: a
//! cast on either side would take longer. `Softmax` stays too, because it is cheap and comes last.
//!
//! Kernels for 16 bits read channels by two. Where the groups of a convolution have an odd number
//! of them, TensorRT copies the map into even ones first; so two groups become one, with zeros for
//! what they do not share.

use std::collections::{BTreeMap, BTreeSet};

use half::f16;

use crate::graph::{CheckError, Data, DataType, Graph, Node, Op, Tensor, TensorType};

/// The largest finite 16-bit float.
pub const HALF_MAX: f64 = 65504.0;

/// The factor by which a value must stay below the largest half, because other images than the
/// measured ones have larger values.
const HEADROOM: f64 = 8.0;

/// The largest absolute value of each node of a graph on the measured images, by name.
pub type Magnitudes = BTreeMap<String, f64>;

/// The result of a conversion to half precision.
#[derive(Clone, Debug, PartialEq)]
pub struct Halved {
    /// The graph.
    pub graph: Graph,
    /// The nodes that stayed in 32 bits although they compute floats, each with the reason.
    pub kept: BTreeMap<String, Kept>,
}

/// The reason why a node stays in 32 bits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kept {
    /// Its values, or those that it reads, are too close to the largest half; this is the largest
    /// of them.
    Large(f64),
    /// It adds up a whole image, or each of its rows.
    Sum,
    /// It computes a few values of such a sum.
    Pooled,
    /// It computes an output.
    Edge,
}

/// An error in converting a graph to half precision.
#[derive(Debug, thiserror::Error)]
pub enum HalfError {
    /// The largest value of a node was not measured.
    #[error("cannot convert the graph to half precision: the magnitude of `{0}` is not known")]
    Unmeasured(String),
    /// A value is not a number, so its magnitude is unknown.
    #[error("cannot convert the graph to half precision: `{0}` has values that are infinite or not a number")]
    NotFinite(String),
    /// A node is quantised.
    #[error("cannot convert the graph to half precision: `{0}` computes in 8 bits")]
    Quantized(String),
    /// The graph breaks an invariant.
    #[error("cannot convert the graph to half precision")]
    Check(#[from] CheckError),
}

/// Converts the graph to half precision, for images on which its values are as large as
/// `magnitudes` say.
///
/// # Errors
/// When a magnitude is missing or not finite, or the graph is quantised.
pub fn halve(graph: &Graph, magnitudes: &Magnitudes) -> Result<Halved, HalfError> {
    graph.check()?;
    let kept = keep(graph, magnitudes)?;
    let is_single = |node: &Node| !node.output.data_type.is_float() || kept.contains_key(&node.name);
    let mut halved = Halving {
        graph: Graph { nodes: Vec::new(), initializers: BTreeMap::new(), ..graph.clone() },
        casts: BTreeSet::new(),
        before: graph,
    };
    let singles: BTreeSet<_> =
        graph.nodes.iter().filter(|node| is_single(node)).map(|node| node.name.as_str()).collect();
    for node in &graph.nodes {
        halved.add(node, &singles);
    }
    let mut graph = halved.graph;
    graph.infer_outputs()?;
    pair_groups(&mut graph);
    graph.drop_unread_initializers();
    graph.check()?;
    Ok(Halved { graph, kept })
}

/// Lists the nodes that compute floats and stay in 32 bits.
fn keep(graph: &Graph, magnitudes: &Magnitudes) -> Result<BTreeMap<String, Kept>, HalfError> {
    let mut kept = BTreeMap::new();
    let is_large = |magnitude: f64| magnitude * HEADROOM > HALF_MAX;
    let index = graph.index();
    for node in graph.nodes.iter().filter(|node| node.output.data_type.is_float()) {
        let &measured = magnitudes.get(&node.name).ok_or_else(|| HalfError::Unmeasured(node.name.clone()))?;
        if !measured.is_finite() {
            return Err(HalfError::NotFinite(node.name.clone()));
        }
        if matches!(node.op, Op::DequantizeLinear { .. }) {
            return Err(HalfError::Quantized(node.name.clone()));
        }
        let constants = node.inputs.iter().filter_map(|name| graph.initializers.get(name)).filter_map(Tensor::as_f32);
        // Constants do not depend on the image.
        let constant = constants.flatten().fold(0.0, |largest: f64, value| largest.max(f64::from(value.abs())));
        if constant > HALF_MAX {
            kept.insert(node.name.clone(), Kept::Large(constant));
        }
        if is_large(measured) {
            let readers = index.readers(&node.name).iter().map(|&reader| &graph.nodes[reader]);
            for reader in readers.filter(|reader| reader.output.data_type.is_float()).chain([node]) {
                kept.insert(reader.name.clone(), Kept::Large(measured));
            }
        }
        let other = match node.op {
            Op::AveragePool(_)
            | Op::GlobalAveragePool
            | Op::ReduceMean
            | Op::ReduceSum
            | Op::LayerNormalization { .. }
            | Op::InstanceNormalization { .. } => Some(Kept::Sum),
            Op::Softmax { .. } => Some(Kept::Edge),
            _ => graph.outputs.contains(&node.name).then_some(Kept::Edge),
        };
        if let Some(reason) = other {
            kept.entry(node.name.clone()).or_insert(reason);
        }
    }
    for node in graph.nodes.iter().filter(|node| node.output.data_type.is_float() && is_pooled(node)) {
        let mut computed = node.inputs.iter().filter(|name| !graph.initializers.contains_key(*name)).peekable();
        if computed.peek().is_some() && computed.all(|name| kept.contains_key(name)) {
            kept.entry(node.name.clone()).or_insert(Kept::Pooled);
        }
    }
    Ok(kept)
}

/// Returns true for a value of one pixel.
fn is_pooled(node: &Node) -> bool {
    let shape = &node.output.shape;
    shape.len() > 2 && shape[2..].iter().all(|size| size.as_constant() == Some(1))
}

/// Makes one group of two in 16-bit convolutions whose groups read an odd number of channels, but
/// for depthwise ones, which have kernels of their own.
fn pair_groups(graph: &mut Graph) {
    for position in 0..graph.nodes.len() {
        let node = &graph.nodes[position];
        let (Op::Conv(conv), [_, weight, ..]) = (&node.op, &node.inputs[..]) else { continue };
        let Some(tensor) = graph.initializers.get(weight) else { continue };
        let (Data::F16(values), &[filters, channels, height, width]) = (tensor.data(), tensor.shape()) else {
            continue;
        };
        let group = conv.group;
        let is_depthwise = channels == 1 && filters == group;
        if group % 2 == 1 || channels % 2 == 0 || is_depthwise || filters % group != 0 {
            continue;
        }
        let (len, filters_each) = (channels * height * width, filters / group);
        let mut paired = vec![f16::ZERO; 2 * values.len()];
        for (filter, weights) in values.chunks_exact(len).enumerate() {
            let half = filter / filters_each % 2;
            paired[(2 * filter + half) * len..][..len].copy_from_slice(weights);
        }
        let paired = Tensor::new([filters, 2 * channels, height, width], Data::F16(paired));
        let name = format!("{weight}.pairs");
        graph.initializers.insert(name.clone(), paired.expect("twice the elements"));
        let node = &mut graph.nodes[position];
        node.inputs[1] = name;
        if let Op::Conv(conv) = &mut node.op {
            conv.group /= 2;
        }
    }
}

/// A graph during the conversion to half precision.
struct Halving<'g> {
    before: &'g Graph,
    graph: Graph,
    casts: BTreeSet<String>,
}

impl Halving<'_> {
    /// Adds a node with its operands in its own precision; nodes that do not look at values keep
    /// that of their operands.
    fn add(&mut self, node: &Node, singles: &BTreeSet<&str>) {
        let mut node = node.clone();
        let takes_any = matches!(node.op, Op::Shape { .. } | Op::Cast { .. });
        let is_half = !singles.contains(node.name.as_str());
        for (position, operand) in node.inputs.iter_mut().enumerate() {
            if let Some(tensor) = self.before.initializers.get(operand) {
                // Scales of a `Resize` are 32-bit floats by definition.
                let is_scale = matches!(node.op, Op::Resize { .. }) && position > 0;
                let halved = if is_half && !is_scale { in_half(tensor) } else { None };
                if let Some(halved) = halved {
                    *operand = format!("{operand}.half");
                    self.graph.initializers.insert(operand.clone(), halved);
                } else {
                    self.graph.initializers.insert(operand.clone(), tensor.clone());
                }
            } else if self.before.tensor_type(operand).is_some_and(|known| known.data_type.is_float()) && !takes_any {
                let is_input = self.before.inputs.iter().any(|input| input.name == *operand);
                let operand_is_half = !is_input && !singles.contains(operand.as_str());
                match (operand_is_half, is_half) {
                    (false, true) => *operand = self.cast(operand, "half", DataType::F16),
                    (true, false) => *operand = self.cast(operand, "single", DataType::F32),
                    _ => {}
                }
            }
        }
        if let (Op::Cast { to: to @ DataType::F32 }, true) = (&mut node.op, is_half) {
            *to = DataType::F16;
        }
        self.graph.nodes.push(node);
    }

    /// Returns the value in another precision, which all readers share.
    fn cast(&mut self, value: &str, suffix: &str, to: DataType) -> String {
        let name = format!("{value}.{suffix}");
        if self.casts.insert(name.clone()) {
            // The type is inferred once all nodes exist.
            let output = TensorType::new(to, []);
            self.graph.nodes.push(Node { name: name.clone(), op: Op::Cast { to }, inputs: vec![value.into()], output });
        }
        name
    }
}

/// Rounds floats of 32 bits to 16; `None` for other tensors.
fn in_half(tensor: &Tensor) -> Option<Tensor> {
    let values: Vec<_> = tensor.as_f32()?.iter().map(|&value| f16::from_f32(value)).collect();
    Some(Tensor::new(tensor.shape(), Data::F16(values)).expect("the shape is kept"))
}

#[cfg(test)]
mod tests {
    use ndarray::{ArrayD, IxDyn};

    use super::*;
    use crate::evaluate::{Array, evaluate, evaluate_each};
    use crate::graph::example::{self, Random};
    use crate::{Opset, Target, passes};

    fn image(gain: f64) -> ArrayD<f64> {
        let mut random = Random(3);
        ArrayD::from_shape_fn(IxDyn(&[1, 3, 11, 14]), |_| gain * f64::from(random.number()))
    }

    fn magnitudes(graph: &Graph, gain: f64) -> Magnitudes {
        let mut magnitudes = Magnitudes::new();
        evaluate_each(graph, &[("input", image(gain))], |name, value| {
            if let Array::F64(values) = value {
                magnitudes.insert(name.into(), values.iter().fold(0.0, |largest: f64, value| largest.max(value.abs())));
            }
        })
        .unwrap();
        magnitudes
    }

    fn logits(graph: &Graph, gain: f64) -> ArrayD<f64> {
        match evaluate(graph, &[("input", image(gain))], &["logits"]).unwrap().remove("logits") {
            Some(Array::F64(logits)) => logits,
            other => panic!("{other:?}"),
        }
    }

    /// Returns the largest difference, relative to the largest expected value.
    fn error(found: &ArrayD<f64>, expected: &ArrayD<f64>) -> f64 {
        let largest = expected.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
        (found - expected).iter().fold(0.0, |worst: f64, value| worst.max(value.abs())) / largest
    }

    #[test]
    fn a_network_in_half_precision_rounds_and_no_more() {
        let mut before = example::encoder_decoder();
        passes::run(&mut before, Opset::V20, Target::Portable).unwrap();
        let Halved { graph, kept } = halve(&before, &magnitudes(&before, 1.0)).unwrap();
        assert_eq!((&graph.inputs, &graph.outputs), (&before.inputs, &before.outputs));
        assert_eq!(graph.tensor_type("logits").unwrap().data_type, DataType::F32);
        let sums: Vec<_> = kept.iter().filter(|(_, reason)| **reason != Kept::Pooled).collect();
        let sums: Vec<_> = sums.into_iter().map(|(name, reason)| (name.as_str(), *reason)).collect();
        assert_eq!(sums, [("gate.average", Kept::Sum), ("gate.average.rows", Kept::Sum), ("logits", Kept::Edge)]);
        let pooled = graph.nodes.iter().filter(|node| kept.get(&node.name) == Some(&Kept::Pooled));
        assert!(pooled.clone().all(|node| node.output.data_type == DataType::F32 && node.name.starts_with("gate.")));
        assert!(pooled.count() > 1, "{kept:?}");
        let halves = graph.nodes.iter().filter(|node| node.output.data_type == DataType::F16).count();
        assert!(halves > 10, "{graph}");
        let error = error(&logits(&graph, 1.0), &logits(&before, 1.0));
        assert!(error < 5e-3, "{error:e}");
        assert!(error > 1e-6, "{error:e}: nothing was rounded");
        assert_eq!(halve(&before, &magnitudes(&before, 1.0)).unwrap().graph, graph, "the same each time");
    }

    #[test]
    fn what_would_overflow_stays_in_32_bits() {
        let mut before = example::encoder_decoder();
        passes::run(&mut before, Opset::V20, Target::Portable).unwrap();
        // Half precision ends at 65504, and the image alone has values of 3e4.
        let gain = 3e4;
        let measured = magnitudes(&before, gain);
        let Halved { graph, kept } = halve(&before, &measured).unwrap();
        let error = error(&logits(&graph, gain), &logits(&before, gain));
        assert!(error < 5e-3, "{error:e}: {kept:?}");
        for (name, magnitude) in measured.iter().filter(|(_, magnitude)| **magnitude * HEADROOM > HALF_MAX) {
            assert!(matches!(kept[name], Kept::Large(found) if found * HEADROOM > HALF_MAX), "{name}: {magnitude}");
        }
        let mut careless = measured.clone();
        careless.values_mut().for_each(|magnitude| *magnitude = 1.0);
        let overflowed = logits(&halve(&before, &careless).unwrap().graph, gain);
        assert!(overflowed.iter().any(|value| !value.is_finite()), "the measurement makes no difference");
    }

    #[test]
    fn two_groups_of_an_odd_number_of_channels_become_one() {
        use crate::graph::{Conv, Dim, GraphBuilder};
        for (name, channels, filters, group, expected) in [
            ("three maps of each channel", 4, 12, 4, (2, [12, 2, 3, 3])),
            ("a map of three channels each", 12, 4, 4, (2, [4, 6, 3, 3])),
            ("depthwise", 4, 4, 4, (4, [4, 1, 3, 3])),
            ("an even number", 8, 8, 4, (4, [8, 2, 3, 3])),
            ("an odd number of groups", 3, 6, 3, (3, [6, 1, 3, 3])),
        ] {
            let mut random = Random(3);
            let mut builder = GraphBuilder::new("network");
            let sizes = [Dim::batch(), Dim::try_from(channels).unwrap(), Dim::height(), Dim::width()];
            let image = builder.input("input", sizes).unwrap();
            let weight = random.tensor([filters, channels / group, 3, 3]);
            let conv = Conv { pads: [1; 4], group, ..Conv::default() };
            let mut root = builder.root();
            let x = root.relu("relu", image).unwrap();
            let x = root.conv("conv", x, weight, Some(random.tensor([filters])), conv).unwrap();
            let y = root.relu("y", x).unwrap();
            let before = builder.finish(&[("y", y)]).unwrap();
            let magnitudes = ["relu", "conv", "y"].map(|name| (name.to_owned(), 1.0)).into();
            let graph = halve(&before, &magnitudes).unwrap().graph;
            let node = graph.nodes.iter().find(|node| node.name == "conv").unwrap();
            let Op::Conv(found) = &node.op else { panic!("{name}: {node}") };
            let shape = graph.initializers[&node.inputs[1]].shape();
            assert_eq!((found.group, shape), (expected.0, &expected.1[..]), "{name}");
            let image = ArrayD::from_shape_fn(IxDyn(&[1, channels, 5, 6]), |_| f64::from(random.number()));
            let [found, expected] = [&graph, &before].map(|graph| {
                match evaluate(graph, &[("input", image.clone())], &["y"]).unwrap().remove("y") {
                    Some(Array::F64(values)) => values,
                    other => panic!("{other:?}"),
                }
            });
            let error = error(&found, &expected);
            assert!(error < 2e-3, "{name}: {error:e}");
        }
    }

    #[test]
    fn what_nobody_measured_is_refused() {
        let graph = example::encoder_decoder();
        let mut measured = magnitudes(&graph, 1.0);
        measured.insert("gate.sum".into(), f64::NAN);
        let message = halve(&graph, &measured).unwrap_err().to_string();
        assert!(message.ends_with("`gate.sum` has values that are infinite or not a number"), "{message}");
        measured.remove("gate.sum");
        let message = halve(&graph, &measured).unwrap_err().to_string();
        assert!(message.ends_with("the magnitude of `gate.sum` is not known"), "{message}");
    }
}
