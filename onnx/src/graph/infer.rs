//! The type and shape of an operator's output, inferred from its operands.

mod axes;
mod matrix;
mod norm;
mod quantize;
mod reshape;
mod spatial;

use super::op::Op;
use super::{Data, DataType, Dim, DimError, Tensor, TensorType};

/// The facts about a value that are known before the graph runs.
///
/// The contents of small integer vectors are followed through the graph, because a shape may depend
/// on them: `Pad` by the difference of two `Shape`s has an exact, symbolic output shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// Element type and shape.
    pub tensor_type: TensorType,
    /// The elements, as far as they are known.
    pub content: Content,
}

/// The elements of a vector, as far as they are known.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Known only when the graph runs.
    Unknown,
    /// Integers, possibly symbolic.
    Integers(Vec<Dim>),
    /// Floats.
    Floats(Vec<f32>),
}

/// The most elements of a shape, padding or scale; a bound, because a hostile file could double a
/// vector at every node.
const CONTENT_LEN_MAX: usize = 16;

/// The operands of a node do not fit its operator.
#[derive(Debug, thiserror::Error)]
#[error("cannot infer the output of `{node}` ({op})")]
pub struct InferError {
    /// The node.
    pub node: String,
    /// Its operator.
    pub op: &'static str,
    /// The mismatch.
    #[source]
    pub cause: Box<Mismatch>,
}

/// A mismatch between an operator and its operands.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Mismatch {
    /// A property of an operand or attribute is not what the operator needs.
    #[error("{what} must be {expected}, found {found}")]
    Property {
        /// The property.
        what: &'static str,
        /// The needed value.
        expected: String,
        /// The value that was found.
        found: String,
    },
    /// Two shapes cannot be broadcast, or only for some values of their symbols.
    #[error("shapes {left} and {right} cannot be broadcast together")]
    Broadcast {
        /// The type of the first operand.
        left: TensorType,
        /// The type of the second operand.
        right: TensorType,
    },
    /// A shape cannot be computed.
    #[error(transparent)]
    Dim(#[from] DimError),
}

impl Fact {
    /// Creates a value of which only the type is known.
    pub fn from_type(tensor_type: TensorType) -> Self {
        Self { tensor_type, content: Content::Unknown }
    }

    /// Returns the facts about a constant; an error only for sizes beyond 64-bit integers.
    pub fn from_constant(tensor: &Tensor) -> Result<Self, DimError> {
        let content = match tensor.data() {
            _ if tensor.shape().len() != 1 || tensor.data().len() > CONTENT_LEN_MAX => Content::Unknown,
            Data::F32(values) => Content::Floats(values.clone()),
            Data::I64(values) => Content::Integers(values.iter().copied().map(Dim::from).collect()),
            Data::F16(_) | Data::U8(_) | Data::I8(_) | Data::I32(_) => Content::Unknown,
        };
        Ok(Self { tensor_type: tensor.tensor_type()?, content })
    }

    /// Creates a vector of integers, whose elements are followed only as long as it is short.
    fn from_integers(values: Vec<Dim>) -> Result<Self, DimError> {
        let tensor_type = TensorType::new(DataType::I64, [Dim::try_from(values.len())?]);
        let followed = values.len() <= CONTENT_LEN_MAX;
        Ok(Self { tensor_type, content: if followed { Content::Integers(values) } else { Content::Unknown } })
    }

    fn shape(&self) -> &[Dim] {
        &self.tensor_type.shape
    }

    fn integers(&self, what: &'static str, len: usize) -> Result<&[Dim], Mismatch> {
        match &self.content {
            Content::Integers(values) if values.len() == len => Ok(values),
            _ => Err(property(what, format!("{len} known integers"), &self.tensor_type)),
        }
    }
}

/// Infers the output of `op` for `operands`; `node` names the node in errors.
pub fn infer(node: &str, op: &Op, operands: &[&Fact]) -> Result<Fact, InferError> {
    infer_op(op, operands).map_err(|cause| InferError { node: node.to_owned(), op: op.name(), cause: Box::new(cause) })
}

