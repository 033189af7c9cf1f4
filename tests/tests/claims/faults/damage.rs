//! Changes to a graph and its weights.

use seg_onnx::graph::{Coordinates, Data, Graph, Node, Op, Tensor};

pub(super) fn node<'g>(graph: &'g mut Graph, name: &str) -> &'g mut Node {
    graph.nodes.iter_mut().find(|node| node.name == name).unwrap_or_else(|| panic!("no node `{name}`"))
}

pub(super) fn op<'g>(graph: &'g mut Graph, name: &str) -> &'g mut Op {
    &mut node(graph, name).op
}

pub(super) fn coordinates<'g>(graph: &'g mut Graph, name: &str) -> &'g mut Coordinates {
    match op(graph, name) {
        Op::Resize { coordinates, .. } => coordinates,
        other => panic!("`{name}` is {other:?}"),
    }
}

/// Changes the values of a constant.
pub(super) fn weights(graph: &mut Graph, name: &str, change: impl FnOnce(&mut [f32])) {
    let constant = graph.initializers.get_mut(name).unwrap_or_else(|| panic!("no constant `{name}`"));
    let mut values = constant.as_f32().unwrap().to_vec();
    change(&mut values);
    *constant = Tensor::new(constant.shape(), Data::F32(values)).unwrap();
}

/// Changes the values of a constant that a node reads.
pub(super) fn weights_of(graph: &mut Graph, name: &str, operand: usize, change: impl FnOnce(&mut [f32])) {
    let constant = node(graph, name).inputs[operand].clone();
    weights(graph, &constant, change);
}

pub(super) fn transpose(weights: &mut [f32]) {
    for kernel in weights.chunks_exact_mut(3 * 3) {
        for (above, below) in [(1, 3), (2, 6), (5, 7)] {
            kernel.swap(above, below);
        }
    }
}

pub(super) fn swap_red(weights: &mut [f32]) {
    for filter in weights.chunks_exact_mut(3 * 9) {
        let (red, others) = filter.split_at_mut(9);
        red.swap_with_slice(&mut others[9..]);
    }
}

/// Limits a value to at most 65504, the largest of half precision: `x - relu(x - 65504)`.
pub(super) fn saturate(graph: &mut Graph, name: &str) {
    let position = graph.nodes.iter().position(|node| node.name == name).unwrap();
    let output = graph.nodes[position].output.clone();
    let part = |part: &str| format!("{name}.{part}");
    graph.initializers.insert(part("largest"), Tensor::new([1], vec![65504.0_f32]).unwrap());
    graph.nodes[position].name = part("all");
    let nodes = [
        (part("beside"), Op::Sub, [part("all"), part("largest")].to_vec()),
        (part("beyond"), Op::Relu, [part("beside")].to_vec()),
        (name.to_owned(), Op::Sub, [part("all"), part("beyond")].to_vec()),
    ];
    let nodes = nodes.map(|(name, op, inputs)| Node { name, op, inputs, output: output.clone() });
    graph.nodes.splice(position + 1..=position, nodes);
}

/// Rounds to the eleven binary digits of half precision.
pub(super) fn shorten(value: &mut f32) {
    *value = f32::from_bits((value.to_bits() + 0x1000) & !0x1fff);
}
