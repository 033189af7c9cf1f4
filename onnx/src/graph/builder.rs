//! Builds a graph node by node. Shapes are inferred, and mistakes are reported where they are made.

mod operators;

use std::collections::{BTreeMap, BTreeSet};

pub use operators::BatchNorm;

use super::infer::{Fact, InferError, infer};
use super::op::Op;
use super::{CheckError, DataType, Dim, DimError, Graph, Input, Node, Tensor, TensorType};

/// Collects inputs, constants and nodes; [`finish`](Self::finish) turns them into a checked
/// [`Graph`].
///
/// ```
/// use seg_onnx::graph::{Conv, Dim, GraphBuilder, Tensor};
///
/// let mut builder = GraphBuilder::new("edges");
/// let image = builder.input("image", [Dim::batch(), Dim::from(1), Dim::height(), Dim::width()])?;
/// let mut root = builder.root();
/// let mut block = root.scope("in_conv");
/// let weight = Tensor::new([1, 1, 2, 2], vec![1.0, -1.0, 1.0, -1.0])?;
/// let conv = Conv { strides: [2, 2], ..Conv::default() };
/// let edges = block.conv("conv", image, weight, None, conv)?;
/// let edges = block.gelu("gelu", edges)?;
/// let graph = builder.finish(&[("edges", edges)])?;
///
/// assert_eq!(graph.nodes[0].name, "in_conv.conv");
/// assert_eq!(graph.nodes[1].output.to_string(), "f32[batch, 1, floor(height/2), floor(width/2)]");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct GraphBuilder {
    graph: Graph,
    values: Vec<(String, Fact)>,
    names: BTreeSet<String>,
}

/// A value of the graph under construction, valid only for the builder that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value(usize);

/// A module in the model's tree: names given to its methods extend its path.
///
/// Every method that adds a node takes the node's name first and returns the value that the node
/// computes, or an error that names the node whose operands do not fit.
#[derive(Debug)]
pub struct Scope<'b> {
    builder: &'b mut GraphBuilder,
    path: String,
}

