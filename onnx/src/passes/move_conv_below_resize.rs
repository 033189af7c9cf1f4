//! Moves a 1x1 `Conv` in front of the enlargement that it reads.
//!
//! Interpolation is linear in each channel and its weights sum to one, so a 1x1 convolution,
//! including its bias, may come first: `W*up(x) + b = up(W*x + b)`, with a fraction of the pixels.
//! Zeros that are added around the enlarged image stay zeros without a bias, so that `W*pad(up(x))
//! = pad(up(W*x))`.
//!
//! Refuses if there is a bias behind a padding, if the kernel is larger, strided, grouped or
//! padded, if the image becomes smaller or the maps more, or if anything but `Shape` reads the
//! values in between.

use super::conv_parameters::{ConvParameters, add_conv};
use crate::graph::{Conv, Graph, Index, Op, PadMode, ResizeBy};

pub(super) fn run(graph: &mut Graph) -> Vec<String> {
    super::rewrite_everywhere(graph, Move::at, Move::apply)
}

struct Move {
    conv: usize,
    resize: usize,
    pad: Option<usize>,
    parameters: ConvParameters,
}

impl Move {
    fn at(graph: &Graph, index: &Index<'_>, conv: usize) -> Option<Self> {
        let (parameters, attributes) = ConvParameters::from_conv(graph, index, conv)?;
        let [filters, channels, 1, 1] = parameters.shape() else { return None };
        if attributes != Conv::default() || filters > channels {
            return None;
        }
        let producer = |node: usize| index.producer(graph.nodes[node].inputs.first()?);
        let below = producer(conv)?;
        let (resize, pad) = match graph.nodes[below].op {
            Op::Pad { mode: PadMode::Constant } => (producer(below)?, Some(below)),
            _ => (below, None),
        };
        if let Some(pad) = pad {
            let has_bias = graph.nodes[conv].inputs.len() > 2;
            if has_bias || !pads_only_pixels(graph, pad) || !has_one_reader(graph, index, pad, conv) {
                return None;
            }
        }
        let node = &graph.nodes[resize];
        let Op::Resize { by: ResizeBy::Scales, .. } = node.op else { return None };
        let scales = graph.initializers.get(node.inputs.get(1)?)?.as_f32()?;
        let enlarges = matches!(scales, [1.0, 1.0, height, width] if *height >= 1.0 && *width >= 1.0);
        (enlarges && has_one_reader(graph, index, resize, pad.unwrap_or(conv))).then_some(Self {
            conv,
            resize,
            pad,
            parameters,
        })
    }

    fn apply(self, graph: &mut Graph) -> String {
        let [resize, conv] = [self.resize, self.conv].map(|node| graph.nodes[node].clone());
        let pad = self.pad.map(|pad| graph.nodes[pad].clone());
        let bias = (conv.inputs.len() > 2).then(|| self.parameters.bias.clone());
        let weight = (self.parameters.shape(), self.parameters.weights().to_vec());
        graph.take_node(&conv.name);
        let name = &conv.name;
        let small = add_conv(graph, &format!("{name}.before"), &resize.inputs[0], weight, bias, Conv::default());
        let enlarged = if pad.is_some() { format!("{name}.enlarged") } else { name.clone() };
        let enlarged = graph.add_node(&enlarged, resize.op, &[&small, &resize.inputs[1]]);
        if let Some(pad) = pad {
            // The amounts may depend on the enlarged image's size, which does not change.
            graph.add_node(name, pad.op, &[&enlarged, &pad.inputs[1]]);
            graph.redirect(&pad.name, name);
        }
        graph.redirect(&resize.name, &enlarged);
        conv.name
    }
}

/// Returns true if `reader` and nodes that ask for height and width alone read the value of `node`.
fn has_one_reader(graph: &Graph, index: &Index<'_>, node: usize, reader: usize) -> bool {
    let value = &graph.nodes[node].name;
    let is_shape = |&node: &usize| matches!(graph.nodes[node].op, Op::Shape { start: 2.., .. });
    let mut others = index.readers(value).iter().filter(|&node| *node != reader);
    !graph.outputs.contains(value) && others.all(is_shape)
}

