//! A computed value.

use half::f16;
use ndarray::{ArrayD, Axis, IxDyn};

use super::OpError;
use crate::graph::{Data, DataType, Tensor};

/// A computed value: floats of every width are computed in 64 bits, and so are integers and truth
/// values.
#[derive(Clone, Debug, PartialEq)]
pub enum Array {
    /// Floats.
    F64(ArrayD<f64>),
    /// Integers.
    I64(ArrayD<i64>),
}

impl Array {
    /// Returns the size of each axis.
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::F64(values) => values.shape(),
            Self::I64(values) => values.shape(),
        }
    }

    /// Converts the values to an element type. Values between two elements are rounded: halves to
    /// even for 16-bit floats, towards zero for integers; values beyond the range become its end.
    pub(super) fn cast(self, to: DataType) -> Self {
        let floats = match self {
            Self::F64(values) => values,
            Self::I64(values) if !to.is_float() => return Self::I64(values.mapv(|value| narrowed(value, to))),
            Self::I64(values) => values.mapv(|value| value as f64),
        };
        match to {
            DataType::F32 => Self::F64(floats),
            DataType::F16 => Self::F64(floats.mapv(|value| f16::from_f64(value).to_f64())),
            DataType::Bool => Self::I64(floats.mapv(|value| i64::from(value != 0.0))),
            _ => Self::I64(floats.mapv(|value| narrowed(value as i64, to))),
        }
    }

    /// Returns the values, if they are floats.
    pub fn as_f64(&self) -> Option<&ArrayD<f64>> {
        match self {
            Self::F64(values) => Some(values),
            Self::I64(_) => None,
        }
    }
}

impl From<&Tensor> for Array {
    fn from(tensor: &Tensor) -> Self {
        fn array<T>(shape: &[usize], values: Vec<T>) -> ArrayD<T> {
            ArrayD::from_shape_vec(IxDyn(shape), values).expect("a tensor has as many elements as its shape says")
        }
        match tensor.data() {
            Data::F32(values) => Self::F64(array(tensor.shape(), values.iter().copied().map(f64::from).collect())),
            Data::F16(values) => Self::F64(array(tensor.shape(), values.iter().copied().map(f64::from).collect())),
            Data::U8(values) => Self::I64(array(tensor.shape(), values.iter().copied().map(i64::from).collect())),
            Data::I8(values) => Self::I64(array(tensor.shape(), values.iter().copied().map(i64::from).collect())),
            Data::I32(values) => Self::I64(array(tensor.shape(), values.iter().copied().map(i64::from).collect())),
            Data::I64(values) => Self::I64(array(tensor.shape(), values.clone())),
        }
    }
}

/// Returns the nearest value that an integer type, or a truth value, can hold.
pub(super) fn narrowed(value: i64, to: DataType) -> i64 {
    match to {
        DataType::U8 => value.clamp(0, u8::MAX.into()),
        DataType::I8 => value.clamp(i8::MIN.into(), i8::MAX.into()),
        DataType::I32 => value.clamp(i32::MIN.into(), i32::MAX.into()),
        DataType::Bool => i64::from(value != 0),
        DataType::I64 | DataType::F32 | DataType::F16 => value,
    }
}

/// Joins arrays of one kind along an axis.
pub(super) fn concat(axis: usize, operands: &[&Array]) -> Result<Array, OpError> {
    let mut floats = Vec::new();
    let mut integers = Vec::new();
    for operand in operands {
        match operand {
            Array::F64(values) => floats.push(values.view()),
            Array::I64(values) => integers.push(values.view()),
        }
    }
    let joined = if integers.is_empty() {
        ndarray::concatenate(Axis(axis), &floats).map(Array::F64)
    } else if floats.is_empty() {
        ndarray::concatenate(Axis(axis), &integers).map(Array::I64)
    } else {
        return Err(OpError::Operands("of one type"));
    };
    joined.map_err(|_| OpError::Operands("of equal shape outside of the axis"))
}
