//! The invariants of every graph, checked before the first pass, after each, before it is written
//! and after it is read.

use std::collections::{BTreeMap, BTreeSet};

use super::infer::{Fact, InferError, infer};
use super::{DimError, Graph, Node, TensorType};

/// An invariant that a graph breaks.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// An input, initializer or node has no name.
    #[error("{0} has no name")]
    Unnamed(&'static str),
    /// Two of inputs, initializers and nodes have the same name.
    #[error("the name `{0}` is given twice")]
    Duplicate(String),
    /// An axis of an input has a constant size below 1.
    #[error("input `{name}` has the impossible type {found}")]
    Input {
        /// The input.
        name: String,
        /// Its type.
        found: TensorType,
    },
    /// An initializer is too large for 64-bit sizes.
    #[error("cannot describe initializer `{name}`")]
    Initializer {
        /// The initializer.
        name: String,
        /// The defect of its size.
        #[source]
        cause: DimError,
    },
    /// A node reads something that does not exist or comes later.
    #[error("node `{node}` reads `{operand}`, which is not computed before it")]
    Dangling {
        /// The reader.
        node: String,
        /// The name of the missing value.
        operand: String,
    },
    /// The operands of a node do not fit its operator.
    #[error(transparent)]
    Infer(#[from] InferError),
    /// A node's recorded output is not what its operator gives.
    #[error("node `{node}` is recorded as {recorded} but computes {inferred}")]
    Output {
        /// The node.
        node: String,
        /// The type in the graph.
        recorded: TensorType,
        /// The type that follows from the operands.
        inferred: TensorType,
    },
    /// The graph has no outputs.
    #[error("the graph has no outputs")]
    NoOutputs,
    /// An output is not the value of a node, or is listed twice.
    #[error("output `{0}` is not the value of one node")]
    UnknownOutput(String),
    /// No node reads an initializer.
    #[error("no node reads initializer `{0}`")]
    Unread(String),
}

impl Graph {
    /// Checks that
    /// - inputs, initializers and nodes have unique names,
    /// - nodes are in topological order and read only what exists,
    /// - the recorded type and shape of every node's output is what inference finds,
    /// - outputs exist and are values of nodes,
    /// - every initializer is read.
    pub fn check(&self) -> Result<(), CheckError> {
        for (node, inferred) in self.nodes.iter().zip(self.facts()?) {
            if inferred.tensor_type != node.output {
                return Err(CheckError::Output {
                    node: node.name.clone(),
                    recorded: node.output.clone(),
                    inferred: inferred.tensor_type,
                });
            }
        }
        self.check_outputs()?;
        let read: BTreeSet<_> = self.nodes.iter().flat_map(|node| &node.inputs).collect();
        match self.initializers.keys().find(|name| !read.contains(name)) {
            Some(unread) => Err(CheckError::Unread(unread.clone())),
            None => Ok(()),
        }
    }

    /// Infers for every node the type and shape that follow from its operands, after a change
    /// before it.
    ///
    /// # Errors
    /// When names are missing or used twice, or operands do not exist or fit.
    pub fn infer_outputs(&mut self) -> Result<(), CheckError> {
        let facts = self.facts()?;
        for (node, fact) in self.nodes.iter_mut().zip(facts) {
            node.output = fact.tensor_type;
        }
        Ok(())
    }

    /// Returns the inferred facts about each node's output, in the order of the nodes.
    pub(crate) fn facts(&self) -> Result<Vec<Fact>, CheckError> {
        let mut facts = self.given_facts()?;
        for node in &self.nodes {
            let operands = node.inputs.iter().map(|operand| {
                facts
                    .get(operand.as_str())
                    .ok_or_else(|| CheckError::Dangling { node: node.name.clone(), operand: operand.clone() })
            });
            let operands = operands.collect::<Result<Vec<_>, _>>()?;
            let inferred = infer(&node.name, &node.op, &operands)?;
            insert(&mut facts, "a node", &node.name, inferred)?;
        }
        let mut computed = |node: &Node| facts.remove(node.name.as_str()).expect("each node has just been inferred");
        Ok(self.nodes.iter().map(&mut computed).collect())
    }

    fn given_facts(&self) -> Result<BTreeMap<&str, Fact>, CheckError> {
        let mut facts = BTreeMap::new();
        for input in &self.inputs {
            if input.tensor_type.shape.iter().filter_map(|size| size.as_constant()).any(|size| size < 1) {
                return Err(CheckError::Input { name: input.name.clone(), found: input.tensor_type.clone() });
            }
            insert(&mut facts, "an input", &input.name, Fact::from_type(input.tensor_type.clone()))?;
        }
        for (name, tensor) in &self.initializers {
            let fact =
                Fact::from_constant(tensor).map_err(|cause| CheckError::Initializer { name: name.clone(), cause })?;
            insert(&mut facts, "an initializer", name, fact)?;
        }
        Ok(facts)
    }

    fn check_outputs(&self) -> Result<(), CheckError> {
        if self.outputs.is_empty() {
            return Err(CheckError::NoOutputs);
        }
        let mut computed: BTreeSet<_> = self.nodes.iter().map(|node| &node.name).collect();
        match self.outputs.iter().find(|&output| !computed.remove(output)) {
            Some(output) => Err(CheckError::UnknownOutput(output.clone())),
            None => Ok(()),
        }
    }
}

fn insert<'g>(
    facts: &mut BTreeMap<&'g str, Fact>,
    what: &'static str,
    name: &'g str,
    fact: Fact,
) -> Result<(), CheckError> {
    if name.is_empty() {
        return Err(CheckError::Unnamed(what));
    }
    match facts.insert(name, fact) {
        Some(_) => Err(CheckError::Duplicate(name.to_owned())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Dim, Tensor, example};

    #[test]
    fn what_the_builder_makes_is_whole() {
        example::encoder_decoder().check().unwrap();
    }

    #[test]
    fn a_change_before_a_node_reaches_its_recorded_output() {
        let mut graph = example::encoder_decoder();
        graph.inputs[0].tensor_type.shape[0] = Dim::from(2);
        assert!(graph.check().is_err());
        graph.infer_outputs().unwrap();
        graph.check().unwrap();
        assert_eq!(graph.tensor_type("logits").unwrap().to_string(), "f32[2, 2, height, width]");
    }

    #[test]
    fn each_broken_invariant_is_named() {
        type Break = fn(&mut Graph);
        let rows: [(&str, Break, &str); 12] = [
            ("no name", |g| g.nodes[2].name.clear(), "a node has no name"),
            (
                "same name twice",
                |g| g.nodes[2].name = g.nodes[1].name.clone(),
                "the name `in_conv.conv` is given twice",
            ),
            (
                "node named like a constant",
                |g| g.nodes[1].name = "in_conv.conv.weight".to_owned(),
                "the name `in_conv.conv.weight` is given twice",
            ),
            (
                "order",
                |g| g.nodes.swap(0, 1),
                "node `in_conv.conv` reads `in_conv.reflect`, which is not computed before it",
            ),
            (
                "dangling read",
                |g| g.nodes[3].inputs[0] = "nothing".to_owned(),
                "node `in_conv.gelu` reads `nothing`, which is not computed before it",
            ),
            (
                "reads itself",
                |g| g.nodes[3].inputs[0] = g.nodes[3].name.clone(),
                "node `in_conv.gelu` reads `in_conv.gelu`, which is not computed before it",
            ),
            (
                "recorded shape",
                |g| g.nodes[3].output.shape[1] = Dim::from(5),
                "node `in_conv.gelu` is recorded as f32[batch, 5, height, width] but computes \
                 f32[batch, 4, height, width]",
            ),
            ("operands", |g| g.nodes[3].inputs.clear(), "cannot infer the output of `in_conv.gelu` (Gelu)"),
            ("no outputs", |g| g.outputs.clear(), "the graph has no outputs"),
            ("output twice", |g| g.outputs.push("logits".to_owned()), "output `logits` is not the value of one node"),
            (
                "unread constant",
                |g| drop(g.initializers.insert("spare".to_owned(), Tensor::scalar(1.0))),
                "no node reads initializer `spare`",
            ),
            (
                "empty image",
                |g| g.inputs[0].tensor_type.shape[2] = Dim::from(0),
                "input `input` has the impossible type f32[batch, 3, 0, width]",
            ),
        ];
        for (name, damage, message) in rows {
            let mut graph = example::encoder_decoder();
            damage(&mut graph);
            assert_eq!(graph.check().unwrap_err().to_string(), message, "{name}");
        }
    }
}
