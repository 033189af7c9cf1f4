//! Replaces a `BatchNormalization` by a product and a sum with constants.
//!
//! `(x - mean) / sqrt(variance + epsilon) * scale + shift` is `x*a + b` with `a = scale /
//! sqrt(variance + epsilon)` and `b = shift - a*mean`, computed in 64 bits. An engine that fuses
//! operators on single elements computes both in the kernel that gives `x`, and in half precision
//! two constants are rounded instead of four.
//!
//! Refuses statistics that are not constant or that have no positive deviation, and values without
//! four axes.

use super::affine::Affine;
use crate::graph::{Graph, Index, Op, Tensor};

pub(super) fn run(graph: &mut Graph) -> Vec<String> {
    super::rewrite_everywhere(graph, Norm::at, Norm::apply)
}

struct Norm {
    norm: String,
    x: String,
    affine: Affine,
}

impl Norm {
    fn at(graph: &Graph, _: &Index<'_>, norm: usize) -> Option<Self> {
        let node = &graph.nodes[norm];
        let affine = Affine::from_batch_norm(graph, node)?;
        (node.output.shape.len() == 4).then(|| Self { norm: node.name.clone(), x: node.inputs[0].clone(), affine })
    }

    fn apply(self, graph: &mut Graph) -> String {
        let Self { norm, x, affine } = self;
        graph.take_node(&norm);
        let [scale, shift] = [("scale", affine.scale), ("shift", affine.shift)].map(|(part, values)| {
            let values: Vec<_> = values.into_iter().map(|value| value as f32).collect();
            let tensor = Tensor::new([1, values.len(), 1, 1], values).expect("a value for each channel");
            graph.add_constant(&format!("{norm}.{part}"), tensor)
        });
        let scaled = graph.add_node(&format!("{norm}.scaled"), Op::Mul, &[&x, &scale]);
        graph.add_node(&norm, Op::Add, &[&scaled, &shift])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::example::Random;
    use crate::graph::{BatchNorm, Dim, GraphBuilder};
    use crate::passes::agreement::{assert_agree, assert_refused};

    fn network(variance: f32) -> Graph {
        let mut random = Random(3);
        let mut builder = GraphBuilder::new("network");
        let image = builder.input("image", [Dim::batch(), 2.into(), Dim::height(), Dim::width()]).unwrap();
        let mut root = builder.root();
        let norm = BatchNorm {
            weight: random.tensor([2]),
            bias: random.tensor([2]),
            running_mean: random.tensor([2]),
            running_var: Tensor::vector(vec![variance, 0.5]),
            epsilon: 1e-5,
        };
        let x = root.batch_norm("norm", image, norm).unwrap();
        let y = root.relu("y", x).unwrap();
        builder.finish(&[("y", y)]).unwrap()
    }

    #[test]
    fn fires_and_the_outputs_agree() {
        let before = network(2.0);
        let mut after = before.clone();
        assert_eq!(run(&mut after), ["norm"]);
        after.check().unwrap();
        assert_agree(&before, &after);
        let lines: Vec<_> = after.nodes.iter().map(|node| format!("{} = {}", node.name, node.op.name())).collect();
        assert_eq!(lines, ["norm.scaled = Mul", "norm = Add", "y = Relu"]);
    }

    #[test]
    fn refuses_statistics_without_a_deviation() {
        assert_refused("a negative variance", &network(-1.0), run);
    }
}