/// Returns true if the padding adds neither images nor channels.
fn pads_only_pixels(graph: &Graph, pad: usize) -> bool {
    let Some(pads) = graph.nodes[pad].inputs.get(1).and_then(|pads| graph.known_integers(pads)) else { return false };
    pads.len() == 8 && [0, 1, 4, 5].into_iter().all(|place| pads[place].as_constant() == Some(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::example::Random;
    use crate::graph::{Coordinates, Dim, GraphBuilder, ResizeMode, Tensor};
    use crate::passes::agreement::{assert_agree, assert_refused};

    struct Case {
        scale: f32,
        mode: ResizeMode,
        coordinates: Coordinates,
        padded: bool,
        has_bias: bool,
        filters: usize,
        kernel: usize,
        conv: Conv,
    }

    const PLAIN: Case = Case {
        scale: 2.0,
        mode: ResizeMode::Linear,
        coordinates: Coordinates::AlignCorners,
        padded: false,
        has_bias: false,
        filters: 3,
        kernel: 1,
        conv: Conv { strides: [1, 1], pads: [0; 4], dilations: [1, 1], group: 1 },
    };

    /// Builds an image of four channels, halved, enlarged again, padded to its size, and convolved.
    fn network(case: &Case) -> Graph {
        let mut random = Random(3);
        let mut builder = GraphBuilder::new("network");
        let image = builder.input("image", [Dim::batch(), 4.into(), Dim::height(), Dim::width()]).unwrap();
        let mut root = builder.root();
        let halved = Conv { strides: [2, 2], ..Conv::default() };
        let x = root.conv("half", image, random.tensor([4, 4, 2, 2]), None, halved).unwrap();
        let scales = root.constant("scales", Tensor::vector(vec![1.0, 1.0, case.scale, case.scale])).unwrap();
        let (mode, coordinates) = (case.mode, case.coordinates);
        let mut x = root.node("up", Op::Resize { mode, coordinates, by: ResizeBy::Scales }, &[x, scales]).unwrap();
        if case.padded {
            x = root.pad_to_size_of("pad", x, image).unwrap();
        }
        let weight = random.tensor([case.filters, 4 / case.conv.group, case.kernel, case.kernel]);
        let bias = case.has_bias.then(|| random.tensor([case.filters]));
        let x = root.conv("conv", x, weight, bias, case.conv.clone()).unwrap();
        let y = root.relu("relu", x).unwrap();
        builder.finish(&[("y", y)]).unwrap()
    }

    #[test]
    fn fires_for_any_interpolation_and_the_outputs_agree() {
        for (name, case) in [
            ("aligned", PLAIN),
            ("with a bias", Case { has_bias: true, ..PLAIN }),
            ("padded", Case { padded: true, ..PLAIN }),
            ("half pixels", Case { coordinates: Coordinates::HalfPixel, has_bias: true, ..PLAIN }),
            ("nearest", Case { mode: ResizeMode::Nearest, coordinates: Coordinates::Asymmetric, ..PLAIN }),
            ("three times", Case { scale: 3.0, has_bias: true, ..PLAIN }),
        ] {
            let before = network(&case);
            let mut after = before.clone();
            assert_eq!(run(&mut after), ["conv"], "{name}");
            after.check().unwrap();
            assert_agree(&before, &after);
        }
    }

    #[test]
    fn what_was_last_keeps_the_name_of_the_conv() {
        let mut graph = network(&Case { padded: true, ..PLAIN });
        run(&mut graph);
        let nodes: Vec<_> = graph.nodes.iter().map(|node| format!("{} = {}", node.name, node.op.name())).collect();
        assert_eq!(
            nodes,
            [
                "half = Conv",
                "pad.wanted = Shape",
                "conv.before = Conv",
                "conv.enlarged = Resize",
                "pad.given = Shape",
                "pad.missing = Sub",
                "pad.pads = Concat",
                "conv = Pad",
                "y = Relu",
            ]
        );
    }

    /// Builds a graph that has a value among its outputs.
    fn seen(value: &str) -> Graph {
        let mut graph = network(&Case { padded: true, ..PLAIN });
        graph.outputs.push(value.into());
        graph
    }

    /// Builds a graph with a changed convolution.
    fn with(change: fn(&mut Conv)) -> Graph {
        let mut conv = Conv::default();
        change(&mut conv);
        network(&Case { conv, ..PLAIN })
    }

    #[test]
    fn refuses_what_does_not_commute_or_does_not_save() {
        for (name, before) in [
            ("a bias behind a padding", network(&Case { padded: true, has_bias: true, ..PLAIN })),
            ("a larger kernel", network(&Case { kernel: 3, ..PLAIN })),
            ("more maps", network(&Case { filters: 5, ..PLAIN })),
            ("a smaller image", network(&Case { scale: 0.5, ..PLAIN })),
            ("strides", with(|conv| conv.strides = [2, 1])),
            ("padding of its own", with(|conv| conv.pads = [0, 0, 0, 1])),
            ("the enlarged image is an output", seen("up")),
            ("the padded image is an output", seen("pad")),
        ] {
            assert_refused(name, &before, run);
        }
    }
}
