//! A computed value.

use ndarray::{ArrayD, Axis, IxDyn};

use super::OpError;
use crate::graph::{Data, Tensor};

/// A computed value; floats of every width are computed in 64 bits.
#[derive(Clone, Debug, PartialEq)]
pub enum Array {
    /// Floats.
    F64(ArrayD<f64>),
    /// Integers.
    I64(ArrayD<i64>),
}

impl Array {
    /// The size of each axis.
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::F64(values) => values.shape(),
            Self::I64(values) => values.shape(),
        }
    }

    /// The values, if they are floats.
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
            Data::I64(values) => Self::I64(array(tensor.shape(), values.clone())),
        }
    }
}

/// Arrays of one kind, one after another along an axis.
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
