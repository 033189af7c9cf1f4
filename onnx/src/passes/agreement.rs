//! Assertions that a rewritten graph computes the same values as before.

use ndarray::{ArrayD, IxDyn};

use crate::evaluate::{Array, evaluate};
use crate::graph::example::Random;
use crate::graph::{Dim, Graph, GraphBuilder, Op};

/// The tolerance relative to the largest value of a tensor; a rewrite rounds its new weights to 32
/// bits, each by 6e-8 of its value.
const TOLERANCE: f64 = 1e-6;

/// Makes a network of operators with one input each, one behind the other.
pub(super) fn sequence(ops: &[Op]) -> Graph {
    let mut builder = GraphBuilder::new("network");
    let mut x = builder.input("image", [Dim::batch(), 3.into(), Dim::height(), Dim::width()]).unwrap();
    for (index, op) in ops.iter().enumerate() {
        x = builder.root().node(&format!("step{index}"), op.clone(), &[x]).unwrap();
    }
    builder.finish(&[("y", x)]).unwrap()
}

/// Asserts that all nodes whose names both graphs share, including outputs, have the same values on
/// random images of several sizes, odd ones too.
#[track_caller]
pub(super) fn assert_agree(before: &Graph, after: &Graph) {
    for sizes in [[1, 7, 9], [2, 12, 8], [3, 5, 6]] {
        assert_agree_on(sizes, before, after);
    }
}

/// Asserts the same on random images of a number, height and width.
#[track_caller]
pub(super) fn assert_agree_on(sizes: [usize; 3], before: &Graph, after: &Graph) {
    assert_eq!((&before.inputs, &before.outputs), (&after.inputs, &after.outputs));
    if let Some(difference) = first_difference(before, after, sizes) {
        panic!("{difference} on images of {sizes:?}");
    }
}

/// Asserts that a pass does not change a graph.
#[track_caller]
pub(super) fn assert_refused(name: &str, before: &Graph, run: fn(&mut Graph) -> Vec<String>) {
    let mut after = before.clone();
    before.check().unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(run(&mut after), Vec::<String>::new(), "{name}");
    assert_eq!(&after, before, "{name}");
}

fn first_difference(before: &Graph, after: &Graph, [batch, height, width]: [usize; 3]) -> Option<String> {
    let mut random = Random(11);
    let bindings = [("batch", batch), ("height", height), ("width", width)].map(|(name, size)| (name, size as i64));
    let inputs: Vec<_> = before
        .inputs
        .iter()
        .map(|input| {
            let shape = input.tensor_type.shape.iter().map(|dim| dim.evaluate(&bindings).unwrap() as usize);
            let shape: Vec<_> = shape.collect();
            let values = ArrayD::from_shape_fn(IxDyn(&shape), |_| f64::from(random.number()));
            (input.name.as_str(), values)
        })
        .collect();
    let after_index = after.index();
    let names: Vec<_> = before.nodes.iter().map(|node| node.name.as_str()).collect();
    let shared: Vec<_> = names.into_iter().filter(|name| after_index.producer(name).is_some()).collect();
    let (expected, found) = (evaluate(before, &inputs, &shared).unwrap(), evaluate(after, &inputs, &shared).unwrap());
    shared.into_iter().find_map(|name| match (&expected[name], &found[name]) {
        (Array::F64(expected), Array::F64(found)) => {
            let largest = expected.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
            let worst = (expected - found).iter().fold(0.0, |worst: f64, value| worst.max(value.abs()));
            // A comparison with NaN is false, so NaN counts as a difference.
            let agrees = worst <= TOLERANCE * largest;
            (!agrees).then(|| format!("`{name}` differs by up to {worst:e}, its largest value is {largest:e}"))
        }
        (expected, found) => (expected != found).then(|| format!("`{name}` differs")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Conv, Op, PadMode, example};

    #[test]
    fn a_planted_fault_is_seen_and_placed() {
        type Fault = fn(&mut Op);
        let rows: [(&str, Fault, &str); 4] = [
            ("in_conv.reflect", |op| *op = Op::Pad { mode: PadMode::Edge }, "`in_conv.reflect` differs"),
            ("in_conv.norm", |op| *op = Op::BatchNormalization { epsilon: 1e-2 }, "`in_conv.norm` differs"),
            (
                "down.strip",
                |op| *op = Op::Conv(Conv { pads: [0, 1, 0, 3], dilations: [1, 2], group: 6, ..Conv::default() }),
                "`down.strip` differs",
            ),
            ("gate.sigmoid", |op| *op = Op::Relu, "`gate.sigmoid` differs"),
        ];
        for (node, fault, message) in rows {
            let mut faulty = example::encoder_decoder();
            let found = faulty.nodes.iter_mut().find(|found| found.name == node).unwrap();
            fault(&mut found.op);
            let difference = first_difference(&example::encoder_decoder(), &faulty, [1, 7, 9]).unwrap();
            assert!(difference.starts_with(message), "{node}: {difference}");
        }
    }
}
