//! A walk through a graph from its output to its input, which takes each node once and checks all
//! of it.

use std::collections::BTreeSet;

use seg_kernels::Map;
use seg_kernels::inference::{Dense, Weights};
use seg_onnx::graph::{Conv, Data, DataType, Graph, Index, Node, Op, Tensor, TensorType};
use thiserror::Error;

use super::integers::REMEDY;

/// The first place at which a graph is not the one that the kernels compute.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("`{name}` is {found}, expected {expected}")]
pub struct Unrecognized {
    /// The value.
    pub name: String,
    /// Its description.
    pub found: String,
    /// The description of what belongs there.
    pub expected: String,
}

/// The form of a convolution.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    pub(super) kernel: [usize; 2],
    pub(super) stride: usize,
    pub(super) dilation: usize,
    /// One group for each channel.
    pub(super) is_depthwise: bool,
    /// Zeros around that keep the size; none otherwise.
    pub(super) keeps_size: bool,
    pub(super) bias: Bias,
}

/// The bias of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bias {
    Required,
    Optional,
    None,
}

impl Form {
    /// A 1x1 convolution.
    pub(super) const POINTWISE: Self =
        Self { kernel: [1; 2], stride: 1, dilation: 1, is_depthwise: false, keeps_size: false, bias: Bias::Required };

    /// Returns the form of a depthwise convolution that keeps the size.
    pub(super) const fn depthwise(kernel: [usize; 2], dilation: usize) -> Self {
        Self { kernel, dilation, is_depthwise: true, keeps_size: true, ..Self::POINTWISE }
    }

    fn pads(&self) -> [usize; 4] {
        let [vertical, horizontal] =
            self.kernel.map(|side| if self.keeps_size { self.dilation * (side / 2) } else { 0 });
        [vertical, horizontal, vertical, horizontal]
    }

    fn describe(&self) -> String {
        let Self { kernel: [height, width], stride, dilation, is_depthwise, .. } = self;
        let kind = if *is_depthwise { "a depthwise Conv" } else { "a Conv" };
        let bias = match self.bias {
            Bias::Required => " and a bias",
            Bias::Optional => "",
            Bias::None => " and no bias",
        };
        format!("{kind} of {height}x{width}, stride {stride}, dilation {dilation}, padding {:?}{bias}", self.pads())
    }
}

/// A graph, and which of its nodes were taken.
pub(super) struct Walk<'g> {
    pub(super) graph: &'g Graph,
    index: Index<'g>,
    pub(super) taken: BTreeSet<&'g str>,
}

impl<'g> Walk<'g> {
    pub(super) fn new(graph: &'g Graph) -> Self {
        Self { graph, index: graph.index(), taken: BTreeSet::new() }
    }

