//! What is known of a tensor before it is computed: its element type and its shape.

use std::fmt;

use super::Dim;

/// The type of one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DataType {
    /// 32-bit float.
    F32,
    /// 64-bit signed integer: shapes, paddings, sizes.
    I64,
}

impl DataType {
    /// Bytes of one element.
    pub fn size_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::I64 => 8,
        }
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::I64 => "i64",
        })
    }
}

/// Element type and shape; prints as `f32[batch, 3, height, width]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorType {
    /// The type of each element.
    pub data_type: DataType,
    /// The size of each axis, outermost first; empty for a scalar.
    pub shape: Vec<Dim>,
}

impl TensorType {
    /// A type of the given elements and shape.
    pub fn new(data_type: DataType, shape: impl Into<Vec<Dim>>) -> Self {
        Self { data_type, shape: shape.into() }
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape: Vec<_> = self.shape.iter().map(Dim::to_string).collect();
        write!(f, "{}[{}]", self.data_type, shape.join(", "))
    }
}
