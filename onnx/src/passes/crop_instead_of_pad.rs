//! Replaces a padding by a computed amount by a constant padding and a crop.
//!
//! An image that was halved, rounded down, and doubled again lacks no row or one, `h mod 2`. Adding
//! one row of zeros and keeping the first `h` rows gives the same. It needs the size `h` alone,
//! whereas the amount needs both sizes, their difference and a vector to write it into: on a GPU
//! these are two launches more at each step of a decoder.
//!
//! Refuses unless the padding is with zeros, behind the image and by the difference of two
//! `Shape`s, which must be known to be 0 or 1.

use crate::graph::{Data, Dim, Graph, Index, Op, PadMode, Tensor};

pub(super) fn run(graph: &mut Graph) -> Vec<String> {
    super::rewrite_everywhere(graph, Crop::at, Crop::apply)
}

struct Crop {
    pad: String,
    image: String,
    /// The `Shape` to which the image is padded.
    wanted: String,
}

impl Crop {
    fn at(graph: &Graph, index: &Index<'_>, pad: usize) -> Option<Self> {
        let node = &graph.nodes[pad];
        let (Op::Pad { mode: PadMode::Constant }, [image, pads]) = (&node.op, &node.inputs[..]) else { return None };
        let computed = |value: &String| index.producer(value).map(|node| &graph.nodes[node]);
        let concat = computed(pads).filter(|node| node.op == Op::Concat { axis: 0 })?;
        let [zeros, missing] = &concat.inputs[..] else { return None };
        let is_zeros = graph.initializers.get(zeros)?.data() == &Data::I64(vec![0; 6]);
        let difference = computed(missing).filter(|node| node.op == Op::Sub && is_zeros)?;
        let [wanted, given] = &difference.inputs[..] else { return None };
        let spatial = Op::Shape { start: 2, end: 4 };
        let [of_reference, of_image] = [computed(wanted)?, computed(given)?];
        let same_image =
            of_image.inputs.first().and_then(|shaped| graph.tensor_type(shaped)) == graph.tensor_type(image);
        if of_reference.op != spatial || of_image.op != spatial || !same_image {
            return None;
        }
        let amounts = graph.known_integers(missing)?;
        (amounts.len() == 2 && amounts.iter().all(is_bit)).then(|| Self {
            pad: node.name.clone(),
            image: image.clone(),
            wanted: wanted.clone(),
        })
    }

    fn apply(self, graph: &mut Graph) -> String {
        let Self { pad, image, wanted } = self;
        graph.take_node(&pad);
        let mut constant =
            |name: &str, values: Vec<i64>| graph.add_constant(&format!("{pad}.{name}"), Tensor::vector(values));
        let [pads, starts, axes] = [
            constant("most", vec![0, 0, 0, 0, 0, 0, 1, 1]),
            constant("starts", vec![0, 0]),
            constant("axes", vec![2, 3]),
        ];
        let larger = graph.add_node(&format!("{pad}.larger"), Op::Pad { mode: PadMode::Constant }, &[&image, &pads]);
        graph.add_node(&pad, Op::Slice, &[&larger, &starts, &wanted, &axes])
    }
}

/// Returns true if an amount is known to be 0 or 1.
fn is_bit(amount: &Dim) -> bool {
    let rest = Dim::from(1).sub(amount);
    amount.is_never_negative() && rest.is_ok_and(|rest| rest.is_never_negative())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::example::Random;
    use crate::graph::{Conv, Coordinates, GraphBuilder, ResizeMode};
    use crate::passes::agreement::{assert_agree, assert_refused};

    /// Builds an image, divided by a factor and multiplied again, padded to its size.
    fn network(factor: u8) -> Graph {
        let mut random = Random(3);
        let mut builder = GraphBuilder::new("network");
        let image = builder.input("image", [Dim::batch(), 2.into(), Dim::height(), Dim::width()]).unwrap();
        let mut root = builder.root();
        let side = usize::from(factor);
        let strided = Conv { strides: [side; 2], ..Conv::default() };
        let x = root.conv("small", image, random.tensor([2, 2, side, side]), None, strided).unwrap();
        let x = root.upsample("large", x, factor, ResizeMode::Linear, Coordinates::AlignCorners).unwrap();
        let x = root.pad_to_size_of("pad", x, image).unwrap();
        builder.finish(&[("y", x)]).unwrap()
    }

    #[test]
    fn fires_on_a_bit_and_the_outputs_agree() {
        let before = network(2);
        let mut after = before.clone();
        assert_eq!(run(&mut after), ["y"]);
        after.check().unwrap();
        assert_agree(&before, &after);
        let nodes: Vec<_> = after.nodes.iter().map(|node| format!("{} = {}", node.name, node.op.name())).collect();
        assert_eq!(nodes, ["small = Conv", "large = Resize", "pad.wanted = Shape", "y.larger = Pad", "y = Slice"]);
    }

    #[test]
    fn refuses_amounts_that_may_be_more() {
        assert_refused("a third", &network(3), run);
    }
}
