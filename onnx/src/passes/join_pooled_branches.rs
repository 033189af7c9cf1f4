//! Computes several branches of 1x1 convolutions over pooled values in one.
//!
//! For `y1 = f(W1*x1 + b1)` and `y2 = f(W2*x2 + b2)` on maps of one pixel, `(y1, y2)` is `f(W*(x1,
//! x2) + (b1, b2))` with `W1` and `W2` on the diagonal of `W` and zeros beside them; `f` works on
//! single elements. The same holds for each convolution that follows. Such convolutions do next to
//! nothing, and each is a kernel of a GPU: the gates of several skips cost as many launches as one.
//!
//! Refuses branches whose operators differ, that need each other's results, or whose number of
//! images differs, those of concatenations, and more branches than leave the zeros few.

use std::collections::BTreeSet;

use super::conv_parameters::{ConvParameters, add_conv};
use crate::graph::{Conv, Graph, Index, Op, Tensor};

/// The most weights beside those that the branches have, as a factor.
const WEIGHTS_MAX: usize = 4;

pub(super) fn run(graph: &mut Graph) -> Vec<String> {
    super::rewrite_everywhere(graph, Branches::at, Branches::apply)
}

/// Branches of equal operators, each a list of nodes, one after another.
struct Branches(Vec<Vec<String>>);

impl Branches {
    fn at(graph: &Graph, index: &Index<'_>, first: usize) -> Option<Self> {
        let chosen = branch(graph, index, first)?;
        let batch = |branch: &[usize]| graph.nodes[branch[0]].output.shape.first();
        let same_kind = |other: &[usize]| {
            let pairs = chosen.iter().zip(other);
            let alike = |(one, other): (&usize, &usize)| {
                let [one, other] = [one, other].map(|node| &graph.nodes[*node].op);
                one == other
            };
            other.len() == chosen.len() && batch(other) == batch(&chosen) && pairs.into_iter().all(alike)
        };
        let mut branches = vec![chosen.clone()];
        for node in first + 1..graph.nodes.len() {
            let Some(other) = branch(graph, index, node).filter(|other| same_kind(other)) else { continue };
            let needs_another = branches.iter().any(|known| {
                let [one, two] = [known, &other].map(|branch| needed(graph, index, branch[0]));
                two.contains(&known[known.len() - 1]) || one.contains(&other[other.len() - 1])
            });
            branches.push(other);
            if needs_another || !is_small(graph, index, &branches) {
                branches.pop();
            }
        }
        let named = |branch: Vec<usize>| branch.into_iter().map(|node| graph.nodes[node].name.clone()).collect();
        (branches.len() > 1).then(|| Self(branches.into_iter().map(named).collect()))
    }

    fn apply(self, graph: &mut Graph) -> String {
        let Self(branches) = self;
        let index = graph.index();
        let at = |name: &String| index.producer(name).expect("the branches were read from this graph");
        let inputs: Vec<_> = branches.iter().map(|branch| graph.nodes[at(&branch[0])].inputs[0].clone()).collect();
        let sizes: Vec<_> = branches.iter().map(|branch| filters(graph, &index, branch)).collect();
        let steps: Vec<_> = (0..branches[0].len())
            .map(|step| {
                let nodes: Vec<_> = branches.iter().map(|branch| at(&branch[step])).collect();
                let joined =
                    matches!(graph.nodes[nodes[0]].op, Op::Conv(_)).then(|| on_diagonal(graph, &index, &nodes));
                (graph.nodes[nodes[0]].clone(), joined)
            })
            .collect();
        for name in branches.iter().flatten() {
            graph.take_node(name);
        }
        let inputs: Vec<_> = inputs.iter().map(String::as_str).collect();
        let mut value = graph.add_node(&format!("{}.operands", branches[0][0]), Op::Concat { axis: 1 }, &inputs);
        for (node, joined) in steps {
            let name = format!("{}.joined", node.name);
            value = match joined {
                Some((weight, bias)) => add_conv(graph, &name, &value, weight, Some(bias), Conv::default()),
                None => graph.add_node(&name, node.op, &[&value]),
            };
        }
        let mut start = 0;
        for (branch, size) in branches.iter().zip(sizes) {
            let end = start + size as i64;
            let last = &branch[branch.len() - 1];
            let mut constant =
                |part: &str, at: i64| graph.add_constant(&format!("{last}.{part}"), Tensor::vector(vec![at]));
            let [from, to, axes] = [constant("start", start), constant("end", end), constant("axis", 1)];
            graph.add_node(last, Op::Slice, &[&value, &from, &to, &axes]);
            start = end;
        }
        branches[0][0].clone()
    }
}

