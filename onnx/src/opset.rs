//! The versions of ONNX's operator set that are written and read.

use std::fmt;

use crate::graph::Op;

/// A version of ONNX's default operator set, from [`OLDEST`](Self::OLDEST) to
/// [`NEWEST`](Self::NEWEST).
///
/// The operators that are written here mean the same in all of them: later versions added only
/// attributes, operands and types that are not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Opset(u8);

/// A version of the operator set that is not supported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("opset {0} is not supported: expected {oldest} to {newest}", oldest = Opset::OLDEST, newest = Opset::NEWEST)]
pub struct UnsupportedOpset(pub i64);

impl Opset {
    /// The version for older runtimes: it has no `Gelu`.
    pub const V17: Self = Self(17);
    /// The first version with `Gelu`.
    pub const V20: Self = Self(20);
    /// The oldest version.
    pub const OLDEST: Self = Self::V17;
    /// The newest version that the oldest supported ONNX Runtime, 1.24, loads.
    pub const NEWEST: Self = Self(25);

    /// Returns all versions, the oldest first.
    pub fn all() -> impl Iterator<Item = Self> {
        (Self::OLDEST.0..=Self::NEWEST.0).map(Self)
    }

    /// Returns the number in the file.
    pub fn version(self) -> i64 {
        self.0.into()
    }

    /// Returns the version of the file format that was current with this operator set.
    pub fn ir_version(self) -> i64 {
        match self.0 {
            ..=18 => 8,
            19 | 20 => 9,
            21 | 22 => 10,
            23 => 11,
            24 => 12,
            25.. => 13,
        }
    }

    /// Returns true if the operator, as it is written here, belongs to this operator set.
    pub fn has(self, op: &Op) -> bool {
        match op {
            Op::Gelu => self >= Self::V20,
            // In earlier versions its axes were an attribute.
            Op::ReduceMean => self > Self::V17,
            _ => true,
        }
    }
}

impl Default for Opset {
    fn default() -> Self {
        Self::V20
    }
}

impl TryFrom<i64> for Opset {
    type Error = UnsupportedOpset;

    fn try_from(version: i64) -> Result<Self, UnsupportedOpset> {
        Self::all().find(|opset| opset.version() == version).ok_or(UnsupportedOpset(version))
    }
}

impl fmt::Display for Opset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.version())
    }
}
