//! Replaces `Gelu` by operators of opset 17.
//!
//! `gelu(x) = x/2 * (1 + erf(x/sqrt(2)))` as `Mul(Mul(x, Add(Erf(Div(x, sqrt(2))), 1)), 1/2)`: the
//! order of operations that ONNX Runtime recognises and fuses again. All share the three constants.
//!
//! Always applies.

use crate::graph::{Graph, Node, Op, Tensor};

pub(super) fn run(graph: &mut Graph) -> Vec<String> {
    let is_gelu = |node: &&Node| node.op == Op::Gelu;
    let fired: Vec<_> = graph.nodes.iter().filter(is_gelu).map(|node| node.name.clone()).collect();
    if fired.is_empty() {
        return fired;
    }
    let sqrt_2 = graph.add_constant("gelu.sqrt_2", Tensor::scalar(std::f32::consts::SQRT_2));
    let one = graph.add_constant("gelu.one", Tensor::scalar(1.0));
    let half = graph.add_constant("gelu.half", Tensor::scalar(0.5));
    while let Some(position) = graph.nodes.iter().position(|node| node.op == Op::Gelu) {
        let gelu = graph.nodes[position].clone();
        let x = &gelu.inputs[0];
        let quotient = step(graph, &gelu, "div", Op::Div, &[x, &sqrt_2]);
        let erf = step(graph, &gelu, "erf", Op::Erf, &[&quotient.name]);
        let sum = step(graph, &gelu, "add", Op::Add, &[&erf.name, &one]);
        let product = step(graph, &gelu, "mul", Op::Mul, &[x, &sum.name]);
        let result = Node { op: Op::Mul, inputs: vec![product.name.clone(), half.clone()], ..gelu };
        graph.nodes.splice(position..=position, [quotient, erf, sum, product, result]);
    }
    fired
}

/// Creates a node of the output type of `gelu`, under an unused name below its name.
fn step(graph: &Graph, gelu: &Node, part: &str, op: Op, operands: &[&String]) -> Node {
    Node {
        name: graph.unused_name(&format!("{}.{part}", gelu.name)),
        op,
        inputs: operands.iter().copied().cloned().collect(),
        output: gelu.output.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Dim, GraphBuilder};
    use crate::passes::agreement::{assert_agree, assert_refused};

    fn network(activations: &[Op]) -> Graph {
        let mut builder = GraphBuilder::new("network");
        let mut x = builder.input("image", [Dim::batch(), 3.into(), Dim::height(), Dim::width()]).unwrap();
        for (index, activation) in activations.iter().enumerate() {
            x = builder.root().node(&format!("step{index}"), activation.clone(), &[x]).unwrap();
        }
        builder.finish(&[("y", x)]).unwrap()
    }

    #[test]
    fn fires_on_every_gelu_and_the_outputs_agree() {
        let before = network(&[Op::Gelu, Op::Relu, Op::Gelu]);
        let mut after = before.clone();
        assert_eq!(run(&mut after), ["step0", "y"]);
        after.check().unwrap();
        assert_agree(&before, &after);
    }

    #[test]
    fn leaves_other_operators_alone() {
        assert_refused("others", &network(&[Op::Erf, Op::Relu, Op::Sigmoid]), run);
    }

    #[test]
    fn the_last_step_keeps_the_name() {
        let mut graph = network(&[Op::Gelu]);
        run(&mut graph);
        let lines: Vec<_> = graph.to_string().lines().map(str::to_owned).collect();
        assert_eq!(
            lines,
            [
                "graph network",
                "input image: f32[batch, 3, height, width]",
                "const gelu.sqrt_2: f32[] = [1.4142135]",
                "y.div: f32[batch, 3, height, width] = Div(image, gelu.sqrt_2)",
                "y.erf: f32[batch, 3, height, width] = Erf(y.div)",
                "const gelu.one: f32[] = [1.0]",
                "y.add: f32[batch, 3, height, width] = Add(y.erf, gelu.one)",
                "y.mul: f32[batch, 3, height, width] = Mul(image, y.add)",
                "const gelu.half: f32[] = [0.5]",
                "y: f32[batch, 3, height, width] = Mul(y.mul, gelu.half)",
                "output y",
            ]
        );
    }
}
