//! Averages over height and width with the channels in the last axis.
//!
//! The mean of each channel does not depend on the order of the axes. TensorRT keeps maps between
//! convolutions with the channels last. A mean over two axes that lie behind the channels makes it
//! write the map a second time, in the other order, in a kernel of its own, which also computes the
//! activation that the convolution in front would have computed. Between two `Transpose`s the mean
//! reads the map as it lies.
//!
//! Needs opset 18, whose `ReduceMean` is the only one in these graphs. Refuses maps that do not
//! have four axes.

use super::rewrite_everywhere;
use crate::graph::{Graph, Index, Op, Tensor};

pub(super) fn run(graph: &mut Graph) -> Vec<String> {
    rewrite_everywhere(graph, find, apply)
}

/// The average and its operand.
struct Average {
    average: String,
    x: String,
}

fn find(graph: &Graph, _: &Index<'_>, node: usize) -> Option<Average> {
    let average = &graph.nodes[node];
    let x = average.inputs.first().filter(|_| average.op == Op::GlobalAveragePool)?;
    let has_four_axes = graph.tensor_type(x).is_some_and(|known| known.shape.len() == 4);
    has_four_axes.then(|| Average { average: average.name.clone(), x: x.clone() })
}

fn apply(Average { average, x }: Average, graph: &mut Graph) -> String {
    graph.take_node(&average);
    let axes = graph.add_constant(&format!("{average}.axes"), Tensor::vector(vec![1, 2]));
    let last = Op::Transpose { perm: vec![0, 2, 3, 1] };
    let last = graph.add_node(&format!("{average}.channels_last"), last, &[&x]);
    let mean = graph.add_node(&format!("{average}.mean"), Op::ReduceMean, &[&last, &axes]);
    graph.add_node(&average, Op::Transpose { perm: vec![0, 3, 1, 2] }, &[&mean])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passes::agreement::{assert_agree, assert_refused, sequence};

    #[test]
    fn every_average_keeps_its_name_and_value() {
        let before = sequence(&[Op::Relu, Op::GlobalAveragePool, Op::Sigmoid]);
        let mut after = before.clone();
        assert_eq!(run(&mut after), ["step1"]);
        after.check().unwrap();
        assert_agree(&before, &after);
        let lines: Vec<_> = after.nodes.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines[1..4],
            [
                "step1.channels_last: f32[batch, height, width, 3] = Transpose(step0) perm=[0, 2, 3, 1]",
                "step1.mean: f32[batch, 1, 1, 3] = ReduceMean(step1.channels_last, step1.axes)",
                "step1: f32[batch, 3, 1, 1] = Transpose(step1.mean) perm=[0, 3, 1, 2]",
            ]
        );
        assert_eq!(run(&mut after), Vec::<String>::new());
    }

    #[test]
    fn leaves_other_operators_alone() {
        assert_refused("others", &sequence(&[Op::Relu, Op::GlobalMaxPool]), run);
    }
}