/// An error in building a graph.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A name is used twice.
    #[error("cannot add `{0}` to the graph: the name is taken")]
    Duplicate(String),
    /// A value comes from another builder.
    #[error("cannot add `{0}` to the graph: an operand belongs to another graph")]
    Foreign(String),
    /// An output is an input, a constant, or listed twice.
    #[error("cannot make `{0}` an output: it is not a node of its own")]
    Output(String),
    /// Operands do not fit their operator.
    #[error(transparent)]
    Infer(#[from] InferError),
    /// A constant or operand has an impossible shape.
    #[error("cannot add `{name}` to the graph")]
    Shape {
        /// The thing to be added.
        name: String,
        /// The defect of its shape.
        #[source]
        cause: DimError,
    },
    /// An operand is not an image.
    #[error("cannot add `{name}` to the graph: expected an operand of rank 4, found {found}")]
    NotAnImage {
        /// The node to be added.
        name: String,
        /// The operand.
        found: TensorType,
    },
    /// The finished graph breaks an invariant.
    #[error(transparent)]
    Check(#[from] CheckError),
}

impl GraphBuilder {
    /// Creates an empty graph.
    pub fn new(name: &str) -> Self {
        let graph = Graph {
            name: name.to_owned(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            nodes: Vec::new(),
            initializers: BTreeMap::new(),
        };
        Self { graph, values: Vec::new(), names: BTreeSet::new() }
    }

    /// Adds an f32 input of the given shape.
    pub fn input(&mut self, name: &str, shape: impl Into<Vec<Dim>>) -> Result<Value, BuildError> {
        self.input_of(DataType::F32, name, shape)
    }

    /// Adds an input of the given element type and shape.
    pub fn input_of(
        &mut self,
        data_type: DataType,
        name: &str,
        shape: impl Into<Vec<Dim>>,
    ) -> Result<Value, BuildError> {
        let tensor_type = TensorType::new(data_type, shape);
        let value = self.add_value(name, Fact::from_type(tensor_type.clone()))?;
        self.graph.inputs.push(Input { name: name.to_owned(), tensor_type });
        Ok(value)
    }

    /// Returns the root of the tree of modules.
    pub fn root(&mut self) -> Scope<'_> {
        Scope { builder: self, path: String::new() }
    }

    /// Finishes the graph with the given outputs, and checks it.
    ///
    /// Each output is a node that is renamed to the given name.
    pub fn finish(mut self, outputs: &[(&str, Value)]) -> Result<Graph, BuildError> {
        for &(name, value) in outputs {
            let path = self.fact(name, value)?.0.clone();
            let computed = self.graph.nodes.iter().any(|node| node.name == path);
            if !computed || self.graph.outputs.contains(&path) {
                return Err(BuildError::Output(path));
            }
            if path != name && !self.names.insert(name.to_owned()) {
                return Err(BuildError::Duplicate(name.to_owned()));
            }
            for node in &mut self.graph.nodes {
                for known in node.inputs.iter_mut().chain([&mut node.name]).filter(|known| **known == path) {
                    name.clone_into(known);
                }
            }
            self.values[value.0].0 = name.to_owned();
            self.graph.outputs.push(name.to_owned());
        }
        self.graph.check()?;
        Ok(self.graph)
    }

    fn fact(&self, reader: &str, value: Value) -> Result<&(String, Fact), BuildError> {
        self.values.get(value.0).ok_or_else(|| BuildError::Foreign(reader.to_owned()))
    }

    fn add_value(&mut self, name: &str, fact: Fact) -> Result<Value, BuildError> {
        if !self.names.insert(name.to_owned()) {
            return Err(BuildError::Duplicate(name.to_owned()));
        }
        self.values.push((name.to_owned(), fact));
        Ok(Value(self.values.len() - 1))
    }
}

impl Scope<'_> {
    /// Returns the module of the given name below this one.
    pub fn scope(&mut self, name: &str) -> Scope<'_> {
        let path = self.path_of(name);
        Scope { builder: self.builder, path }
    }

    /// Returns the path of a name in this module.
    pub fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Returns element type and shape of a value.
    pub fn type_of(&self, value: Value) -> Result<&TensorType, BuildError> {
        Ok(&self.builder.fact(&self.path, value)?.1.tensor_type)
    }

    /// Adds a constant.
    pub fn constant(&mut self, name: &str, tensor: Tensor) -> Result<Value, BuildError> {
        let name = self.path_of(name);
        let fact = Fact::from_constant(&tensor).map_err(|cause| BuildError::Shape { name: name.clone(), cause })?;
        let value = self.builder.add_value(&name, fact)?;
        self.builder.graph.initializers.insert(name, tensor);
        Ok(value)
    }

    /// Adds a node with the given operator and operands.
    pub fn node(&mut self, name: &str, op: Op, operands: &[Value]) -> Result<Value, BuildError> {
        let name = self.path_of(name);
        let (inputs, facts): (Vec<_>, Vec<_>) = operands
            .iter()
            .map(|&operand| self.builder.fact(&name, operand).map(|(name, fact)| (name.clone(), fact)))
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .unzip();
        let fact = infer(&name, &op, &facts)?;
        let output = fact.tensor_type.clone();
        let value = self.builder.add_value(&name, fact)?;
        self.builder.graph.nodes.push(Node { name, op, inputs, output });
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Conv;
    use crate::graph::example::Random;

    fn image(builder: &mut GraphBuilder) -> Value {
        builder.input("image", [Dim::batch(), 4.into(), Dim::height(), Dim::width()]).unwrap()
    }

    #[test]
    fn names_are_paths() {
        let mut builder = GraphBuilder::new("network");
        let x = image(&mut builder);
        let mut root = builder.root();
        let mut down = root.scope("down3");
        let mut strip = down.scope("amse").scope("strip_5").conv(
            "vertical",
            x,
            Random(1).tensor([4, 1, 5, 1]),
            Some(Random(2).tensor([4])),
            Conv { pads: [2, 0, 2, 0], group: 4, ..Conv::default() },
        );
        strip = strip.and_then(|x| down.gelu("gelu", x));
        let graph = builder.finish(&[("y", strip.unwrap())]).unwrap();
        assert_eq!(graph.nodes[0].name, "down3.amse.strip_5.vertical");
        let constants: Vec<_> = graph.initializers.keys().collect();
        assert_eq!(constants, ["down3.amse.strip_5.vertical.bias", "down3.amse.strip_5.vertical.weight"]);
    }

    #[test]
    fn a_mistake_is_named_where_it_is_made() {
        type Mistake = fn(&mut GraphBuilder, Value) -> Result<Value, BuildError>;
        let rows: [(&str, Mistake, &str); 5] = [
            (
                "shapes that do not fit",
                |b, x| b.root().scope("up1").batch_norm("norm", x, Random(1).batch_norm(3)),
                "cannot infer the output of `up1.norm` (BatchNormalization)",
            ),
            (
                "a name given twice",
                |b, x| b.root().relu("relu", x).and_then(|x| b.root().gelu("relu", x)),
                "cannot add `relu` to the graph: the name is taken",
            ),
            (
                "a name that an input has",
                |b, x| b.root().relu("image", x),
                "cannot add `image` to the graph: the name is taken",
            ),
            (
                "a value of another graph",
                |b, _| b.root().relu("relu", Value(7)),
                "cannot add `relu` to the graph: an operand belongs to another graph",
            ),
            (
                "padding something that is no image",
                |b, x| {
                    let mut root = b.root();
                    let scalar = root.constant("one", Tensor::scalar(1.0))?;
                    root.scope("up1").pad_to_size_of("pad", x, scalar)
                },
                "cannot add `up1.pad` to the graph: expected an operand of rank 4, found f32[]",
            ),
        ];
        for (name, mistake, message) in rows {
            let mut builder = GraphBuilder::new("network");
            let x = image(&mut builder);
            assert_eq!(mistake(&mut builder, x).unwrap_err().to_string(), message, "{name}");
        }
    }

    fn finish(outputs: fn(Value, Value) -> Vec<(&'static str, Value)>) -> Result<Graph, BuildError> {
        let mut builder = GraphBuilder::new("network");
        let x = image(&mut builder);
        let y = builder.root().relu("relu", x).unwrap();
        builder.finish(&outputs(x, y))
    }

    #[test]
    fn only_nodes_become_outputs_each_under_a_name_of_its_own() {
        assert_eq!(finish(|_, y| vec![("relu", y)]).unwrap().outputs, ["relu"]);
        assert_eq!(finish(|_, y| vec![("logits", y)]).unwrap().nodes[0].name, "logits");
        assert!(matches!(finish(|x, _| vec![("logits", x)]), Err(BuildError::Output(_))));
        assert!(matches!(finish(|_, y| vec![("a", y), ("b", y)]), Err(BuildError::Output(_))));
        assert!(matches!(finish(|_, y| vec![("image", y)]), Err(BuildError::Duplicate(_))));
        assert!(matches!(finish(|_, _| vec![]), Err(BuildError::Check(CheckError::NoOutputs))));
    }
}
