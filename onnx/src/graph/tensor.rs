//! A constant: shape and elements.

use half::f16;

use super::{DataType, Dim, DimError, TensorType};

/// A constant tensor, dense and row-major (the last axis varies fastest).
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Data,
}

/// The elements of a [`Tensor`], one variant for each [`DataType`] that constants have.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// 16-bit floats.
    F16(Vec<f16>),
    /// 8-bit unsigned integers.
    U8(Vec<u8>),
    /// 8-bit signed integers.
    I8(Vec<i8>),
    /// 32-bit signed integers.
    I32(Vec<i32>),
    /// 64-bit signed integers.
    I64(Vec<i64>),
}

/// A shape that contradicts the number of elements.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a tensor of shape {shape:?} cannot hold {elements} elements")]
pub struct TensorError {
    /// The requested shape.
    pub shape: Vec<usize>,
    /// The number of elements that were given.
    pub elements: usize,
}

impl Tensor {
    /// Creates a tensor of the given shape; the product of `shape` must be the number of elements.
    pub fn new(shape: impl Into<Vec<usize>>, data: impl Into<Data>) -> Result<Self, TensorError> {
        let (shape, data) = (shape.into(), data.into());
        let product = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
        if product == Some(data.len()) {
            Ok(Self { shape, data })
        } else {
            Err(TensorError { shape, elements: data.len() })
        }
    }

    /// Creates a float without axes.
    pub fn scalar(value: f32) -> Self {
        Self { shape: Vec::new(), data: Data::F32(vec![value]) }
    }

    /// Creates a tensor with one axis.
    pub fn vector(data: impl Into<Data>) -> Self {
        let data = data.into();
        Self { shape: vec![data.len()], data }
    }

    /// Returns the size of each axis.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Returns the elements.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// Returns the elements, if they are 32-bit floats.
    pub fn as_f32(&self) -> Option<&[f32]> {
        match &self.data {
            Data::F32(values) => Some(values),
            _ => None,
        }
    }

    /// Returns the type of each element.
    pub fn data_type(&self) -> DataType {
        match self.data {
            Data::F32(_) => DataType::F32,
            Data::F16(_) => DataType::F16,
            Data::U8(_) => DataType::U8,
            Data::I8(_) => DataType::I8,
            Data::I32(_) => DataType::I32,
            Data::I64(_) => DataType::I64,
        }
    }

    /// Returns element type and shape; an error only for sizes beyond 64-bit integers.
    pub fn tensor_type(&self) -> Result<TensorType, DimError> {
        let shape: Vec<_> = self.shape.iter().map(|&size| Dim::try_from(size)).collect::<Result<_, _>>()?;
        Ok(TensorType::new(self.data_type(), shape))
    }

    /// Returns the bytes of all elements.
    pub fn size_bytes(&self) -> usize {
        self.data.len() * self.data_type().size_bytes()
    }
}

impl Data {
    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F16(values) => values.len(),
            Self::U8(values) => values.len(),
            Self::I8(values) => values.len(),
            Self::I32(values) => values.len(),
            Self::I64(values) => values.len(),
        }
    }

    /// Returns true if there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

// Integers of other types are named by their variant, so that a list of plain numbers is one of
// `i64` everywhere.

impl From<Vec<f32>> for Data {
    fn from(values: Vec<f32>) -> Self {
        Self::F32(values)
    }
}

impl From<Vec<f16>> for Data {
    fn from(values: Vec<f16>) -> Self {
        Self::F16(values)
    }
}

impl From<Vec<i64>> for Data {
    fn from(values: Vec<i64>) -> Self {
        Self::I64(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_holds_as_many_elements_as_its_shape_says() {
        for (name, shape, elements, accepted) in [
            ("matrix", vec![2, 3], 6, true),
            ("scalar", vec![], 1, true),
            ("empty axis", vec![4, 0], 0, true),
            ("too few", vec![2, 3], 5, false),
            ("scalar without a value", vec![], 0, false),
            ("overflowing product", vec![usize::MAX, 2], 6, false),
        ] {
            assert_eq!(Tensor::new(shape, vec![0.0; elements]).is_ok(), accepted, "{name}");
        }
    }
}