fn infer_op(op: &Op, operands: &[&Fact]) -> Result<Fact, Mismatch> {
    match op {
        Op::Conv(conv) => match operands {
            [x, weight] => spatial::conv(conv, x, weight, None),
            [x, weight, bias] => spatial::conv(conv, x, weight, Some(bias)),
            _ => Err(property("the number of operands", "2 or 3", operands.len())),
        },
        Op::ConvTranspose { strides } => match operands {
            [x, weight] => spatial::conv_transpose(*strides, x, weight, None),
            [x, weight, bias] => spatial::conv_transpose(*strides, x, weight, Some(bias)),
            _ => Err(property("the number of operands", "2 or 3", operands.len())),
        },
        Op::BatchNormalization { .. } => {
            let [x, statistics @ ..] = exactly::<5>(operands)?;
            let [_, channels, _, _] = image(x)?;
            let statistic = TensorType::new(x.tensor_type.data_type, [channels.clone()]);
            for fact in statistics {
                require("a statistic", &statistic, &fact.tensor_type)?;
            }
            Ok(Fact::from_type(x.tensor_type.clone()))
        }
        Op::Gelu | Op::Erf | Op::Sigmoid | Op::Relu | Op::Tanh => {
            let [x] = exactly(operands)?;
            float(x)?;
            Ok(Fact::from_type(x.tensor_type.clone()))
        }
        Op::Add | Op::Sub | Op::Mul | Op::Div => {
            let [left, right] = exactly(operands)?;
            arithmetic(op, left, right)
        }
        Op::Concat { axis } => concat(*axis, operands),
        Op::MaxPool(pool) => {
            let [x] = exactly(operands)?;
            spatial::max_pool(pool, x)
        }
        Op::AveragePool(pool) => {
            let [x] = exactly(operands)?;
            spatial::average_pool(pool, x)
        }
        Op::GlobalAveragePool | Op::GlobalMaxPool => {
            let [x] = exactly(operands)?;
            let [batch, channels, _, _] = image(x)?;
            let shape = [batch.clone(), channels.clone(), Dim::from(1), Dim::from(1)];
            Ok(Fact::from_type(TensorType::new(x.tensor_type.data_type, shape)))
        }
        Op::ReduceMean | Op::ReduceSum => {
            let [x, reduced] = exactly(operands)?;
            float(x)?;
            axes::reduce(x, reduced)
        }
        Op::LayerNormalization { axis, .. } => {
            let [x, scale, shift] = exactly(operands)?;
            norm::layer(*axis, x, [scale, shift])
        }
        Op::InstanceNormalization { .. } => {
            let [x, scale, shift] = exactly(operands)?;
            norm::instance(x, [scale, shift])
        }
        Op::MatMul => {
            let [a, b] = exactly(operands)?;
            matrix::product(a, b)
        }
        Op::Reshape => {
            let [x, shape] = exactly(operands)?;
            reshape::reshape(x, shape)
        }
        Op::Pad { mode } => {
            let [x, pads] = exactly(operands)?;
            spatial::pad(*mode, x, pads)
        }
        Op::Resize { by, .. } => {
            let [x, size] = exactly(operands)?;
            spatial::resize(*by, x, size)
        }
        Op::Shape { start, end } => {
            let [x] = exactly(operands)?;
            let sizes = x.shape().get(*start..*end).ok_or_else(|| {
                property("the range of axes", format!("within {}", x.tensor_type.rank()), format!("{start}..{end}"))
            })?;
            Ok(Fact::from_integers(sizes.to_vec())?)
        }
        Op::Cast { to } => {
            let [x] = exactly(operands)?;
            Ok(Fact::from_type(TensorType::new(*to, x.shape())))
        }
        Op::Transpose { perm } => {
            let [x] = exactly(operands)?;
            axes::transpose(perm, x)
        }
        Op::Squeeze => {
            let [x, dropped] = exactly(operands)?;
            axes::squeeze(x, dropped)
        }
        Op::Slice => {
            let [x, starts, ends, sliced] = exactly(operands)?;
            axes::slice(x, [starts, ends], sliced)
        }
        Op::Softmax { axis } => {
            let [x] = exactly(operands)?;
            float(x)?;
            axes::softmax(*axis, x)
        }
        Op::ArgMax { axis } => {
            let [x] = exactly(operands)?;
            float(x)?;
            axes::arg_max(*axis, x)
        }
        Op::Greater => {
            let [left, right] = exactly(operands)?;
            let compared = arithmetic(op, left, right)?;
            Ok(Fact::from_type(TensorType::new(DataType::Bool, compared.tensor_type.shape)))
        }
        Op::QuantizeLinear { axis } => {
            let [x, scale, zero] = exactly(operands)?;
            quantize::quantize(*axis, x, scale, zero)
        }
        Op::DequantizeLinear { axis } => {
            let [x, scale, zero] = exactly(operands)?;
            quantize::dequantize(*axis, x, scale, zero)
        }
        Op::Identity => {
            let [x] = exactly(operands)?;
            Ok((*x).clone())
        }
    }
}

