//! The type and shape of an operator's output, from what is known of its operands.

use super::op::{Conv, Op, PadMode, ResizeBy};
use super::{Data, DataType, Dim, DimError, Tensor, TensorType};

/// What is known of a value before anything is computed.
///
/// The contents of small integer vectors are followed through the graph, because a shape may depend on them: `Pad` by
/// the difference of two `Shape`s has an exact, symbolic output shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// Element type and shape.
    pub tensor_type: TensorType,
    /// The elements, where known.
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

/// No shape, padding or scale has more elements; a bound, because a hostile file could double a vector at every node.
const CONTENT_LEN_MAX: usize = 16;

/// The operands of a node do not fit its operator.
#[derive(Debug, thiserror::Error)]
#[error("cannot infer the output of `{node}` ({op})")]
pub struct InferError {
    /// The node.
    pub node: String,
    /// Its operator.
    pub op: &'static str,
    /// What does not fit.
    #[source]
    pub cause: Box<Mismatch>,
}

/// What does not fit between an operator and its operands.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Mismatch {
    /// A property of an operand or attribute is not as the operator needs it.
    #[error("{what} must be {expected}, found {found}")]
    Property {
        /// The property.
        what: &'static str,
        /// What the operator needs.
        expected: String,
        /// What it is.
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
    /// A value of which only the type is known.
    pub fn of_type(tensor_type: TensorType) -> Self {
        Self { tensor_type, content: Content::Unknown }
    }

    /// What is known of a constant; an error only for sizes beyond 64-bit integers.
    pub fn of_constant(tensor: &Tensor) -> Result<Self, DimError> {
        let content = match tensor.data() {
            _ if tensor.shape().len() != 1 || tensor.data().len() > CONTENT_LEN_MAX => Content::Unknown,
            Data::F32(values) => Content::Floats(values.clone()),
            Data::I64(values) => Content::Integers(values.iter().copied().map(Dim::from).collect()),
        };
        Ok(Self { tensor_type: tensor.tensor_type()?, content })
    }

    /// A vector of integers, followed only as long as it is short.
    fn of_integers(values: Vec<Dim>) -> Result<Self, DimError> {
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

/// What is known of the output of `op` when it is given `operands`; `node` names the node in errors.
pub fn infer(node: &str, op: &Op, operands: &[&Fact]) -> Result<Fact, InferError> {
    infer_op(op, operands).map_err(|cause| InferError { node: node.to_owned(), op: op.name(), cause: Box::new(cause) })
}

fn infer_op(op: &Op, operands: &[&Fact]) -> Result<Fact, Mismatch> {
    match op {
        Op::Conv(conv) => match operands {
            [x, weight] => infer_conv(conv, x, weight, None),
            [x, weight, bias] => infer_conv(conv, x, weight, Some(bias)),
            _ => Err(property("the number of operands", "2 or 3", operands.len())),
        },
        Op::BatchNormalization { .. } => {
            let [x, statistics @ ..] = exactly::<5>(operands)?;
            let [_, channels, _, _] = image(x)?;
            for fact in statistics {
                require("a statistic", &TensorType::new(DataType::F32, [channels.clone()]), &fact.tensor_type)?;
            }
            Ok(Fact::of_type(x.tensor_type.clone()))
        }
        Op::Gelu | Op::Erf | Op::Sigmoid | Op::Relu => {
            let [x] = exactly(operands)?;
            require("the element type", &DataType::F32, &x.tensor_type.data_type)?;
            Ok(Fact::of_type(x.tensor_type.clone()))
        }
        Op::Add | Op::Sub | Op::Mul | Op::Div => {
            let [left, right] = exactly(operands)?;
            infer_arithmetic(op, left, right)
        }
        Op::Concat { axis } => infer_concat(*axis, operands),
        Op::GlobalAveragePool => {
            let [x] = exactly(operands)?;
            let [batch, channels, _, _] = image(x)?;
            let shape = [batch.clone(), channels.clone(), Dim::from(1), Dim::from(1)];
            Ok(Fact::of_type(TensorType::new(DataType::F32, shape)))
        }
        Op::Pad { mode } => {
            let [x, pads] = exactly(operands)?;
            infer_pad(*mode, x, pads)
        }
        Op::Resize { by, .. } => {
            let [x, size] = exactly(operands)?;
            infer_resize(*by, x, size)
        }
        Op::Shape { start, end } => {
            let [x] = exactly(operands)?;
            let sizes = x.shape().get(*start..*end).ok_or_else(|| {
                property("the range of axes", format!("within {}", x.tensor_type.rank()), format!("{start}..{end}"))
            })?;
            Ok(Fact::of_integers(sizes.to_vec())?)
        }
        Op::Identity => {
            let [x] = exactly(operands)?;
            Ok((*x).clone())
        }
    }
}

fn infer_conv(conv: &Conv, x: &Fact, weight: &Fact, bias: Option<&Fact>) -> Result<Fact, Mismatch> {
    let [batch, channels, height, width] = image(x)?;
    let [out_channels, in_channels, kernel_height, kernel_width] = image(weight)?;
    let group = Dim::try_from(conv.group)?;
    let fits_group = match (out_channels.as_constant(), group.as_constant()) {
        (Some(out_channels), Some(group)) => group > 0 && out_channels % group == 0,
        _ => false,
    };
    if !fits_group {
        return Err(property("the number of output channels", format!("a multiple of {group} groups"), out_channels));
    }
    require("the number of input channels", &in_channels.scale(signed(conv.group)?)?, channels)?;
    if let Some(bias) = bias {
        require("the bias", &TensorType::new(DataType::F32, [out_channels.clone()]), &bias.tensor_type)?;
    }
    let [top, left, bottom, right] = conv.pads;
    let height = convolved(height, kernel_height, conv.strides[0], conv.dilations[0], [top, bottom])?;
    let width = convolved(width, kernel_width, conv.strides[1], conv.dilations[1], [left, right])?;
    Ok(Fact::of_type(TensorType::new(DataType::F32, [batch.clone(), out_channels.clone(), height, width])))
}

/// `floor((size + pads - dilation * (kernel - 1) - 1) / stride) + 1`.
fn convolved(size: &Dim, kernel: &Dim, stride: usize, dilation: usize, pads: [usize; 2]) -> Result<Dim, Mismatch> {
    let one = Dim::from(1);
    let kernel = match kernel.as_constant() {
        Some(kernel) if kernel > 0 => Dim::from(kernel),
        _ => return Err(property("the kernel", "a positive constant", kernel)),
    };
    for (what, value) in [("the stride", stride), ("the dilation", dilation)] {
        if value == 0 {
            return Err(property(what, "positive", value));
        }
    }
    let reach = kernel.sub(&one)?.scale(signed(dilation)?)?.add(&one)?;
    let padded = size.add(&Dim::try_from(pads[0])?)?.add(&Dim::try_from(pads[1])?)?;
    let result = padded.sub(&reach)?.floor_div(signed(stride)?)?.add(&one)?;
    match result.as_constant() {
        Some(size) if size < 1 => Err(property("the padded size", format!("at least {reach}"), padded)),
        _ => Ok(result),
    }
}

fn infer_arithmetic(op: &Op, left: &Fact, right: &Fact) -> Result<Fact, Mismatch> {
    require("the element type", &left.tensor_type.data_type, &right.tensor_type.data_type)?;
    let shape = broadcast(&left.tensor_type, &right.tensor_type)?;
    let content = match (&left.content, &right.content) {
        (Content::Integers(left), Content::Integers(right)) if left.len() == right.len() => {
            let combine = |(a, b): (&Dim, &Dim)| match (op, b.as_constant()) {
                (Op::Add, _) => a.add(b).ok(),
                (Op::Sub, _) => a.sub(b).ok(),
                (Op::Mul, Some(factor)) => a.scale(factor).ok(),
                _ => None,
            };
            let combined: Option<_> = left.iter().zip(right).map(combine).collect();
            combined.map_or(Content::Unknown, Content::Integers)
        }
        _ => Content::Unknown,
    };
    Ok(Fact { tensor_type: TensorType::new(left.tensor_type.data_type, shape), content })
}

/// Shapes are aligned at the last axis; an axis of size 1 takes the size of its partner.
fn broadcast(left: &TensorType, right: &TensorType) -> Result<Vec<Dim>, Mismatch> {
    let one = Dim::from(1);
    let rank = left.rank().max(right.rank());
    let axis = |shape: &[Dim], axis: usize| {
        (axis + shape.len()).checked_sub(rank).map_or_else(|| one.clone(), |axis| shape[axis].clone())
    };
    (0..rank)
        .map(|index| match (axis(&left.shape, index), axis(&right.shape, index)) {
            (a, b) if a == b || b == one => Ok(a),
            (a, b) if a == one => Ok(b),
            _ => Err(Mismatch::Broadcast { left: left.clone(), right: right.clone() }),
        })
        .collect()
}

fn infer_concat(axis: usize, operands: &[&Fact]) -> Result<Fact, Mismatch> {
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

fn infer_pad(mode: PadMode, x: &Fact, pads: &Fact) -> Result<Fact, Mismatch> {
    let rank = x.tensor_type.rank();
    let (before, after) = pads.integers("the pads", 2 * rank)?.split_at(rank);
    let mut shape = Vec::with_capacity(rank);
    for ((size, before), after) in x.shape().iter().zip(before).zip(after) {
        for pad in [before, after] {
            let (Some(pad), Some(size)) = (pad.as_constant(), size.as_constant()) else { continue };
            if pad < 0 {
                return Err(property("a pad", "positive or 0", pad));
            }
            if mode == PadMode::Reflect && pad >= size.max(1) {
                return Err(property("a mirrored pad", format!("less than the size {size}"), pad));
            }
        }
        shape.push(size.add(before)?.add(after)?);
    }
    Ok(Fact::of_type(TensorType::new(x.tensor_type.data_type, shape)))
}

fn infer_resize(by: ResizeBy, x: &Fact, size: &Fact) -> Result<Fact, Mismatch> {
    require("the element type", &DataType::F32, &x.tensor_type.data_type)?;
    let rank = x.tensor_type.rank();
    let shape = match (by, &size.content) {
        (ResizeBy::Sizes, _) => size.integers("the sizes", rank)?.to_vec(),
        (ResizeBy::Scales, Content::Floats(scales)) if scales.len() == rank => {
            x.shape().iter().zip(scales).map(|(size, &scale)| scaled(size, scale)).collect::<Result<_, _>>()?
        }
        (ResizeBy::Scales, _) => {
            return Err(property("the scales", format!("{rank} known floats"), &size.tensor_type));
        }
    };
    Ok(Fact::of_type(TensorType::new(DataType::F32, shape)))
}

/// `floor(size * scale)` where the scale or its inverse is an integer.
fn scaled(size: &Dim, scale: f32) -> Result<Dim, Mismatch> {
    /// Integers up to here are exact in 32-bit floats.
    const SCALE_MAX: f32 = 16_777_216.0;
    let whole = |value: f32| (value.fract() == 0.0 && (1.0..=SCALE_MAX).contains(&value)).then_some(value as i64);
    if let Some(factor) = whole(scale) {
        Ok(size.scale(factor)?)
    } else if let Some(divisor) = whole(scale.recip()) {
        Ok(size.floor_div(divisor)?)
    } else {
        Err(property("a scale", "an integer or the inverse of one", scale))
    }
}

fn exactly<'f, 'o, const N: usize>(operands: &'o [&'f Fact]) -> Result<&'o [&'f Fact; N], Mismatch> {
    operands.try_into().map_err(|_| property("the number of operands", N, operands.len()))
}

/// The axes of an f32 tensor of rank 4.
fn image(x: &Fact) -> Result<&[Dim; 4], Mismatch> {
    match <&[Dim; 4]>::try_from(x.shape()) {
        Ok(shape) if x.tensor_type.data_type == DataType::F32 => Ok(shape),
        _ => Err(property("the operand", "of type f32 and rank 4", &x.tensor_type)),
    }
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
