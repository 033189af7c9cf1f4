//! Computes the wide middle between two 1x1 convolutions in slices of channels.
//!
//! With `f` channel by channel (a depthwise convolution, an activation), `W*f(V*x + a) + b` is the sum over slices of
//! channels of `W_i*f(V_i*x + a_i)`, plus `b`: the same arithmetic on maps that are a fraction of the size, which a
//! processor's cache holds better, and of which fewer are alive at once. A term that is added to the result is the first to
//! be added, so that each sum can be fused into the convolution before it.
//!
//! Refuses when the middle is no wider than both ends, has another reader, cannot be cut into slices of [`SLICE`]
//! channels, or into more than [`SLICES_MAX`] of them.

use super::conv_parameters::{ConvParameters, add_conv};
use crate::graph::{Conv, Graph, Index, Op};

/// Fewer channels leave ONNX Runtime's kernels idle: they compute 32 at a time.
const SLICE: usize = 32;

/// The result is read and written once for each slice. Networks have their widest middles where maps are small anyway.
const SLICES_MAX: usize = 8;

pub(super) fn run(graph: &mut Graph) -> Vec<String> {
    super::rewrite_everywhere(graph, Slices::at, Slices::apply)
}

struct Slices {
    expand: ConvParameters,
    /// From the expanding convolution to the projecting one.
    chain: Vec<usize>,
    middle: Vec<Option<(ConvParameters, Conv)>>,
    project: ConvParameters,
    /// The addition that reads the result alone, and what it adds.
    added: Option<(usize, String)>,
    slices: usize,
}

impl Slices {
    fn at(graph: &Graph, index: &Index<'_>, first: usize) -> Option<Self> {
        let pointwise = |node: usize| {
            let (parameters, conv) = ConvParameters::of(graph, index, node)?;
            (conv == Conv::default() && parameters.kernel_len() == 1).then_some(parameters)
        };
        let expand = pointwise(first)?;
        let [wide, narrow, ..] = expand.shape();
        let (mut chain, mut middle) = (vec![first], Vec::new());
        let project = loop {
            let value = &graph.nodes[*chain.last()?].name;
            let next = index.sole_reader(value).filter(|&next| graph.nodes[next].inputs.first() == Some(value))?;
            chain.push(next);
            match &graph.nodes[next].op {
                Op::Gelu | Op::Relu | Op::Sigmoid | Op::Erf => middle.push(None),
                Op::Conv(conv) if conv.group == wide && conv.group > 1 => {
                    let (parameters, conv) = ConvParameters::of(graph, index, next)?;
                    if parameters.shape()[..2] != [wide, 1] {
                        return None;
                    }
                    middle.push(Some((parameters, conv)));
                }
                _ => break pointwise(next)?,
            }
        };
        let [out, ..] = project.shape();
        let slices = wide / SLICE;
        if wide % SLICE != 0 || !(2..=SLICES_MAX).contains(&slices) || wide <= narrow.max(out) {
            return None;
        }
        let last = &graph.nodes[*chain.last()?];
        let added = index.sole_reader(&last.name).and_then(|reader| {
            let node = &graph.nodes[reader];
            let term = node.inputs.iter().find(|input| **input != last.name)?;
            let fits = node.op == Op::Add && graph.tensor_type(term) == Some(&last.output);
            fits.then(|| (reader, term.clone()))
        });
        Some(Self { expand, chain, middle, project, added, slices })
    }

