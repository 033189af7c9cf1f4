//! Inserts a depthwise convolution by one between a padding and its addition to a convolution.
//!
//! `1*x = x`. ONNX Runtime's CPU provider computes convolutions on blocks of channels and fuses the
//! addition of another blocked map into them, and with it the reader of the sum. A map that comes
//! from `Pad` is not blocked, and neither is the sum then. The convolution by one converts the map
//! to blocks at the cost of reading it once.
//!
//! Refuses unless one operand is a convolution's and the other a padding's, each without another
//! reader, and the padded map is float32 and as large as the sum: one that broadcasts has fewer
//! channels than the convolution by one would have.

use super::conv_parameters::add_conv;
use crate::graph::{Conv, DataType, Graph, Index, Op};

pub(super) fn run(graph: &mut Graph) -> Vec<String> {
    super::rewrite_everywhere(graph, Addend::at, Addend::apply)
}

/// An addend of a convolution that is the output of a `Pad`.
pub(super) struct Addend {
    pub(super) sum: usize,
    pub(super) operand: usize,
    pub(super) channels: usize,
}

impl Addend {
    pub(super) fn at(graph: &Graph, index: &Index<'_>, sum: usize) -> Option<Self> {
        let node = &graph.nodes[sum];
        let (Op::Add, [left, right]) = (&node.op, &node.inputs[..]) else { return None };
        let own = |value| index.sole_reader(value).and_then(|_| Some(&graph.nodes[index.producer(value)?].op));
        let is_conv = |value| matches!(own(value), Some(Op::Conv(_)));
        let is_pad = |value| matches!(own(value), Some(Op::Pad { .. }));
        let operand = match (is_conv(left) && is_pad(right), is_pad(left) && is_conv(right)) {
            (true, _) => 1,
            (_, true) => 0,
            _ => return None,
        };
        let is_whole = graph.tensor_type(&node.inputs[operand]) == Some(&node.output);
        if !is_whole || node.output.data_type != DataType::F32 {
            return None;
        }
        let channels = node.output.shape.get(1)?.as_constant()?.try_into().ok()?;
        Some(Self { sum, operand, channels })
    }

    fn apply(self, graph: &mut Graph) -> String {
        let Self { sum, operand, channels } = self;
        let padded = graph.nodes[sum].inputs[operand].clone();
        let conv = Conv { group: channels, ..Conv::default() };
        let weight = ([channels, 1, 1, 1], vec![1.0; channels]);
        let blocked = add_conv(graph, &format!("{padded}.blocked"), &padded, weight, None, conv);
        graph.nodes[sum].inputs[operand] = blocked;
        graph.nodes[sum].name.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::example::Random;
    use crate::graph::{Dim, GraphBuilder, PadMode};
    use crate::passes::agreement::{assert_agree, assert_refused};

    /// Builds the sum of an image of four channels, cropped and padded again, and of a convolution
    /// or another value of it.
    fn network(other: Op, padded_first: bool) -> Graph {
        network_of(4, other, padded_first)
    }

    /// Builds the same sum with a given number of cropped and padded channels.
    fn network_of(channels: usize, other: Op, padded_first: bool) -> Graph {
        let mut random = Random(3);
        let mut builder = GraphBuilder::new("network");
        let image = builder.input("image", [Dim::batch(), 4.into(), Dim::height(), Dim::width()]).unwrap();
        let mut root = builder.root();
        let cut = root.conv("cut", image, random.tensor([channels, 4, 2, 2]), None, Conv::default()).unwrap();
        let padded = root.pad("pad", cut, [0, 0, 1, 1], PadMode::Constant).unwrap();
        let other = match other {
            Op::Conv(conv) => root.conv("other", image, random.tensor([4, 4, 1, 1]), None, conv),
            op => root.node("other", op, &[image]),
        };
        let mut operands = [other.unwrap(), padded];
        if padded_first {
            operands.reverse();
        }
        let y = root.add("sum", operands[0], operands[1]).unwrap();
        builder.finish(&[("y", y)]).unwrap()
    }

    #[test]
    fn fires_on_either_side_and_the_outputs_agree() {
        for padded_first in [false, true] {
            let before = network(Op::Conv(Conv::default()), padded_first);
            let mut after = before.clone();
            assert_eq!(run(&mut after), ["y"]);
            after.check().unwrap();
            assert_agree(&before, &after);
            assert!(
                after.to_string().contains("pad.blocked: f32[batch, 4, height, width] = Conv(pad, pad.blocked.weight)")
            );
        }
    }

    #[test]
    fn refuses_other_sums() {
        let mut seen = network(Op::Conv(Conv::default()), false);
        seen.outputs.push("pad".into());
        let broadcast = network_of(1, Op::Conv(Conv::default()), false);
        broadcast.check().unwrap();
        for (name, before) in [
            ("no convolution", network(Op::Gelu, false)),
            ("the padded map is an output", seen),
            ("the padded map is broadcast over the channels", broadcast),
        ] {
            assert_refused(name, &before, run);
        }
    }
}
