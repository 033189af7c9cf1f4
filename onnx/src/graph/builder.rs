//! Builds a graph node by node, with shapes inferred and mistakes named where they are made.

use std::collections::{BTreeMap, BTreeSet};

use super::infer::{Fact, InferError, infer};
use super::op::{Conv, Coordinates, Op, PadMode, ResizeBy, ResizeMode};
use super::{CheckError, Data, DataType, Dim, DimError, Graph, Input, Node, Tensor, TensorType};

/// Collects inputs, constants and nodes; [`finish`](Self::finish) turns them into a checked [`Graph`].
///
/// ```
/// use seg_onnx::graph::{Conv, Dim, GraphBuilder, Tensor};
///
/// let mut builder = GraphBuilder::new("edges");
/// let image = builder.input("image", [Dim::batch(), Dim::from(1), Dim::height(), Dim::width()])?;
/// let mut root = builder.root();
/// let mut block = root.scope("in_conv");
/// let weight = Tensor::new([1, 1, 2, 2], vec![1.0, -1.0, 1.0, -1.0])?;
/// let edges = block.conv("conv", image, weight, None, Conv { strides: [2, 2], ..Conv::default() })?;
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

/// A value of the graph under construction; good for the builder that made it only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value(usize);

/// A place in the model's tree of modules: names given to its methods extend its path.
///
/// Every method that adds a node takes the node's name first and returns the value that the node computes, or an error
/// that names the node whose operands do not fit.
#[derive(Debug)]
pub struct Scope<'b> {
    builder: &'b mut GraphBuilder,
    path: String,
}

/// The constants of a batch normalisation, each `[c]`.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchNorm {
    /// Learned factor (gamma).
    pub weight: Tensor,
    /// Learned shift (beta).
    pub bias: Tensor,
    /// Mean over the training data.
    pub running_mean: Tensor,
    /// Variance over the training data.
    pub running_var: Tensor,
    /// Added to the variance.
    pub epsilon: f32,
}

/// Why a graph cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A name is given twice.
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
        /// What was to be added.
        name: String,
        /// What is impossible.
        #[source]
        cause: DimError,
    },
    /// An operand is not an image.
    #[error("cannot add `{name}` to the graph: expected an operand of rank 4, found {found}")]
    NotAnImage {
        /// What was to be added.
        name: String,
        /// The operand.
        found: TensorType,
    },
    /// The finished graph breaks an invariant.
    #[error(transparent)]
    Check(#[from] CheckError),
}

