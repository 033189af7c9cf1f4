//! Writes `Gelu` out in operators that opset 17 has.
//!
//! `gelu(x) = x/2 * (1 + erf(x/sqrt(2)))` as `Mul(Mul(x, Add(Erf(Div(x, sqrt(2))), 1)), 1/2)`: the order of operations
//! that ONNX Runtime recognises and fuses again. All share the three constants.
//!
//! Always applies.

use crate::graph::{Graph, Node, Op, Tensor};

pub(super) fn run(graph: &mut Graph) -> Vec<String> {
    let is_gelu = |node: &&Node| node.op == Op::Gelu;
    let fired: Vec<_> = graph.nodes.iter().filter(is_gelu).map(|node| node.name.clone()).collect();
    if fired.is_empty() {
        return fired;
    }
    let mut constant = |name: &str, value: f32| {
        let name = graph.unused_name(name);
        graph.initializers.insert(name.clone(), Tensor::scalar(value));
        name
    };
    let sqrt_2 = constant("gelu.sqrt_2", std::f32::consts::SQRT_2);
    let one = constant("gelu.one", 1.0);
    let half = constant("gelu.half", 0.5);
    while let Some(position) = graph.nodes.iter().position(|node| node.op == Op::Gelu) {
        let gelu = graph.nodes[position].clone();
        let x = &gelu.inputs[0];
        let step = |part: &str, op: Op, operands: &[&String]| Node {
            name: graph.unused_name(&format!("{}.{part}", gelu.name)),
            op,
            inputs: operands.iter().copied().cloned().collect(),
            output: gelu.output.clone(),
        };
        let quotient = step("div", Op::Div, &[x, &sqrt_2]);
        let erf = step("erf", Op::Erf, &[&quotient.name]);
        let sum = step("add", Op::Add, &[&erf.name, &one]);
        let product = step("mul", Op::Mul, &[x, &sum.name]);
        let result = Node { op: Op::Mul, inputs: vec![product.name.clone(), half.clone()], ..gelu };
        graph.nodes.splice(position..=position, [quotient, erf, sum, product, result]);
    }
    fired
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
