//! Moves the steps of a convolution's channels into the depthwise convolution that reads it.
//!
//! `D * (s[c] * q) = (D*s[c]/S) * (S*q)`: a channel of a depthwise convolution reads one channel,
//! so it can take that channel's share of the largest step `S`, and the weight in front of it has
//! one step for all channels. The integers stay as they are, and so does what they are rounded to.
//! The bias of the first convolution is in its steps too: `b[c]` becomes `b[c]*S/s[c]`.
//!
//! TensorRT multiplies by one step while it adds up, and by a step for each channel in a kernel of
//! its own.

use crate::graph::{Data, Graph, Index, Op, Tensor};

/// The smallest step beside the largest one that is moved: the factors stay far from where floats
/// end.
const SHARE_MIN: f32 = 1e-6;

/// Returns the position of the depthwise convolution that is the sole reader of a convolution, if
/// it can take the steps of its channels.
pub(super) fn takes_steps(graph: &Graph, index: &Index<'_>, conv: &str) -> Option<usize> {
    let reader = index.sole_reader(conv)?;
    let node = &graph.nodes[reader];
    let (Op::Conv(attributes), [x, weight, ..]) = (&node.op, &node.inputs[..]) else { return None };
    let tensor = graph.initializers.get(weight)?;
    let channels = graph.tensor_type(conv)?.shape.get(1)?.as_constant()?;
    let is_depthwise = usize::try_from(channels).ok()? == attributes.group && tensor.shape().get(1) == Some(&1);
    (x == conv && is_depthwise && tensor.as_f32().is_some()).then_some(reader)
}

/// Gives the weight of a quantised convolution one step for all channels, if its reader takes the
/// others. The convolution then computes other values, under another name.
pub(super) fn move_steps_to_reader(graph: &mut Graph, conv: &str) {
    let Some(change) = Change::of(graph, conv) else { return };
    let Change { conv, dequantize, reader, step, operands: [weight, bias] } = change;
    let name = graph.unused_name(&format!("{}.in_steps", graph.nodes[conv].name));
    let [_, scale, zero] = &graph.nodes[dequantize].inputs[..] else { return };
    let [scale, zero] = [scale, zero].map(|name| format!("{name}.all"));
    let zero_point = Tensor::new([], Data::I8(vec![0])).expect("a scalar has one element");
    let of_all = [graph.add_constant(&scale, Tensor::scalar(step)), graph.add_constant(&zero, zero_point)];
    graph.nodes[dequantize].inputs[1..].clone_from_slice(&of_all);
    for (node, place, values) in [(reader, 1, weight), (conv, 2, bias)] {
        if let (Some(values), Some(operand)) = (values, graph.nodes[node].inputs.get(place).cloned()) {
            graph.nodes[node].inputs[place] = graph.add_constant(&format!("{operand}.in_steps"), values);
        }
    }
    graph.nodes[reader].inputs[0].clone_from(&name);
    graph.nodes[conv].name = name;
}

/// A convolution whose steps move.
struct Change {
    conv: usize,
    dequantize: usize,
    reader: usize,
    step: f32,
    /// The reader's weight and the convolution's bias.
    operands: [Option<Tensor>; 2],
}