impl GraphBuilder {
    /// An empty graph.
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
        let tensor_type = TensorType::new(DataType::F32, shape);
        let value = self.add_value(name, Fact::of_type(tensor_type.clone()))?;
        self.graph.inputs.push(Input { name: name.to_owned(), tensor_type });
        Ok(value)
    }

    /// The top of the tree of modules.
    pub fn root(&mut self) -> Scope<'_> {
        Scope { builder: self, path: String::new() }
    }

    /// The graph with the given outputs, checked.
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
    /// The place of the given name below this one.
    pub fn scope(&mut self, name: &str) -> Scope<'_> {
        let path = self.path_of(name);
        Scope { builder: self.builder, path }
    }

    /// The path that a name stands for here.
    pub fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Element type and shape of a value.
    pub fn type_of(&self, value: Value) -> Result<&TensorType, BuildError> {
        Ok(&self.builder.fact(&self.path, value)?.1.tensor_type)
    }

    /// Adds a constant.
    pub fn constant(&mut self, name: &str, tensor: Tensor) -> Result<Value, BuildError> {
        let name = self.path_of(name);
        let fact = Fact::of_constant(&tensor).map_err(|cause| BuildError::Shape { name: name.clone(), cause })?;
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

    /// A convolution with constant `weight` `[o, c / group, kh, kw]` and `bias` `[o]`.
    pub fn conv(
        &mut self,
        name: &str,
        x: Value,
        weight: Tensor,
        bias: Option<Tensor>,
        conv: Conv,
    ) -> Result<Value, BuildError> {
        let mut module = self.scope(name);
        let mut operands = vec![x, module.constant("weight", weight)?];
        if let Some(bias) = bias {
            operands.push(module.constant("bias", bias)?);
        }
        self.node(name, Op::Conv(conv), &operands)
    }

    /// Batch normalisation by running statistics, as in inference.
    pub fn batch_norm(&mut self, name: &str, x: Value, norm: BatchNorm) -> Result<Value, BuildError> {
        let mut module = self.scope(name);
        let operands = [
            x,
            module.constant("weight", norm.weight)?,
            module.constant("bias", norm.bias)?,
            module.constant("running_mean", norm.running_mean)?,
            module.constant("running_var", norm.running_var)?,
        ];
        self.node(name, Op::BatchNormalization { epsilon: norm.epsilon }, &operands)
    }

    /// `x/2 * (1 + erf(x/sqrt(2)))`.
    pub fn gelu(&mut self, name: &str, x: Value) -> Result<Value, BuildError> {
        self.node(name, Op::Gelu, &[x])
    }

    /// `1 / (1 + exp(-x))`.
    pub fn sigmoid(&mut self, name: &str, x: Value) -> Result<Value, BuildError> {
        self.node(name, Op::Sigmoid, &[x])
    }

    /// `max(x, 0)`.
    pub fn relu(&mut self, name: &str, x: Value) -> Result<Value, BuildError> {
        self.node(name, Op::Relu, &[x])
    }

    /// `a + b`.
    pub fn add(&mut self, name: &str, a: Value, b: Value) -> Result<Value, BuildError> {
        self.node(name, Op::Add, &[a, b])
    }

    /// `a - b`.
    pub fn sub(&mut self, name: &str, a: Value, b: Value) -> Result<Value, BuildError> {
        self.node(name, Op::Sub, &[a, b])
    }

    /// `a * b`.
    pub fn mul(&mut self, name: &str, a: Value, b: Value) -> Result<Value, BuildError> {
        self.node(name, Op::Mul, &[a, b])
    }

    /// `a / b`.
    pub fn div(&mut self, name: &str, a: Value, b: Value) -> Result<Value, BuildError> {
        self.node(name, Op::Div, &[a, b])
    }

    /// The channels of several images one after another: `[n, c1, h, w]`, `[n, c2, h, w]` to `[n, c1 + c2, h, w]`.
    pub fn concat_channels(&mut self, name: &str, images: &[Value]) -> Result<Value, BuildError> {
        self.node(name, Op::Concat { axis: 1 }, images)
    }

    /// The mean over height and width: `[n, c, h, w]` to `[n, c, 1, 1]`.
    pub fn global_average_pool(&mut self, name: &str, x: Value) -> Result<Value, BuildError> {
        self.node(name, Op::GlobalAveragePool, &[x])
    }

    /// Resizes height and width by constant factors: `[n, c, h, w]` to `[n, c, factor * h, factor * w]`.
    pub fn upsample(
        &mut self,
        name: &str,
        x: Value,
        factor: u8,
        mode: ResizeMode,
        coordinates: Coordinates,
    ) -> Result<Value, BuildError> {
        let factor = f32::from(factor);
        let scales = self.scope(name).constant("scales", Tensor::vector(vec![1.0, 1.0, factor, factor]))?;
        self.node(name, Op::Resize { mode, coordinates, by: ResizeBy::Scales }, &[x, scales])
    }

    /// Pads an image by constant amounts at top, left, bottom and right.
    pub fn pad(&mut self, name: &str, x: Value, pads: [u32; 4], mode: PadMode) -> Result<Value, BuildError> {
        let [top, left, bottom, right] = pads.map(i64::from);
        let pads = Data::I64(vec![0, 0, top, left, 0, 0, bottom, right]);
        let pads = self.scope(name).constant("pads", Tensor::vector(pads))?;
        self.node(name, Op::Pad { mode }, &[x, pads])
    }

    /// Pads `x` with zeros at the bottom and at the right to the height and width of `reference`, which must not be the
    /// smaller one.
    ///
    /// This is what a decoder needs that doubles what an encoder has halved and rounded down: a row or a column may be
    /// missing, and splitting that one, `floor(1/2) = 0` of it comes before and all of it after.
    pub fn pad_to_size_of(&mut self, name: &str, x: Value, reference: Value) -> Result<Value, BuildError> {
        for image in [x, reference] {
            let found = self.type_of(image)?.clone();
            if found.rank() != 4 {
                return Err(BuildError::NotAnImage { name: self.path_of(name), found });
            }
        }
        let mut module = self.scope(name);
        let zeros = module.constant("zeros", Tensor::vector(vec![0; 6]))?;
        let wanted = module.node("wanted", Op::Shape { start: 2, end: 4 }, &[reference])?;
        let given = module.node("given", Op::Shape { start: 2, end: 4 }, &[x])?;
        let missing = module.sub("missing", wanted, given)?;
        let pads = module.node("pads", Op::Concat { axis: 0 }, &[zeros, missing])?;
        self.node(name, Op::Pad { mode: PadMode::Constant }, &[x, pads])
    }
}
