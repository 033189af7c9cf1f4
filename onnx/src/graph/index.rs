//! The producer and the readers of each value of a graph.

use std::collections::BTreeMap;

use super::Graph;

/// A view of a graph by value, computed by [`Graph::index`].
#[derive(Debug)]
pub struct Index<'g> {
    graph: &'g Graph,
    producers: BTreeMap<&'g str, usize>,
    readers: BTreeMap<&'g str, Vec<usize>>,
}

impl Graph {
    /// Finds the producer and the readers of every value.
    pub fn index(&self) -> Index<'_> {
        let mut producers = BTreeMap::new();
        let mut readers = BTreeMap::<_, Vec<_>>::new();
        for (position, node) in self.nodes.iter().enumerate() {
            producers.insert(node.name.as_str(), position);
            for input in &node.inputs {
                readers.entry(input.as_str()).or_default().push(position);
            }
        }
        Index { graph: self, producers, readers }
    }
}

impl Index<'_> {
    /// Returns the position in `nodes` of the node that computes the value; `None` for inputs and
    /// initializers.
    pub fn producer(&self, value: &str) -> Option<usize> {
        self.producers.get(value).copied()
    }

    /// Returns the positions in `nodes` of the nodes that read the value, once for each time they
    /// do.
    pub fn readers(&self, value: &str) -> &[usize] {
        self.readers.get(value).map_or(&[], Vec::as_slice)
    }

    /// Returns the position in `nodes` of the only reader of the value: a node that reads it once,
    /// if no other node and no caller does.
    pub fn sole_reader(&self, value: &str) -> Option<usize> {
        match self.readers(value) {
            [reader] if !self.graph.outputs.iter().any(|output| output == value) => Some(*reader),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::graph::example;

    #[test]
    fn a_sole_reader_is_alone_in_seeing_the_value() {
        let mut graph = example::encoder_decoder();
        graph.outputs.push("gate.relu".to_owned());
        let index = graph.index();
        let reader = |value: &str| index.sole_reader(value).map(|node| graph.nodes[node].name.as_str());
        for (name, value, expected) in [
            ("one reader", "in_conv.conv", Some("in_conv.norm")),
            ("a constant", "in_conv.conv.weight", Some("in_conv.conv")),
            ("the image", "input", Some("in_conv.reflect")),
            ("several readers", "in_conv.gelu", None),
            ("a reader and the caller", "gate.relu", None),
            ("the caller", "logits", None),
            ("nobody", "nothing", None),
        ] {
            assert_eq!(reader(value), expected, "{name}");
        }
    }
}
