//! Changes to a graph that keep the rest of it consistent.

use std::collections::{BTreeMap, BTreeSet};

use super::{Content, Data, DataType, Dim, Graph, Node, Op, Tensor, TensorType};

impl Graph {
    /// Adds a node under an unused name like the given one, and returns the name. The node's type
    /// and its place in the order may be wrong until [`tidy`](Self::tidy).
    pub(crate) fn add_node(&mut self, name: &str, op: Op, inputs: &[&str]) -> String {
        let name = self.unused_name(name);
        let inputs = inputs.iter().copied().map(str::to_owned).collect();
        self.nodes.push(Node { name: name.clone(), op, inputs, output: TensorType::new(DataType::F32, []) });
        name
    }

    /// Adds a constant under an unused name like the given one, and returns the name.
    pub(crate) fn add_constant(&mut self, name: &str, tensor: Tensor) -> String {
        let name = self.unused_name(name);
        self.initializers.insert(name.clone(), tensor);
        name
    }

    /// Removes a node, so that another can have its name.
    pub(crate) fn take_node(&mut self, name: &str) -> Option<Node> {
        let position = self.nodes.iter().position(|node| node.name == name)?;
        Some(self.nodes.remove(position))
    }

    /// Makes every reader of `value` read `other`.
    pub fn redirect(&mut self, value: &str, other: &str) {
        for input in self.nodes.iter_mut().flat_map(|node| &mut node.inputs).filter(|input| *input == value) {
            other.clone_into(input);
        }
    }

    /// Removes nodes that no output needs and constants that no node reads, moves each node behind
    /// those that it reads from, keeping the order otherwise, and infers all types again.
    ///
    /// A graph that has no order, or whose operands do not fit, is left for [`check`](Self::check)
    /// to refuse.
    pub fn tidy(&mut self) {
        let producers: BTreeMap<&str, usize> =
            self.nodes.iter().enumerate().map(|(position, node)| (node.name.as_str(), position)).collect();
        let needs =
            |position: usize| self.nodes[position].inputs.iter().filter_map(|input| producers.get(input.as_str()));
        let mut needed = BTreeSet::new();
        let mut open: Vec<usize> =
            self.outputs.iter().filter_map(|output| producers.get(output.as_str()).copied()).collect();
        while let Some(position) = open.pop() {
            if needed.insert(position) {
                open.extend(needs(position));
            }
        }
        let (mut order, mut begun, mut placed) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        for &first in &needed {
            let mut stack = vec![first];
            while let Some(&position) = stack.last() {
                // A node that is begun twice before it is placed depends on itself: it is placed as
                // it is.
                let missing: Vec<_> = if begun.insert(position) {
                    needs(position).copied().filter(|needed| !begun.contains(needed)).collect()
                } else {
                    Vec::new()
                };
                if missing.is_empty() {
                    stack.pop();
                    if placed.insert(position) {
                        order.push(position);
                    }
                }
                stack.extend(missing.into_iter().rev());
            }
        }
        let mut nodes: Vec<_> = self.nodes.drain(..).map(Some).collect();
        self.nodes = order.into_iter().filter_map(|position| nodes[position].take()).collect();
        self.drop_unread_initializers();
        // A value that does not fit keeps its recorded type, for the check to name it.
        let _ = self.infer_outputs();
    }

    /// Returns the elements of a vector of integers, as far as they are known before the graph
    /// runs.
    pub(crate) fn known_integers(&self, value: &str) -> Option<Vec<Dim>> {
        if let Some(constant) = self.initializers.get(value) {
            let Data::I64(values) = constant.data() else { return None };
            return Some(values.iter().copied().map(Dim::from).collect());
        }
        let position = self.nodes.iter().position(|node| node.name == value)?;
        match self.facts().ok()?.swap_remove(position).content {
            Content::Integers(values) => Some(values),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::example;

    #[test]
    fn a_tidy_graph_stays_as_it_is() {
        let mut graph = example::encoder_decoder();
        graph.tidy();
        assert_eq!(graph, example::encoder_decoder());
    }

    #[test]
    fn nodes_find_their_place_and_type_and_what_is_unread_goes() {
        let mut graph = example::encoder_decoder();
        let sum = graph.take_node("gate.sum").unwrap();
        let twice = graph.add_node("gate.twice", Op::Add, &["down.gelu", "down.gelu"]);
        assert_eq!(graph.add_node("gate.sum", sum.op, &["gate.product", &twice]), "gate.sum");
        graph.add_node("gate.unread", Op::Relu, &[&twice]);
        graph.add_constant("gate.unread_constant", Tensor::scalar(1.0));
        graph.tidy();
        graph.check().unwrap();
        let position = |name: &str| graph.nodes.iter().position(|node| node.name == name);
        assert_eq!(position("gate.twice").map(|place| place + 1), position("gate.sum"));
        assert_eq!(position("gate.unread"), None);
    }

    #[test]
    fn a_circle_is_left_to_be_refused() {
        let mut graph = example::encoder_decoder();
        graph.redirect("in_conv.reflect", "in_conv.gelu");
        graph.tidy();
        assert!(graph.check().is_err());
    }
}
