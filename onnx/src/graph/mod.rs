//! A model as a graph of typed operators.

mod attribute;
mod builder;
mod check;
mod cost;
mod dim;
mod display;
mod edit;
#[cfg(test)]
pub(crate) mod example;
mod index;
mod infer;
mod op;
mod tensor;
mod tensor_type;

use std::collections::{BTreeMap, BTreeSet};

pub use attribute::{Attribute, AttributeError};
pub use builder::{BatchNorm, BuildError, GraphBuilder, Scope, Value};
pub use check::CheckError;
pub use cost::{Cost, NodeCost};
pub use dim::{Dim, DimError};
pub use index::Index;
pub use infer::{Content, Fact, InferError, Mismatch, infer};
pub use op::{AveragePool, Conv, Coordinates, MaxPool, Op, PadMode, ResizeBy, ResizeMode};
pub use tensor::{Data, Tensor, TensorError};
pub use tensor_type::{DataType, TensorType};

/// A model: inputs, constants and the nodes that compute the outputs from them.
///
/// Everything is keyed by name; inputs, initializers and nodes share one namespace. Names are paths
/// in the model (`down3.amse.attention.ams.strip_5.vertical`), and those of initializers extend the
/// path of the module that owns them (`....vertical.weight`). [`check`](Self::check) lists and
/// verifies the invariants of a graph.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    /// The name of the model.
    pub name: String,
    /// The values that a caller provides, in order.
    pub inputs: Vec<Input>,
    /// The names of the nodes whose outputs a caller receives, in order.
    pub outputs: Vec<String>,
    /// The computation, each node after those that it reads from.
    pub nodes: Vec<Node>,
    /// The constants, by name.
    pub initializers: BTreeMap<String, Tensor>,
}

/// A value that the caller provides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// Element type and shape.
    pub tensor_type: TensorType,
}

/// One operation, which computes one value.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The name of the node and of the value that it computes.
    pub name: String,
    /// The operator.
    pub op: Op,
    /// The names of its operands.
    pub inputs: Vec<String>,
    /// Element type and shape of the value that it computes.
    pub output: TensorType,
}

impl Graph {
    /// Removes the initializers that no node reads.
    pub fn drop_unread_initializers(&mut self) {
        let Self { nodes, initializers, .. } = self;
        let read: BTreeSet<_> = nodes.iter().flat_map(|node| &node.inputs).collect();
        initializers.retain(|name, _| read.contains(name));
    }

    /// Returns `name` if it is unused, and otherwise `name_2`, `name_3` and so on.
    pub fn unused_name(&self, name: &str) -> String {
        let taken = |name: &str| self.initializers.contains_key(name) || self.tensor_type(name).is_some();
        let mut unused = name.to_owned();
        let mut number = 1;
        while taken(&unused) {
            number += 1;
            unused = format!("{name}_{number}");
        }
        unused
    }

    /// Returns the type of a computed value or an input.
    pub fn tensor_type(&self, name: &str) -> Option<&TensorType> {
        let computed = self.nodes.iter().find(|node| node.name == name).map(|node| &node.output);
        computed.or_else(|| self.inputs.iter().find(|input| input.name == name).map(|input| &input.tensor_type))
    }
}