    /// Returns the node that computes a value; `None` for inputs and constants.
    pub(super) fn node(&self, value: &str) -> Option<&'g Node> {
        self.index.producer(value).map(|position| &self.graph.nodes[position])
    }

    /// Makes the error for a value that is not `expected`; one that is rounded has a remedy.
    pub(super) fn refuse(&self, value: &str, expected: impl Into<String>) -> Unrecognized {
        let expected = if self.is_rounding(value) { REMEDY.into() } else { expected.into() };
        self.unrecognized(value, expected)
    }

    /// Makes the error for a value.
    pub(super) fn unrecognized(&self, value: &str, expected: impl Into<String>) -> Unrecognized {
        let found = match self.node(value) {
            Some(node) => self.describe(node),
            None => match self.graph.initializers.get(value) {
                Some(tensor) => format!("a constant of shape {:?}", tensor.shape()),
                None => "an input".into(),
            },
        };
        Unrecognized { name: value.into(), found, expected: expected.into() }
    }

    /// Describes a node's operator, for an error.
    fn describe(&self, node: &Node) -> String {
        match &node.op {
            Op::Conv(Conv { strides, pads, dilations, group }) => {
                let weight = node.inputs.get(1).and_then(|weight| self.graph.initializers.get(weight));
                let shape = weight.map_or_else(|| "no constant".to_owned(), |weight| format!("{:?}", weight.shape()));
                let bias = if node.inputs.len() > 2 { "a" } else { "no" };
                format!(
                    "a Conv of the weight {shape}, strides {strides:?}, dilations {dilations:?}, padding {pads:?}, \
                     groups {group} and {bias} bias"
                )
            }
            op => format!("{}({})", op.name(), node.inputs.join(", ")),
        }
    }

    /// Takes the node of a value, which must be of an operator and have `N` operands.
    pub(super) fn take<const N: usize>(
        &mut self,
        value: &str,
        expected: &'static str,
        is: impl Fn(&Op) -> bool,
    ) -> Result<[&'g str; N], Unrecognized> {
        let operands = self.take_any(value, expected, &is, N)?;
        Ok(std::array::from_fn(|index| operands[index].as_str()))
    }

    fn take_any(
        &mut self,
        value: &str,
        expected: &str,
        is: &dyn Fn(&Op) -> bool,
        count: usize,
    ) -> Result<&'g [String], Unrecognized> {
        let node = self.node(value).filter(|node| is(&node.op)).ok_or_else(|| self.refuse(value, expected))?;
        let operands = &node.inputs;
        if operands.len() != count {
            return Err(self.refuse(value, format!("{expected} of {count} operands")));
        }
        if !self.taken.insert(&node.name) {
            return Err(self.refuse(value, "a node with one place in the network"));
        }
        Ok(operands)
    }

    /// Takes the sum or the product of two values of one type.
    pub(super) fn take_pair(&mut self, value: &str, op: &Op) -> Result<[&'g str; 2], Unrecognized> {
        let operands = self.take(value, op.name(), |found| found == op)?;
        let [a, b] = operands.map(|operand| self.graph.tensor_type(operand));
        if a != b || a != self.graph.tensor_type(value) {
            return Err(self.refuse(value, format!("{} of two values of its own shape", op.name())));
        }
        Ok(operands)
    }

    /// Takes a convolution of a form in floats; returns its operand and its parameters.
    pub(super) fn conv(&mut self, value: &str, form: &Form) -> Result<(&'g str, Weights), Unrecognized> {
        let weight = self.weight(value, form)?;
        let named = if self.is_rounding(weight) { weight } else { value };
        let weight = self.floats(weight).ok_or_else(|| self.refuse(named, form.describe()))?;
        let (x, bias) = self.take_conv(value, form, weight.shape())?;
        let refused = || self.refuse(value, form.describe());
        let values = weight.as_f32().ok_or_else(refused)?.to_vec();
        let [rows, columns, height, width] = weight.shape()[..] else { return Err(refused()) };
        Ok((x, [Map::new(values, [rows, columns, height, width]), bias]))
    }

    /// Takes a convolution of a form and of one group, in floats or in integers; returns its
    /// operand and its parameters.
    pub(super) fn dense(&mut self, value: &str, form: &Form) -> Result<(&'g str, Dense), Unrecognized> {
        let weight = self.weight(value, form)?;
        if self.node(weight).is_some() {
            return self.integers_of(value, weight, form);
        }
        let (x, weights) = self.conv(value, form)?;
        Ok((x, weights.into()))
    }

    /// Returns the weight of a convolution.
    fn weight(&self, value: &str, form: &Form) -> Result<&'g str, Unrecognized> {
        match self.node(value).map(|node| (&node.op, &node.inputs[..])) {
            Some((Op::Conv(_), [_, weight, ..])) => Ok(weight),
            _ => Err(self.refuse(value, form.describe())),
        }
    }

    /// Takes a convolution of a form, whose weight has a shape; returns its operand and its bias.
    pub(super) fn take_conv(
        &mut self,
        value: &str,
        form: &Form,
        shape: &[usize],
    ) -> Result<(&'g str, Map), Unrecognized> {
        let refused = || self.refuse(value, form.describe());
        let node = self.node(value).ok_or_else(refused)?;
        let Op::Conv(conv) = &node.op else { return Err(refused()) };
        let [x, _, bias @ ..] = &node.inputs[..] else { return Err(refused()) };
        let [rows, columns, height, width] = shape[..] else { return Err(refused()) };
        let expected = Conv {
            strides: [form.stride; 2],
            pads: form.pads(),
            dilations: [form.dilation; 2],
            group: if form.is_depthwise { rows } else { 1 },
        };
        let fits = [height, width] == form.kernel
            && *conv == expected
            && (!form.is_depthwise || columns == 1)
            && rows * columns > 0;
        let bias = match (bias, form.bias) {
            ([], Bias::None | Bias::Optional) => vec![0.0; rows],
            ([bias], Bias::Required | Bias::Optional) => self.values(bias).ok_or_else(refused)?.to_vec(),
            _ => return Err(refused()),
        };
        if !fits || bias.len() != rows || node.output.data_type != DataType::F32 {
            return Err(refused());
        }
        if !self.taken.insert(&node.name) {
            return Err(self.refuse(value, "a node with one place in the network"));
        }
        Ok((x, Map::new(bias, [1, rows, 1, 1])))
    }

    /// Takes a 1x1 convolution in floats between given numbers of channels.
    pub(super) fn pointwise(&mut self, value: &str, channels: [usize; 2]) -> Result<(&'g str, Weights), Unrecognized> {
        let (x, weights) = self.conv(value, &Form::POINTWISE)?;
        self.check_shape(value, weights[0].shape(), channels)?;
        Ok((x, weights))
    }

    /// Takes a 1x1 convolution between given numbers of channels, in floats or in integers.
    pub(super) fn dense_pointwise(
        &mut self,
        value: &str,
        channels: [usize; 2],
    ) -> Result<(&'g str, Dense), Unrecognized> {
        let (x, dense) = self.dense(value, &Form::POINTWISE)?;
        self.check_shape(value, dense.shape(), channels)?;
        Ok((x, dense))
    }

    /// Takes a depthwise convolution of a number of channels.
    pub(super) fn depthwise(
        &mut self,
        value: &str,
        channels: usize,
        kernel: [usize; 2],
        dilation: usize,
    ) -> Result<(&'g str, Weights), Unrecognized> {
        let (x, weights) = self.conv(value, &Form::depthwise(kernel, dilation))?;
        self.check_shape(value, weights[0].shape(), [channels, 1])?;
        Ok((x, weights))
    }

    /// Checks the channels of a weight `[rows, columns, ..]`.
    pub(super) fn check_shape(
        &self,
        value: &str,
        [rows, columns, _, _]: [usize; 4],
        channels: [usize; 2],
    ) -> Result<(), Unrecognized> {
        if [rows, columns] == channels {
            return Ok(());
        }
        Err(self.refuse(value, format!("a Conv of the weight [{}, {}, ..]", channels[0], channels[1])))
    }

    /// Takes GELU, or the operators that stand for it before opset 20; returns its operand.
    pub(super) fn gelu(&mut self, value: &str) -> Result<&'g str, Unrecognized> {
        if self.node(value).is_some_and(|node| node.op == Op::Gelu) {
            let [x] = self.take(value, "Gelu", |_| true)?;
            return Ok(x);
        }
        if !self.is_gelu(value) {
            return Err(self.refuse(value, "Gelu"));
        }
        let [product, _half] = self.take(value, "Mul", |op| *op == Op::Mul)?;
        let [x, sum] = self.take_pair(product, &Op::Mul)?;
        let [erf, one] = self.take(sum, "Add", |op| *op == Op::Add)?;
        self.expect_scalar(one, 1.0)?;
        let [quotient] = self.take(erf, "Erf", |op| *op == Op::Erf)?;
        let [again, root] = self.take(quotient, "Div", |op| *op == Op::Div)?;
        self.expect_scalar(root, std::f32::consts::SQRT_2)?;
        self.expect_same(again, x)?;
        Ok(x)
    }

    /// Returns whether a value is the end of GELU.
    pub(super) fn is_gelu(&self, value: &str) -> bool {
        self.node(value).is_some_and(|node| match (&node.op, &node.inputs[..]) {
            (Op::Gelu, _) => true,
            (Op::Mul, [_, half]) => self.is_scalar(half, 0.5),
            _ => false,
        })
    }

    /// Returns whether a value is a 1x1 convolution of a GELU.
    pub(super) fn is_projection(&self, value: &str) -> bool {
        let is_pointwise = |conv: &Conv| *conv == Conv::default();
        self.node(value).is_some_and(|node| match (&node.op, &node.inputs[..]) {
            (Op::Conv(conv), [x, weight, ..]) if is_pointwise(conv) => {
                let weight = self.graph.initializers.get(self.dequantized(weight).unwrap_or(weight));
                let x = self.dequantized(x).and_then(|quantized| self.node(quantized)?.inputs.first()).unwrap_or(x);
                weight.is_some_and(|weight| weight.shape().ends_with(&[1, 1])) && self.is_gelu(x)
            }
            _ => false,
        })
    }

    /// Checks that two operands are the same value.
    pub(super) fn expect_same(&self, found: &str, expected: &str) -> Result<(), Unrecognized> {
        if found == expected { Ok(()) } else { Err(self.refuse(found, format!("`{expected}` in its place"))) }
    }

    /// Checks that an operand is a constant of one value.
    pub(super) fn expect_scalar(&self, value: &str, expected: f32) -> Result<(), Unrecognized> {
        if self.is_scalar(value, expected) {
            Ok(())
        } else {
            Err(self.refuse(value, format!("the constant {expected}")))
        }
    }

    fn is_scalar(&self, value: &str, expected: f32) -> bool {
        let constant = self.graph.initializers.get(value);
        constant.is_some_and(|constant| constant.shape().is_empty() && constant.as_f32() == Some(&[expected]))
    }

    /// Checks that an operand is a constant list of integers.
    pub(super) fn expect_integers(&self, value: &str, expected: &[i64]) -> Result<(), Unrecognized> {
        if self.integers(value).is_some_and(|found| found == expected) {
            return Ok(());
        }
        Err(self.refuse(value, format!("the constant {expected:?}")))
    }

    /// Returns a constant list of integers.
    pub(super) fn integers(&self, value: &str) -> Option<&'g [i64]> {
        match self.graph.initializers.get(value)?.data() {
            Data::I64(values) => Some(values),
            _ => None,
        }
    }

    pub(super) fn floats(&self, value: &str) -> Option<&'g Tensor> {
        self.graph.initializers.get(value).filter(|tensor| tensor.data_type() == DataType::F32)
    }

    /// Returns the values of a constant of floats.
    pub(super) fn values(&self, value: &str) -> Option<&'g [f32]> {
        self.floats(value)?.as_f32()
    }

    /// Returns the type of a value.
    pub(super) fn tensor_type(&self, value: &str) -> Option<&'g TensorType> {
        self.graph.tensor_type(value)
    }

    /// Returns the channels of a map.
    pub(super) fn channels(&self, value: &str) -> Option<usize> {
        let channels = self.tensor_type(value)?.shape.get(1)?.as_constant()?;
        usize::try_from(channels).ok().filter(|channels| *channels > 0)
    }

    /// Checks that every node was taken.
    pub(super) fn finish(&self) -> Result<(), Unrecognized> {
        match self.graph.nodes.iter().find(|node| !self.taken.contains(node.name.as_str())) {
            Some(node) => Err(self.refuse(&node.name, "no such node")),
            None => Ok(()),
        }
    }
}