/// Returns the nodes from a 1x1 convolution over pooled values to where something else reads its
/// result.
fn branch(graph: &Graph, index: &Index<'_>, first: usize) -> Option<Vec<usize>> {
    let before = graph.nodes[first].inputs.first().and_then(|x| index.producer(x));
    let continues = before.is_some_and(|node| conv_shape(graph, index, node).is_some() || is_unary(graph, node));
    let is_joined = before.is_some_and(|node| matches!(graph.nodes[node].op, Op::Concat { .. }));
    conv_shape(graph, index, first).filter(|_| !continues && !is_joined)?;
    let mut nodes = vec![first];
    while let Some(next) = index.sole_reader(&graph.nodes[nodes[nodes.len() - 1]].name) {
        let reads_image = graph.nodes[next].inputs.first() == Some(&graph.nodes[nodes[nodes.len() - 1]].name);
        if !reads_image || !(conv_shape(graph, index, next).is_some() || is_unary(graph, next)) {
            break;
        }
        nodes.push(next);
    }
    Some(nodes)
}

fn is_unary(graph: &Graph, node: usize) -> bool {
    is_pooled(graph, node) && matches!(graph.nodes[node].op, Op::Relu | Op::Sigmoid | Op::Tanh | Op::Gelu)
}

fn is_pooled(graph: &Graph, node: usize) -> bool {
    let shape = &graph.nodes[node].output.shape;
    shape.len() == 4 && shape[2..].iter().all(|size| size.as_constant() == Some(1))
}

/// Returns filters and channels of a 1x1 convolution over pooled values.
fn conv_shape(graph: &Graph, index: &Index<'_>, node: usize) -> Option<[usize; 2]> {
    if !is_pooled(graph, node) || graph.nodes[node].op != Op::Conv(Conv::default()) {
        return None;
    }
    let (parameters, _) = ConvParameters::from_conv(graph, index, node)?;
    let [filters, channels, 1, 1] = parameters.shape() else { return None };
    Some([filters, channels])
}

/// Returns true if the joined convolutions have few weights beside those of the branches.
fn is_small(graph: &Graph, index: &Index<'_>, branches: &[Vec<usize>]) -> bool {
    (0..branches[0].len()).all(|step| {
        let shapes: Vec<_> = branches.iter().filter_map(|branch| conv_shape(graph, index, branch[step])).collect();
        let [filters, channels] = [0, 1].map(|axis| shapes.iter().map(|shape| shape[axis]).sum::<usize>());
        filters * channels <= WEIGHTS_MAX * shapes.iter().map(|shape| shape[0] * shape[1]).sum::<usize>()
    })
}

/// Returns the channels that a branch gives.
fn filters(graph: &Graph, index: &Index<'_>, branch: &[String]) -> usize {
    let nodes = branch.iter().rev().filter_map(|name| index.producer(name));
    nodes.filter_map(|node| conv_shape(graph, index, node)).map(|[filters, _]| filters).next().unwrap_or(0)
}

/// Returns the convolutions' weights on the diagonal of one weight, and their biases.
#[allow(clippy::type_complexity, reason = "the parameters of `add_conv`")]
fn on_diagonal(graph: &Graph, index: &Index<'_>, nodes: &[usize]) -> (([usize; 4], Vec<f64>), Vec<f64>) {
    let parameters: Vec<_> = nodes
        .iter()
        .map(|node| ConvParameters::from_conv(graph, index, *node).expect("the branches were read before").0)
        .collect();
    let channels: usize = parameters.iter().map(|parameters| parameters.shape()[1]).sum();
    let (mut weight, mut bias, mut before) = (Vec::new(), Vec::new(), 0);
    for parameters in &parameters {
        let own = parameters.shape()[1];
        for row in parameters.weights().chunks_exact(own) {
            weight.extend(std::iter::repeat_n(0.0, before));
            weight.extend(row);
            weight.extend(std::iter::repeat_n(0.0, channels - before - own));
        }
        bias.extend(&parameters.bias);
        before += own;
    }
    (([bias.len(), channels, 1, 1], weight), bias)
}

