//! Replaces a constant padding of a convolution's addend by a depthwise convolution by one.
//!
//! `pad(x) = pad(1*x)`, and a convolution pads its image with zeros itself. As behind a computed
//! padding ([`block_padded_addend`](super::block_padded_addend)), the sum is then fused into the
//! other convolution where maps are computed in blocks. Here the padding itself is removed, so that
//! no engine has a node more.
//!
//! Refuses whatever that pass refuses, and a padding that is computed or adds images or channels.

use super::block_padded_addend::Addend;
use super::conv_parameters::add_conv;
use super::fold_padding_into_conv::constant_pads;
use crate::graph::{Conv, Graph, Index};

pub(super) fn run(graph: &mut Graph) -> Vec<String> {
    super::rewrite_everywhere(graph, Padding::at, Padding::apply)
}

struct Padding {
    pad: String,
    image: String,
    pads: [usize; 4],
    channels: usize,
}

impl Padding {
    fn at(graph: &Graph, index: &Index<'_>, sum: usize) -> Option<Self> {
        let Addend { sum, operand, channels } = Addend::at(graph, index, sum)?;
        let pad = index.producer(&graph.nodes[sum].inputs[operand])?;
        let pads = constant_pads(graph, pad)?;
        let pad = &graph.nodes[pad];
        Some(Self { pad: pad.name.clone(), image: pad.inputs.first()?.clone(), pads, channels })
    }

    fn apply(self, graph: &mut Graph) -> String {
        let Self { pad, image, pads, channels } = self;
        graph.take_node(&pad);
        let weight = ([channels, 1, 1, 1], vec![1.0; channels]);
        add_conv(graph, &pad, &image, weight, None, Conv { pads, group: channels, ..Conv::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::example::Random;
    use crate::graph::{Dim, GraphBuilder, Op, PadMode, Tensor};
    use crate::passes::agreement::{assert_agree, assert_refused};

    /// The padding of the cropped image.
    enum By {
        Constants,
        Difference,
        Channels,
    }

    /// Builds the sum of an image of four channels, cropped and padded again, and of a convolution
    /// or another value of it.
    fn network(other: Op, by: By) -> Graph {
        let mut random = Random(3);
        let mut builder = GraphBuilder::new("network");
        let image = builder.input("image", [Dim::batch(), 4.into(), Dim::height(), Dim::width()]).unwrap();
        let mut root = builder.root();
        let channels = if matches!(by, By::Channels) { 3 } else { 4 };
        let strides = if matches!(by, By::Difference) { [2, 2] } else { [1, 1] };
        let conv = Conv { strides, ..Conv::default() };
        let cut = root.conv("cut", image, random.tensor([channels, 4, 2, 2]), None, conv).unwrap();
        let padded = match by {
            By::Constants => root.pad("pad", cut, [0, 0, 1, 1], PadMode::Constant).unwrap(),
            By::Difference => root.pad_to_size_of("pad", cut, image).unwrap(),
            By::Channels => {
                let pads = root.constant("pads", Tensor::vector(vec![0_i64, 1, 0, 0, 0, 0, 1, 1]));
                root.node("pad", Op::Pad { mode: PadMode::Constant }, &[cut, pads.unwrap()]).unwrap()
            }
        };
        let other = match other {
            Op::Conv(conv) => root.conv("other", image, random.tensor([4, 4, 1, 1]), None, conv),
            op => root.node("other", op, &[image]),
        };
        let y = root.add("sum", other.unwrap(), padded).unwrap();
        builder.finish(&[("y", y)]).unwrap()
    }

    #[test]
    fn fires_and_the_outputs_agree() {
        let before = network(Op::Conv(Conv::default()), By::Constants);
        let mut after = before.clone();
        assert_eq!(run(&mut after), ["pad"]);
        after.check().unwrap();
        assert_agree(&before, &after);
        let nodes: Vec<_> = after.nodes.iter().map(ToString::to_string).collect();
        assert_eq!(nodes.len(), before.nodes.len(), "{after}");
        let conv = "pad: f32[batch, 4, height, width] = Conv(cut, pad.weight) strides=[1, 1] pads=[0, 0, 1, 1] \
                    dilations=[1, 1] group=4";
        assert!(nodes.iter().any(|node| node == conv), "{after}");
    }

    #[test]
    fn refuses_other_sums_and_paddings() {
        let conv = || Op::Conv(Conv::default());
        let mut seen = network(conv(), By::Constants);
        seen.outputs.push("pad".into());
        for (name, before) in [
            ("no convolution", network(Op::Gelu, By::Constants)),
            ("computed", network(conv(), By::Difference)),
            ("channels are added", network(conv(), By::Channels)),
            ("the padded map is an output", seen),
        ] {
            assert_refused(name, &before, run);
        }
    }
}