    fn apply(self, graph: &mut Graph) -> String {
        let Self { expand, chain, middle, project, added, slices } = self;
        let old: Vec<_> = chain.iter().map(|&node| graph.nodes[node].clone()).collect();
        let result = added.as_ref().map_or(&old[old.len() - 1], |(sum, _)| &graph.nodes[*sum]).name.clone();
        for name in old.iter().map(|node| &node.name).chain([&result]) {
            graph.take_node(name);
        }
        let [wide, narrow, ..] = expand.shape();
        let [out, ..] = project.shape();
        let len = wide / slices;
        let x = &old[0].inputs[0];
        let mut sum = added.map(|(_, term)| term);
        for slice in 0..slices {
            let range = slice * len..(slice + 1) * len;
            let at = |name: &str| format!("{name}.slice_{}", slice + 1);
            let weight = expand.weights()[range.start * narrow..range.end * narrow].to_vec();
            let bias = Some(expand.bias[range.clone()].to_vec());
            let mut y = add_conv(graph, &at(&old[0].name), x, ([len, narrow, 1, 1], weight), bias, Conv::default());
            for (node, step) in old[1..].iter().zip(&middle) {
                y = match step {
                    None => graph.add_node(&at(&node.name), node.op.clone(), &[&y]),
                    Some((parameters, conv)) => {
                        let [_, _, height, width] = parameters.shape();
                        let area = height * width;
                        let weight = parameters.weights()[range.start * area..range.end * area].to_vec();
                        let bias = Some(parameters.bias[range.clone()].to_vec());
                        let conv = Conv { group: len, ..conv.clone() };
                        add_conv(graph, &at(&node.name), &y, ([len, 1, height, width], weight), bias, conv)
                    }
                };
            }
            let rows = project.weights().chunks_exact(wide);
            let weight = rows.flat_map(|row| &row[range.clone()]).copied().collect();
            let bias = (slice == 0).then(|| project.bias.clone());
            let name = at(&old[old.len() - 1].name);
            let part = add_conv(graph, &name, &y, ([out, len, 1, 1], weight), bias, Conv::default());
            sum = Some(match sum {
                None => part,
                Some(sum) if slice + 1 == slices => graph.add_node(&result, Op::Add, &[&sum, &part]),
                Some(sum) => graph.add_node(&format!("{name}.sum"), Op::Add, &[&sum, &part]),
            });
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::super::agreement::{assert_agree, assert_refused};
    use super::*;
    use crate::graph::example::Random;
    use crate::graph::{Dim, GraphBuilder};

    /// Four channels, `wide` channels, a depthwise convolution and GELU of them, four channels, and perhaps the image again.
    fn network(wide: usize, group: usize, residual: bool) -> Graph {
        let mut random = Random(3);
        let mut builder = GraphBuilder::new("network");
        let image = builder.input("image", [Dim::batch(), 4.into(), Dim::height(), Dim::width()]).unwrap();
        let mut root = builder.root();
        let bias = Some(random.tensor([wide]));
        let x = root.conv("expand", image, random.tensor([wide, 4, 1, 1]), bias, Conv::default()).unwrap();
        let local = Conv { pads: [1, 0, 1, 0], group, ..Conv::default() };
        let weight = random.tensor([wide, wide / group, 3, 1]);
        let x = root.conv("local", x, weight, None, local).unwrap();
        let x = root.gelu("gelu", x).unwrap();
        let mut x =
            root.conv("project", x, random.tensor([4, wide, 1, 1]), Some(random.tensor([4])), Conv::default()).unwrap();
        if residual {
            x = root.add("sum", x, image).unwrap();
        }
        let y = root.relu("relu", x).unwrap();
        builder.finish(&[("y", y)]).unwrap()
    }

    #[test]
    fn fires_on_middles_of_several_slices_and_the_outputs_agree() {
        for (name, wide, residual, result, nodes) in [
            ("two slices", 64, false, "project", 2 * 5),
            ("two slices and a residual", 64, true, "sum", 2 * 5 + 1),
            ("as many as can be", 256, true, "sum", 8 * 5 + 1),
            ("three slices", 96, true, "sum", 3 * 5 + 1),
        ] {
            let before = network(wide, wide, residual);
            let mut after = before.clone();
            assert_eq!(run(&mut after), [result], "{name}");
            after.check().unwrap();
            assert_eq!(after.nodes.len(), nodes, "{name}");
            assert_agree(&before, &after);
        }
    }

    #[test]
    fn each_slice_is_added_to_the_last() {
        let mut graph = network(64, 64, true);
        run(&mut graph);
        let nodes: Vec<_> = graph.nodes.iter().map(|node| format!("{} {}", node.name, node.inputs[0])).collect();
        assert_eq!(
            nodes,
            [
                "expand.slice_1 image",
                "local.slice_1 expand.slice_1",
                "gelu.slice_1 local.slice_1",
                "project.slice_1 gelu.slice_1",
                "project.slice_1.sum image",
                "expand.slice_2 image",
                "local.slice_2 expand.slice_2",
                "gelu.slice_2 local.slice_2",
                "project.slice_2 gelu.slice_2",
                "sum project.slice_1.sum",
                "y sum",
            ]
        );
    }

    #[test]
    fn refuses_middles_that_are_narrow_mixed_or_seen() {
        let mut seen = network(64, 64, true);
        seen.outputs.push("gelu".into());
        for (name, before) in [
            ("a narrow middle", network(32, 32, true)),
            ("a middle too wide", network(288, 288, true)),
            ("no whole slices", network(65, 65, true)),
            ("channels are mixed", network(64, 32, true)),
            ("the middle is an output", seen),
        ] {
            assert_refused(name, &before, run);
        }
    }
}
