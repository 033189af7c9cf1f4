//! The type of a tensor: its element type and its shape.

use std::fmt;

use super::Dim;

/// The type of one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DataType {
    /// 32-bit float.
    F32,
    /// 16-bit float of IEEE 754: five bits of exponent, so at most 65504.
    F16,
    /// 8-bit unsigned integer: raw pixels, masks, quantised values.
    U8,
    /// 8-bit signed integer: quantised weights.
    I8,
    /// 32-bit signed integer: quantised biases.
    I32,
    /// 64-bit signed integer: shapes, paddings, sizes.
    I64,
    /// True or false; only computed, never constant.
    Bool,
}

impl DataType {
    const ALL: [Self; 7] = [Self::F32, Self::F16, Self::U8, Self::I8, Self::I32, Self::I64, Self::Bool];

    /// Returns the bytes of one element.
    pub fn size_bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::F16 => 2,
            Self::F32 | Self::I32 => 4,
            Self::I64 => 8,
        }
    }

    /// Returns true for floats of any width.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F16)
    }

    /// Returns the number of the type in ONNX files (`TensorProto.DataType`).
    pub fn onnx_number(self) -> i32 {
        match self {
            Self::F32 => 1,
            Self::U8 => 2,
            Self::I8 => 3,
            Self::I32 => 6,
            Self::I64 => 7,
            Self::Bool => 9,
            Self::F16 => 10,
        }
    }

    /// Returns the type with a number in ONNX files, if it is supported.
    pub fn from_onnx_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|data_type| data_type.onnx_number() == number)
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::U8 => "u8",
            Self::I8 => "i8",
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::Bool => "bool",
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
    /// Creates a type of the given elements and shape.
    pub fn new(data_type: DataType, shape: impl Into<Vec<Dim>>) -> Self {
        Self { data_type, shape: shape.into() }
    }

    /// Returns the number of axes.
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