fn arithmetic(op: &Op, left: &Fact, right: &Fact) -> Result<Fact, Mismatch> {
    let data_type = left.tensor_type.data_type;
    if !data_type.is_float() && data_type != DataType::I64 {
        return Err(property("the element type", "f32, f16 or i64", data_type));
    }
    require("the element type", &left.tensor_type.data_type, &right.tensor_type.data_type)?;
    let shape = broadcast(&left.tensor_type, &right.tensor_type)?;
    let content = match (&left.content, &right.content) {
        (Content::Integers(left), Content::Integers(right)) if left.len() == right.len() => {
            let combined: Option<_> = left.iter().zip(right).map(|(a, b)| combine(op, a, b)).collect();
            combined.map_or(Content::Unknown, Content::Integers)
        }
        _ => Content::Unknown,
    };
    Ok(Fact { tensor_type: TensorType::new(left.tensor_type.data_type, shape), content })
}

/// Computes an element of a vector of integers, if it has a linear form.
fn combine(op: &Op, left: &Dim, right: &Dim) -> Option<Dim> {
    match (op, right.as_constant()) {
        (Op::Add, _) => left.add(right).ok(),
        (Op::Sub, _) => left.sub(right).ok(),
        (Op::Mul, Some(factor)) => left.scale(factor).ok(),
        _ => None,
    }
}

/// Aligns shapes at the last axis; an axis of size 1 takes the size of its partner.
fn broadcast(left: &TensorType, right: &TensorType) -> Result<Vec<Dim>, Mismatch> {
    let one = Dim::from(1);
    let rank = left.rank().max(right.rank());
    (0..rank)
        .map(|index| match (aligned(&left.shape, rank, index), aligned(&right.shape, rank, index)) {
            (a, b) if a == b || b == one => Ok(a),
            (a, b) if a == one => Ok(b),
            _ => Err(Mismatch::Broadcast { left: left.clone(), right: right.clone() }),
        })
        .collect()
}

/// Returns an axis of a shape that is extended to `rank` axes by ones in front.
fn aligned(shape: &[Dim], rank: usize, axis: usize) -> Dim {
    (axis + shape.len()).checked_sub(rank).map_or_else(|| Dim::from(1), |axis| shape[axis].clone())
}

fn concat(axis: usize, operands: &[&Fact]) -> Result<Fact, Mismatch> {
    let [first, rest @ ..] = operands else {
        return Err(property("the number of operands", "at least 1", 0));
    };
    let mut result = (*first).clone();
    if axis >= result.tensor_type.rank() {
        return Err(property("the axis", format!("less than {}", result.tensor_type.rank()), axis));
    }
    for operand in rest {
        require("the rank", &first.tensor_type.rank(), &operand.tensor_type.rank())?;
        let sum = result.shape()[axis].add(&operand.shape()[axis])?;
        result.tensor_type.shape[axis] = operand.shape()[axis].clone();
        require("the type outside of the axis", &result.tensor_type, &operand.tensor_type)?;
        result.tensor_type.shape[axis] = sum;
        result.content = match (result.content, &operand.content) {
            (Content::Integers(mut all), Content::Integers(more)) if all.len() + more.len() <= CONTENT_LEN_MAX => {
                all.extend_from_slice(more);
                Content::Integers(all)
            }
            _ => Content::Unknown,
        };
    }
    Ok(result)
}

