//! Folds a constant `Pad` with zeros into the `Conv` that reads it.
//!
//! A convolution pads its image with zeros itself: consecutive paddings add up.
//!
//! Refuses if the padding mirrors or repeats, adds images or channels, is computed, or has another
//! reader.

use crate::graph::{Graph, Index, Op, PadMode};

pub(super) fn run(graph: &mut Graph) -> Vec<String> {
    super::rewrite_everywhere(graph, Fold::at, Fold::apply)
}

struct Fold {
    pad: usize,
    conv: usize,
    pads: [usize; 4],
}

impl Fold {
    fn at(graph: &Graph, index: &Index<'_>, pad: usize) -> Option<Self> {
        let node = &graph.nodes[pad];
        let conv = index.sole_reader(&node.name)?;
        let (Op::Conv(_), Some(image)) = (&graph.nodes[conv].op, graph.nodes[conv].inputs.first()) else { return None };
        let pads = constant_pads(graph, pad)?;
        (*image == node.name).then_some(Self { pad, conv, pads })
    }

    fn apply(self, graph: &mut Graph) -> String {
        let Self { pad, conv, pads } = self;
        if let Op::Conv(conv) = &mut graph.nodes[conv].op {
            conv.pads.iter_mut().zip(pads).for_each(|(sum, pad)| *sum += pad);
        }
        graph.nodes[conv].inputs[0] = graph.nodes[pad].inputs[0].clone();
        graph.nodes[conv].name.clone()
    }
}

/// Returns by how much a padding with zeros extends images, `[top, left, bottom, right]`; `None` if
/// that is computed, or if it adds images or channels.
pub(super) fn constant_pads(graph: &Graph, pad: usize) -> Option<[usize; 4]> {
    let node = &graph.nodes[pad];
    let Op::Pad { mode: PadMode::Constant } = node.op else { return None };
    let pads = graph.known_integers(node.inputs.get(1)?)?;
    let pads = pads.iter().map(|pad| pad.as_constant()?.try_into().ok()).collect::<Option<Vec<usize>>>()?;
    let [0, 0, top, left, 0, 0, bottom, right] = pads[..] else { return None };
    Some([top, left, bottom, right])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::example::Random;
    use crate::graph::{Conv, Dim, GraphBuilder};
    use crate::passes::agreement::{assert_agree, assert_refused};

    fn network(mode: PadMode, computed: bool) -> Graph {
        let mut random = Random(3);
        let mut builder = GraphBuilder::new("network");
        let image = builder.input("image", [Dim::batch(), 2.into(), Dim::height(), Dim::width()]).unwrap();
        let mut root = builder.root();
        let x = if computed {
            let half = root
                .conv("half", image, random.tensor([2, 2, 2, 2]), None, Conv { strides: [2, 2], ..Conv::default() })
                .unwrap();
            root.pad_to_size_of("pad", half, image).unwrap()
        } else {
            root.pad("pad", image, [1, 0, 2, 1], mode).unwrap()
        };
        let conv = Conv { pads: [0, 1, 1, 2], strides: [2, 1], ..Conv::default() };
        let x = root.conv("conv", x, random.tensor([3, 2, 3, 2]), Some(random.tensor([3])), conv).unwrap();
        builder.finish(&[("y", x)]).unwrap()
    }

    #[test]
    fn fires_and_the_outputs_agree() {
        let before = network(PadMode::Constant, false);
        let mut after = before.clone();
        assert_eq!(run(&mut after), ["y"]);
        after.check().unwrap();
        assert_agree(&before, &after);
        assert_eq!(after.nodes.len(), 1);
        assert_eq!(after.nodes[0].op, Op::Conv(Conv { pads: [1, 1, 3, 3], strides: [2, 1], ..Conv::default() }));
    }

    #[test]
    fn refuses_other_paddings() {
        let mut seen = network(PadMode::Constant, false);
        seen.outputs.push("pad".into());
        for (name, before) in [
            ("mirrored", network(PadMode::Reflect, false)),
            ("repeated", network(PadMode::Edge, false)),
            ("computed", network(PadMode::Constant, true)),
            ("the padded image is an output", seen),
        ] {
            assert_refused(name, &before, run);
        }
    }
}
