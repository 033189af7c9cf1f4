//! The versions of ONNX's operator set that are written and read.

use std::fmt;

use crate::graph::Op;

/// A version of ONNX's default operator set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Opset {
    /// For runtimes that are behind: it has no `Gelu`.
    V17,
    /// The first version with `Gelu`.
    #[default]
    V20,
}

/// A version of the operator set that is not supported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("opset {0} is not supported: expected 17 or 20")]
pub struct UnsupportedOpset(pub i64);

impl Opset {
    /// The number that stands in the file.
    pub fn version(self) -> i64 {
        match self {
            Self::V17 => 17,
            Self::V20 => 20,
        }
    }

    /// The version of the file format that was current with this operator set.
    pub fn ir_version(self) -> i64 {
        match self {
            Self::V17 => 8,
            Self::V20 => 9,
        }
    }

    /// Whether the operator, as it is written here, belongs to this operator set.
    pub fn has(self, op: &Op) -> bool {
        match op {
            Op::Gelu => self >= Self::V20,
            _ => true,
        }
    }
}

impl TryFrom<i64> for Opset {
    type Error = UnsupportedOpset;

    fn try_from(version: i64) -> Result<Self, UnsupportedOpset> {
        [Self::V17, Self::V20].into_iter().find(|opset| opset.version() == version).ok_or(UnsupportedOpset(version))
    }
}

impl fmt::Display for Opset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.version())
    }
}