impl Change {
    fn of(graph: &Graph, conv: &str) -> Option<Self> {
        let index = graph.index();
        let reader = takes_steps(graph, &index, conv)?;
        let conv = index.producer(conv)?;
        let [_, weight, bias @ ..] = &graph.nodes[conv].inputs[..] else { return None };
        let dequantize = index.producer(weight).filter(|_| index.sole_reader(weight) == Some(conv))?;
        let [_, scale, _] = &graph.nodes[dequantize].inputs[..] else { return None };
        let steps = graph.initializers.get(scale).filter(|tensor| tensor.shape().len() == 1)?.as_f32()?;
        let step = steps.iter().copied().fold(0.0, f32::max);
        let shares: Vec<f64> = steps.iter().map(|own| f64::from(*own) / f64::from(step)).collect();
        if shares.iter().any(|share| *share < f64::from(SHARE_MIN)) {
            return None;
        }
        let scaled = |name: &String, share: &dyn Fn(f64) -> f64| {
            let tensor = graph.initializers.get(name)?;
            let values = tensor.as_f32()?;
            let each = values.len() / shares.len().max(1);
            let of = |place: usize, value: f32| (f64::from(value) * share(shares[place / each.max(1)])) as f32;
            let values: Vec<_> = values.iter().enumerate().map(|(place, value)| of(place, *value)).collect();
            Tensor::new(tensor.shape(), values).ok()
        };
        let weight = Some(scaled(&graph.nodes[reader].inputs[1], &|share| share)?);
        let bias = bias.first().map(|bias| scaled(bias, &|share| 1.0 / share));
        // A bias that is no constant keeps its steps.
        let bias = if bias.as_ref().is_some_and(Option::is_none) { return None } else { bias.flatten() };
        Some(Self { conv, dequantize, reader, step, operands: [weight, bias] })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ndarray::{ArrayD, IxDyn};

    use super::super::{Range, Ranges, Scheme, quantizable, quantize};
    use crate::evaluate::{Array, evaluate};
    use crate::graph::example::Random;
    use crate::graph::{Conv, Dim, Graph, GraphBuilder, Op};

    /// Builds a block that widens, mixes each channel's pixels and narrows again, two maps for each
    /// channel in between.
    fn block() -> Graph {
        let mut random = Random(8);
        let mut builder = GraphBuilder::new("block");
        let x = builder.input("image", [Dim::batch(), 8.into(), Dim::height(), Dim::width()]).unwrap();
        let mut root = builder.root();
        let mut wide = random.tensor([16, 8, 1, 1]);
        // One channel has far smaller weights than the others.
        if let crate::graph::Data::F32(values) = wide.data() {
            let values: Vec<f32> =
                values.iter().enumerate().map(|(at, v)| if at < 8 { v / 64.0 } else { *v }).collect();
            wide = crate::graph::Tensor::new([16, 8, 1, 1], values).unwrap();
        }
        let expand = root.conv("expand", x, wide, Some(random.tensor([16])), Conv::default()).unwrap();
        let depthwise = Conv { pads: [1; 4], group: 16, ..Conv::default() };
        let local = random.tensor([32, 1, 3, 3]);
        let x = root.conv("local", expand, local, Some(random.tensor([32])), depthwise).unwrap();
        let x = root.gelu("gelu", x).unwrap();
        let x = root.conv("project", x, random.tensor([8, 32, 1, 1]), None, Conv::default()).unwrap();
        let y = root.relu("y", x).unwrap();
        builder.finish(&[("y", y)]).unwrap()
    }

    fn values(graph: &Graph, name: &str) -> ArrayD<f64> {
        let mut random = Random(4);
        let image = ArrayD::from_shape_fn(IxDyn(&[2, 8, 5, 6]), |_| f64::from(random.number()));
        match evaluate(graph, &[("image", image)], &[name]).unwrap().remove(name) {
            Some(Array::F64(values)) => values,
            other => panic!("{other:?}"),
        }
    }

    fn worst(found: &ArrayD<f64>, expected: &ArrayD<f64>) -> f64 {
        let largest = expected.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
        (found - expected).iter().fold(0.0, |worst: f64, value| worst.max(value.abs())) / largest
    }

    #[test]
    fn for_tensorrt_only_operands_of_wide_convolutions_are_rounded() {
        let before = block();
        let nodes: BTreeSet<_> = quantizable(&before, Scheme::TensorRt).into_iter().collect();
        assert_eq!(nodes, BTreeSet::from(["expand", "project"]));
        let range = Range { min: -4.0, max: 4.0 };
        let ranges = Ranges::from(["image", "gelu"].map(|name| (name.to_owned(), range)));
        let graph = quantize(&before, &nodes, &ranges, Scheme::TensorRt).unwrap().graph;
        let lines: Vec<_> = graph.nodes.iter().map(|node| format!("{} = {}", node.name, node.op.name())).collect();
        assert_eq!(
            lines,
            [
                "image.quantized = QuantizeLinear",
                "image.dequantized = DequantizeLinear",
                "expand.weight.dequantized = DequantizeLinear",
                "expand.in_steps = Conv",
                "local = Conv",
                "gelu = Gelu",
                "gelu.quantized = QuantizeLinear",
                "gelu.dequantized = DequantizeLinear",
                "project.weight.dequantized = DequantizeLinear",
                "project = Conv",
                "y = Relu",
            ]
        );
        let integers = graph.initializers.iter().filter(|(_, tensor)| tensor.data_type() == crate::graph::DataType::I8);
        for (name, tensor) in integers {
            assert!(name.ends_with(".zero") || name.ends_with(".all") || !tensor.shape().is_empty(), "{name}");
        }
        assert_eq!(graph.initializers["expand.weight.scale.all"].shape(), [0; 0], "one step for all channels");
        assert_eq!(graph.initializers["project.weight.scale"].shape(), [8], "a step for each");
    }

    #[test]
    fn moved_steps_round_as_those_of_each_channel_do() {
        let before = block();
        let nodes = BTreeSet::from(["expand"]);
        let ranges = Ranges::from([("image".to_owned(), Range { min: -1.0, max: 1.0 })]);
        let moved = quantize(&before, &nodes, &ranges, Scheme::TensorRt).unwrap().graph;
        // With another reader, the steps stay where they are.
        let mut seen = before.clone();
        seen.nodes.push(crate::graph::Node {
            name: "seen".into(),
            op: Op::Relu,
            inputs: vec!["expand".into()],
            output: seen.tensor_type("expand").unwrap().clone(),
        });
        seen.outputs.push("seen".into());
        let stayed = quantize(&seen, &nodes, &ranges, Scheme::TensorRt).unwrap().graph;
        assert_eq!(stayed.initializers["expand.weight.scale"].shape(), [16]);
        for name in ["local", "y"] {
            let error = worst(&values(&moved, name), &values(&stayed, name));
            assert!(error < 1e-6, "{name}: {error:e}");
        }
        let rounded = worst(&values(&moved, "local"), &values(&before, "local"));
        assert!(rounded > 1e-4 && rounded < 0.03, "{rounded:e}");
    }
}
