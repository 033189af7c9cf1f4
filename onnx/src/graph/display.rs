//! A graph as text: one line for each value, in the order of computation.

use std::collections::BTreeSet;
use std::fmt;

use super::{Data, Graph, Node, Tensor};

/// Prints the graph; a constant stands before the first node that reads it, short ones with their elements.
impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "graph {}", self.name)?;
        for input in &self.inputs {
            writeln!(f, "input {}: {}", input.name, input.tensor_type)?;
        }
        let mut printed = BTreeSet::new();
        for node in &self.nodes {
            for (name, tensor) in node.inputs.iter().filter_map(|name| self.initializers.get_key_value(name)) {
                if printed.insert(name) {
                    writeln!(f, "const {name}: {tensor}")?;
                }
            }
            writeln!(f, "{node}")?;
        }
        self.outputs.iter().try_for_each(|output| writeln!(f, "output {output}"))
    }
}

/// Prints `path: type = Operator(operands) attribute=value`.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, op, inputs, output } = self;
        write!(f, "{name}: {output} = {}({})", op.name(), inputs.join(", "))?;
        op.attributes().iter().try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}

/// Prints the type, and the elements if they are few.
impl fmt::Display for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ELEMENTS_PRINTED_MAX: usize = 8;
        write!(f, "{}{:?}", self.data_type(), self.shape())?;
        match self.data() {
            data if data.len() > ELEMENTS_PRINTED_MAX => Ok(()),
            Data::F32(values) => write!(f, " = {values:?}"),
            Data::I64(values) => write!(f, " = {values:?}"),
        }
    }
}