/// Lists the nodes that a node is computed from.
fn needed(graph: &Graph, index: &Index<'_>, node: usize) -> BTreeSet<usize> {
    let (mut needed, mut open) = (BTreeSet::new(), vec![node]);
    while let Some(node) = open.pop() {
        let inputs = graph.nodes[node].inputs.iter().filter_map(|input| index.producer(input));
        open.extend(inputs.filter(|input| needed.insert(*input)));
    }
    needed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::example::Random;
    use crate::graph::{Dim, GraphBuilder};
    use crate::passes::agreement::{assert_agree, assert_refused};

    /// Builds maps of the given channels from one image, each scaled by what is computed of its
    /// mean. Each map is computed from the image, or from the scaled map before.
    fn network(channels: &[usize], in_a_row: bool, activations: &[Op]) -> Graph {
        let mut random = Random(3);
        let mut builder = GraphBuilder::new("network");
        let image = builder.input("image", [Dim::batch(), 4.into(), Dim::height(), Dim::width()]).unwrap();
        let mut root = builder.root();
        let (mut x, mut read, mut sum) = (image, 4, None);
        for (place, &count) in channels.iter().enumerate() {
            let mut scope = root.scope(&format!("gate{place}"));
            let map = scope.conv("map", x, random.tensor([count, read, 1, 1]), None, Conv::default()).unwrap();
            let mean = scope.global_average_pool("mean", map).unwrap();
            let reduce = random.tensor([2, count, 1, 1]);
            let y = scope.conv("reduce", mean, reduce, Some(random.tensor([2])), Conv::default()).unwrap();
            let y = scope.relu("relu", y).unwrap();
            let y = scope.conv("restore", y, random.tensor([count, 2, 1, 1]), None, Conv::default()).unwrap();
            let y = scope.node("factor", activations[place % activations.len()].clone(), &[y]).unwrap();
            let y = scope.mul("scaled", map, y).unwrap();
            let mixed = scope.conv("mixed", y, random.tensor([4, count, 1, 1]), None, Conv::default()).unwrap();
            if in_a_row {
                (x, read) = (mixed, 4);
            }
            sum = Some(match sum {
                Some(sum) => scope.add("sum", sum, mixed).unwrap(),
                None => mixed,
            });
        }
        let y = root.relu("y", sum.unwrap()).unwrap();
        builder.finish(&[("y", y)]).unwrap()
    }

    #[test]
    fn branches_that_do_not_need_each_other_become_one_and_the_outputs_agree() {
        let before = network(&[3, 5, 8], false, &[Op::Sigmoid]);
        let mut after = before.clone();
        assert_eq!(run(&mut after), ["gate0.reduce"]);
        after.check().unwrap();
        assert_agree(&before, &after);
        let named = |part: &str| -> Vec<String> {
            let nodes = after.nodes.iter().filter(|node| node.name.contains(part));
            nodes.map(ToString::to_string).collect()
        };
        assert_eq!(
            named("reduce")[..2],
            [
                "gate0.reduce.operands: f32[batch, 16, 1, 1] = Concat(gate0.mean, gate1.mean, gate2.mean) axis=1",
                "gate0.reduce.joined: f32[batch, 6, 1, 1] = Conv(gate0.reduce.operands, gate0.reduce.joined.weight, \
                 gate0.reduce.joined.bias) strides=[1, 1] pads=[0, 0, 0, 0] dilations=[1, 1] group=1",
            ]
        );
        assert_eq!(named("gate2.factor").len(), 1);
        let weight = after.initializers["gate0.restore.joined.weight"].as_f32().unwrap();
        assert_eq!(weight.len(), 16 * 6);
        assert_eq!(weight.iter().filter(|value| **value != 0.0).count(), 16 * 2, "zeros beside the diagonal");
        assert_eq!(run(&mut after), Vec::<String>::new());
    }

    #[test]
    fn refuses_branches_that_differ_or_depend_on_each_other() {
        assert_refused("in a row", &network(&[3, 5], true, &[Op::Sigmoid]), run);
        assert_refused("other activations", &network(&[3, 5], false, &[Op::Sigmoid, Op::Tanh]), run);
        assert_refused("alone", &network(&[3], false, &[Op::Sigmoid]), run);
        // Six of one size would have six times their weights.
        let mut graph = network(&[3; 6], false, &[Op::Sigmoid]);
        assert_eq!(run(&mut graph), ["gate0.reduce", "gate4.reduce"]);
    }
}