fn exactly<'f, 'o, const N: usize>(operands: &'o [&'f Fact]) -> Result<&'o [&'f Fact; N], Mismatch> {
    operands.try_into().map_err(|_| property("the number of operands", N, operands.len()))
}

/// Returns the axes of a float tensor of rank 4.
fn image(x: &Fact) -> Result<&[Dim; 4], Mismatch> {
    match <&[Dim; 4]>::try_from(x.shape()) {
        Ok(shape) if x.tensor_type.data_type.is_float() => Ok(shape),
        _ => Err(property("the operand", "of floats and rank 4", &x.tensor_type)),
    }
}

fn float(x: &Fact) -> Result<(), Mismatch> {
    let data_type = x.tensor_type.data_type;
    if data_type.is_float() { Ok(()) } else { Err(property("the element type", "f32 or f16", data_type)) }
}

fn signed(size: usize) -> Result<i64, DimError> {
    i64::try_from(size).map_err(|_| DimError::Overflow)
}

fn require<T: PartialEq + ToString>(what: &'static str, expected: &T, found: &T) -> Result<(), Mismatch> {
    if expected == found { Ok(()) } else { Err(property(what, expected.to_string(), found.to_string())) }
}

fn property(what: &'static str, expected: impl ToString, found: impl ToString) -> Mismatch {
    Mismatch::Property { what, expected: expected.to_string(), found: found.to_string() }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::graph::MaxPool;

    pub(super) fn f32_fact<const N: usize>(shape: [&str; N]) -> Fact {
        typed(DataType::F32, shape)
    }

    pub(super) fn typed<const N: usize>(data_type: DataType, shape: [&str; N]) -> Fact {
        Fact::from_type(TensorType::new(data_type, shape.map(|size| size.parse().unwrap())))
    }

    /// Asserts for each row the operator's output type for the operands, or the mismatch.
    pub(super) fn assert_rows(rows: &[(&str, Op, Vec<Fact>, &str)]) {
        for (name, op, operands, expected) in rows {
            let found = match infer("node", op, &operands.iter().collect::<Vec<_>>()) {
                Ok(fact) => fact.tensor_type.to_string(),
                Err(error) => error.cause.to_string(),
            };
            assert_eq!(found, *expected, "{name}");
        }
    }

    pub(super) fn integers<const N: usize>(values: [&str; N]) -> Fact {
        Fact::from_integers(values.map(|value| value.parse().unwrap()).to_vec()).unwrap()
    }

    pub(super) fn floats(values: &[f32]) -> Fact {
        Fact::from_constant(&Tensor::vector(values.to_vec())).unwrap()
    }

    #[test]
    fn shapes_broadcast_where_their_axes_are_equal_or_one() {
        for (name, left, right, expected) in [
            ("equal", &["n", "h"][..], &["n", "h"][..], Some("f32[n, h]")),
            ("one on the right", &["n", "c", "h"], &["n", "c", "1"], Some("f32[n, c, h]")),
            ("one on the left", &["1", "h"], &["n", "h"], Some("f32[n, h]")),
            ("shorter", &["h"], &["n", "h"], Some("f32[n, h]")),
            ("scalar", &["n", "h"], &[], Some("f32[n, h]")),
            ("both grow", &["n", "1"], &["1", "h"], Some("f32[n, h]")),
            ("different numbers", &["2"], &["3"], None),
            ("different symbols", &["n"], &["h"], None),
            ("symbol that might be one", &["n"], &["3"], None),
        ] {
            let [left, right] = [left, right].map(|shape| {
                let shape: Vec<Dim> = shape.iter().map(|size| size.parse().unwrap()).collect();
                Fact::from_type(TensorType::new(DataType::F32, shape))
            });
            let found = infer("sum", &Op::Add, &[&left, &right]).ok();
            assert_eq!(found.map(|fact| fact.tensor_type.to_string()).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn halves_stay_halves_and_do_not_mix() {
        use DataType::{Bool, F16, F32};
        let image = |data_type| typed(data_type, ["1", "4", "height", "width"]);
        let weight = |data_type| typed(data_type, ["6", "4", "1", "1"]);
        let conv = || Op::Conv(Default::default());
        assert_rows(&[
            ("activation", Op::Gelu, vec![image(F16)], "f16[1, 4, height, width]"),
            ("convolution", conv(), vec![image(F16), weight(F16)], "f16[1, 6, height, width]"),
            (
                "largest values",
                Op::MaxPool(MaxPool { kernel: [2, 2], strides: [2, 2], pads: [0; 4] }),
                vec![image(F16)],
                "f16[1, 4, floor(height/2), floor(width/2)]",
            ),
            ("pooling", Op::GlobalAveragePool, vec![image(F16)], "f16[1, 4, 1, 1]"),
            ("cast", Op::Cast { to: F16 }, vec![image(F32)], "f16[1, 4, height, width]"),
            ("comparison", Op::Greater, vec![image(F16), typed(F16, [])], "bool[1, 4, height, width]"),
            ("mixed sum", Op::Add, vec![image(F16), image(F32)], "the element type must be f16, found f32"),
            (
                "mixed convolution",
                conv(),
                vec![image(F16), weight(F32)],
                "the type of the weight must be f16, found f32",
            ),
            ("truth values", Op::Add, vec![image(Bool); 2], "the element type must be f32, f16 or i64, found bool"),
        ]);
    }

    #[test]
    fn shape_vectors_are_followed_through_arithmetic() {
        let skip = f32_fact(["batch", "4", "height", "width"]);
        let deep = f32_fact(["batch", "4", "2*floor(height/2)", "2*floor(width/2)"]);
        let shape = Op::Shape { start: 2, end: 4 };
        let (wanted, given) = (infer("", &shape, &[&skip]).unwrap(), infer("", &shape, &[&deep]).unwrap());
        let missing = infer("", &Op::Sub, &[&wanted, &given]).unwrap();
        let pads = infer("", &Op::Concat { axis: 0 }, &[&integers(["0", "0"]), &missing]).unwrap();
        assert_eq!(pads, integers(["0", "0", "height - 2*floor(height/2)", "width - 2*floor(width/2)"]));
    }

    #[test]
    fn the_content_of_vectors_is_bounded() {
        let mut vector = integers(["height", "width"]);
        for _ in 0..20 {
            vector = infer("", &Op::Concat { axis: 0 }, &[&vector, &vector]).unwrap();
        }
        assert_eq!(vector, Fact::from_type(TensorType::new(DataType::I64, [Dim::from(2 << 20)])));
    }

    #[test]
    fn operands_that_do_not_fit_are_described() {
        let image = f32_fact(["batch", "4", "height", "width"]);
        let (vector, size) = (f32_fact(["4"]), integers(["1", "2"]));
        for (name, op, operands, message) in [
            ("number", Op::Relu, vec![&image, &image], "the number of operands must be 1, found 2"),
            ("integers", Op::Gelu, vec![&size], "the element type must be f32 or f16, found i64"),
            ("mixed types", Op::Add, vec![&vector, &size], "the element type must be f32, found i64"),
            (
                "statistics of another width",
                Op::BatchNormalization { epsilon: 1e-5 },
                vec![&image, &vector, &vector, &vector, &image],
                "a statistic must be f32[4], found f32[batch, 4, height, width]",
            ),
            ("axis", Op::Concat { axis: 4 }, vec![&image, &image], "the axis must be less than 4, found 4"),
            ("ranks", Op::Concat { axis: 0 }, vec![&image, &vector], "the rank must be 4, found 1"),
            (
                "range of axes",
                Op::Shape { start: 3, end: 5 },
                vec![&image],
                "the range of axes must be within 4, found 3..5",
            ),
            (
                "reversed range",
                Op::Shape { start: 3, end: 1 },
                vec![&image],
                "the range of axes must be within 4, found 3..1",
            ),
        ] {
            let error = infer("block.node", &op, &operands).unwrap_err();
            assert_eq!(error.cause.to_string(), message, "{name}");
            assert_eq!(error.to_string(), format!("cannot infer the output of `block.node` ({})", op.name()));
        }
    }
}
