//! Splits a `Conv` over the `Concat` of channels that it reads.
//!
//! `W*[x, y] + b` is `V*x + U*y + b`, where `V` and `U` are the weights for the channels of either
//! part: as much arithmetic, but the parts are not copied together, and further passes can rewrite
//! each. The bias stays with the first.
//!
//! Refuses if the convolution has groups, if the concatenation has another reader or another axis,
//! or if the weights are not the convolution's own.

use super::conv_parameters::{ConvParameters, add_conv};
use crate::graph::{Conv, Graph, Index, Op};

pub(super) fn run(graph: &mut Graph) -> Vec<String> {
    super::rewrite_everywhere(graph, Split::at, Split::apply)
}

struct Split {
    conv: usize,
    /// The parts, each with its channels.
    parts: Vec<(String, usize)>,
    parameters: ConvParameters,
    attributes: Conv,
}

impl Split {
    fn at(graph: &Graph, index: &Index<'_>, conv: usize) -> Option<Self> {
        let (parameters, attributes) = ConvParameters::from_conv(graph, index, conv)?;
        let joined = graph.nodes[conv].inputs.first()?;
        let concat = &graph.nodes[index.producer(joined)?];
        if concat.op != (Op::Concat { axis: 1 }) || index.sole_reader(joined) != Some(conv) || attributes.group != 1 {
            return None;
        }
        let channels = |part: &String| graph.tensor_type(part)?.shape.get(1)?.as_constant()?.try_into().ok();
        let parts = concat.inputs.iter().map(|part| Some((part.clone(), channels(part)?))).collect::<Option<_>>()?;
        Some(Self { conv, parts, parameters, attributes })
    }

    fn apply(self, graph: &mut Graph) -> String {
        let old = graph.nodes.remove(self.conv);
        let [filters, channels, height, width] = self.parameters.shape();
        let area = height * width;
        let has_bias = old.inputs.len() > 2;
        let (mut sum, mut first) = (None::<String>, 0);
        for (number, (part, len)) in self.parts.iter().enumerate() {
            let rows = self.parameters.weights().chunks_exact(channels * area);
            let weight = rows.flat_map(|row| &row[first * area..][..len * area]).copied().collect();
            let bias = (number == 0 && has_bias).then(|| self.parameters.bias.clone());
            let name = format!("{}.part_{}", old.name, number + 1);
            let shape = [filters, *len, height, width];
            let conv = add_conv(graph, &name, part, (shape, weight), bias, self.attributes.clone());
            first += len;
            let last = number + 1 == self.parts.len();
            sum = Some(match sum {
                None => conv,
                Some(sum) if last => graph.add_node(&old.name, Op::Add, &[&sum, &conv]),
                Some(sum) => graph.add_node(&format!("{}.sum_{}", old.name, number + 1), Op::Add, &[&sum, &conv]),
            });
        }
        if let Some(only) = sum.filter(|sum| *sum != old.name) {
            graph.add_node(&old.name, Op::Identity, &[&only]);
        }
        old.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::example::Random;
    use crate::graph::{Dim, GraphBuilder};
    use crate::passes::agreement::{assert_agree, assert_refused};

    /// Builds the concatenation of three parts of an image of six channels, convolved.
    fn network(parts: usize, axis: usize, conv: Conv, has_bias: bool) -> Graph {
        let mut random = Random(3);
        let mut builder = GraphBuilder::new("network");
        let image = builder.input("image", [Dim::batch(), 4.into(), Dim::height(), Dim::width()]).unwrap();
        let mut root = builder.root();
        let parts: Vec<_> =
            (0..parts).map(|part| root.node(&format!("part{part}"), Op::Erf, &[image]).unwrap()).collect();
        let channels = if axis == 1 { 4 * parts.len() } else { 4 };
        let x = root.node("joined", Op::Concat { axis }, &parts).unwrap();
        let weight = random.tensor([6, channels / conv.group, 2, 3]);
        let x = root.conv("conv", x, weight, has_bias.then(|| random.tensor([6])), conv).unwrap();
        let y = root.relu("relu", x).unwrap();
        builder.finish(&[("y", y)]).unwrap()
    }

    #[test]
    fn fires_for_any_kernel_and_the_outputs_agree() {
        for (name, parts, conv, has_bias) in [
            ("two parts", 2, Conv::default(), true),
            ("three parts", 3, Conv::default(), false),
            ("one part", 1, Conv::default(), true),
            ("padded, with strides", 2, Conv { pads: [1, 2, 0, 1], strides: [2, 1], ..Conv::default() }, true),
        ] {
            let before = network(parts, 1, conv, has_bias);
            let mut after = before.clone();
            assert_eq!(run(&mut after), ["conv"], "{name}");
            after.check().unwrap();
            assert!(after.nodes.iter().all(|node| node.name != "joined"), "{name}");
            assert_agree(&before, &after);
        }
    }

    #[test]
    fn the_sum_has_the_name_of_the_conv() {
        let mut graph = network(2, 1, Conv::default(), true);
        run(&mut graph);
        let nodes: Vec<_> = graph.nodes.iter().map(|node| format!("{} {:?}", node.name, node.inputs)).collect();
        assert_eq!(
            nodes[2..],
            [
                r#"conv.part_1 ["part0", "conv.part_1.weight", "conv.part_1.bias"]"#,
                r#"conv.part_2 ["part1", "conv.part_2.weight"]"#,
                r#"conv ["conv.part_1", "conv.part_2"]"#,
                r#"y ["conv"]"#
            ]
        );
    }

    #[test]
    fn refuses_other_joins_and_readers() {
        let mut seen = network(2, 1, Conv::default(), true);
        seen.outputs.push("joined".into());
        for (name, before) in [
            ("images one below the other", network(2, 2, Conv::default(), true)),
            ("groups", network(2, 1, Conv { group: 2, ..Conv::default() }, true)),
            ("the concatenation is an output", seen),
        ] {
            assert_refused(name, &before, run);
        }
    }
}
