//! Computes the wide middle between two 1x1 convolutions in slices of channels.
//!
//! With `f` channel by channel (a depthwise convolution, an activation), `W*f(V*x + a) + b` is the
//! sum over slices of channels of `W_i*f(V_i*x + a_i)`, plus `b`. This is the same arithmetic on
//! maps of a fraction of the size, which fit a processor's cache better, and of which fewer are
//! alive at once. A term that is added to the result is added first, so that each sum can be fused
//! into the convolution before it.
//!
//! Refuses if the middle is not wider than both ends, has another reader, is known to fit a cache
//! whole ([`CACHE`]), or cannot be cut into equal slices, or only into too many.

use super::conv_parameters::{ConvParameters, add_conv};
use crate::graph::{Conv, Graph, Index, Op};

/// The way in which a middle is cut.
struct Cut {
    /// The channels of a slice.
    slice: usize,
    /// The most slices.
    slices_max: usize,
}

/// The slices of an image of known size. Fewer channels leave ONNX Runtime's kernels idle: they
/// compute 32 at a time. The result is read and written once for each slice; the widest middles of
/// networks are where maps are small anyway.
const KNOWN_SIZE: Cut = Cut { slice: 32, slices_max: 8 };

/// The slices of an image of unknown size. ONNX Runtime cannot tell then that a sum may be written
/// in place, and copies it for each further slice.
const ANY_SIZE: Cut = Cut { slice: 64, slices_max: 2 };

/// The bytes of a processor's last cache that an image's middle may use.
const CACHE: usize = 32 << 20;

pub(super) fn run(graph: &mut Graph) -> Vec<String> {
    super::rewrite_everywhere(graph, Slices::at, Slices::apply)
}

struct Slices {
    expand: ConvParameters,
    /// The nodes from the expanding convolution to the projecting one.
    chain: Vec<usize>,
    middle: Vec<Option<(ConvParameters, Conv)>>,
    project: ConvParameters,
    /// The addition that alone reads the result, and its other operand.
    added: Option<(usize, String)>,
    slices: usize,
}

/// Reads the parameters of a plain 1x1 convolution.
fn pointwise(graph: &Graph, index: &Index<'_>, node: usize) -> Option<ConvParameters> {
    let (parameters, conv) = ConvParameters::from_conv(graph, index, node)?;
    (conv == Conv::default() && parameters.kernel_len() == 1).then_some(parameters)
}

impl Slices {
    fn at(graph: &Graph, index: &Index<'_>, first: usize) -> Option<Self> {
        let expand = pointwise(graph, index, first)?;
        let [wide, narrow, ..] = expand.shape();
        let (mut chain, mut middle) = (vec![first], Vec::new());
        let project = loop {
            let value = &graph.nodes[*chain.last()?].name;
            let next = index.sole_reader(value).filter(|&next| graph.nodes[next].inputs.first() == Some(value))?;
            chain.push(next);
            match &graph.nodes[next].op {
                Op::Gelu | Op::Relu | Op::Sigmoid | Op::Erf => middle.push(None),
                Op::Conv(conv) if conv.group == wide && conv.group > 1 => {
                    let (parameters, conv) = ConvParameters::from_conv(graph, index, next)?;
                    if parameters.shape()[..2] != [wide, 1] {
                        return None;
                    }
                    middle.push(Some((parameters, conv)));
                }
                _ => break pointwise(graph, index, next)?,
            }
        };
        let [out, ..] = project.shape();
        let sizes = graph.nodes[first].output.shape.get(2..)?;
        let area: Option<usize> = sizes.iter().map(|size| usize::try_from(size.as_constant()?).ok()).product();
        if area.is_some_and(|area| area * wide * size_of::<f32>() <= CACHE) {
            return None;
        }
        let Cut { slice, slices_max } = if area.is_some() { KNOWN_SIZE } else { ANY_SIZE };
        let slices = wide / slice;
        if wide % slice != 0 || !(2..=slices_max).contains(&slices) || wide <= narrow.max(out) {
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
    use super::*;
    use crate::graph::example::Random;
    use crate::graph::{Dim, GraphBuilder};
    use crate::passes::agreement::{assert_agree, assert_agree_on, assert_refused};

    /// Builds four channels, `wide` channels, a depthwise convolution and GELU of them, four
    /// channels, and perhaps the image again.
    fn network(wide: usize, group: usize, residual: bool) -> Graph {
        network_at([Dim::height(), Dim::width()], wide, group, residual)
    }

    /// Builds the same for images of a size.
    fn network_at([height, width]: [Dim; 2], wide: usize, group: usize, residual: bool) -> Graph {
        let mut random = Random(3);
        let mut builder = GraphBuilder::new("network");
        let image = builder.input("image", [Dim::batch(), 4.into(), height, width]).unwrap();
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
        for (name, wide, residual, result, nodes) in
            [("two slices", 128, false, "project", 2 * 5), ("two slices and a residual", 128, true, "sum", 2 * 5 + 1)]
        {
            let before = network(wide, wide, residual);
            let mut after = before.clone();
            assert_eq!(run(&mut after), [result], "{name}");
            after.check().unwrap();
            assert_eq!(after.nodes.len(), nodes, "{name}");
            assert_agree(&before, &after);
        }
    }

    #[test]
    fn where_sizes_are_known_slices_are_thinner_and_small_middles_stay() {
        let slices = |graph: &Graph| graph.nodes.iter().filter(|node| node.name.starts_with("gelu.slice")).count();
        // 32 MiB are 64 channels of 512x256.
        for (wide, height, width, expected) in
            [(64, 512, 256, 0), (64, 512, 257, 2), (256, 512, 512, 8), (288, 512, 512, 0)]
        {
            let mut graph = network_at([height, width].map(Dim::from), wide, wide, true);
            run(&mut graph);
            graph.check().unwrap();
            assert_eq!(slices(&graph), expected, "{wide} channels of {height}x{width}");
        }
        let before = network_at([299, 300].map(Dim::from), 96, 96, true);
        let mut after = before.clone();
        run(&mut after);
        assert_eq!(slices(&after), 3);
        assert_agree_on([1, 299, 300], &before, &after);
    }

    #[test]
    fn each_slice_is_added_to_the_last() {
        let mut graph = network(128, 128, true);
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
        let mut seen = network(128, 128, true);
        seen.outputs.push("gelu".into());
        for (name, before) in [
            ("a narrow middle", network(64, 64, true)),
            ("a middle too wide", network(192, 192, true)),
            ("no whole slices", network(130, 130, true)),
            ("channels are mixed", network(128, 64, true)),
            ("the middle is an output", seen),
        ] {
            assert_refused(name, &before, run);
        }
    }
}
