//! A graph as text: one line for each value, in the order of computation.

use std::collections::BTreeSet;
use std::fmt;

use super::{Data, Graph, Node, Tensor};

/// Prints the graph; a constant stands before the first node that reads it, short ones with their
/// elements.
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
            Data::F16(values) => write!(f, " = {values:?}"),
            Data::U8(values) => write!(f, " = {values:?}"),
            Data::I8(values) => write!(f, " = {values:?}"),
            Data::I32(values) => write!(f, " = {values:?}"),
            Data::I64(values) => write!(f, " = {values:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::graph::{Conv, Dim, Graph, GraphBuilder, Tensor};

    fn edges() -> Graph {
        let mut builder = GraphBuilder::new("edges");
        let image = builder.input("image", [Dim::batch(), 1.into(), Dim::height(), Dim::width()]).unwrap();
        let mut root = builder.root();
        let mut block = root.scope("block");
        let weight = Tensor::new([1, 1, 2, 2], vec![1.0, -1.0, 0.5, 1e-7]).unwrap();
        let wide = Tensor::new([1, 1, 3, 3], vec![0.0; 9]).unwrap();
        let x = block.conv("narrow", image, weight, None, Conv { strides: [2, 2], ..Conv::default() }).unwrap();
        let x = block.conv("wide", x, wide, None, Conv { pads: [1; 4], ..Conv::default() }).unwrap();
        let x = block.pad_to_size_of("pad", x, image).unwrap();
        builder.finish(&[("edges", x)]).unwrap()
    }

    #[test]
    fn each_value_is_one_line() {
        let lines: Vec<_> = edges().to_string().lines().map(str::to_owned).collect();
        assert_eq!(
            lines,
            [
                "graph edges",
                "input image: f32[batch, 1, height, width]",
                "const block.narrow.weight: f32[1, 1, 2, 2] = [1.0, -1.0, 0.5, 1e-7]",
                "block.narrow: f32[batch, 1, floor(height/2), floor(width/2)] = Conv(image, block.narrow.weight) \
                 strides=[2, 2] pads=[0, 0, 0, 0] dilations=[1, 1] group=1",
                "const block.wide.weight: f32[1, 1, 3, 3]",
                "block.wide: f32[batch, 1, floor(height/2), floor(width/2)] = Conv(block.narrow, block.wide.weight) \
                 strides=[1, 1] pads=[1, 1, 1, 1] dilations=[1, 1] group=1",
                "block.pad.wanted: i64[2] = Shape(image) start=2 end=4",
                "block.pad.given: i64[2] = Shape(block.wide) start=2 end=4",
                "block.pad.missing: i64[2] = Sub(block.pad.wanted, block.pad.given)",
                "const block.pad.zeros: i64[6] = [0, 0, 0, 0, 0, 0]",
                "block.pad.pads: i64[8] = Concat(block.pad.zeros, block.pad.missing) axis=0",
                "edges: f32[batch, 1, height, width] = Pad(block.wide, block.pad.pads) mode=constant",
                "output edges",
            ]
        );
    }
}
