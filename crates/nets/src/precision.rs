//! The types that a network computes in while it learns.

use std::str::FromStr;

use burn::tensor::{Device, FloatDType};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The type of the maps between a network's layers while it learns.
///
/// Weights, their gradients and the optimizer's moments, sums over pixels, and the loss have 32
/// bits in either case, and so has everything when a network is validated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits.
    #[default]
    Fp32,
    /// 16 bits with the exponents of 32, so that no gradient is lost and the loss needs no scale.
    Bf16,
}

/// A text that names no precision.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is no precision to learn in; expected fp32 or bf16")]
pub struct UnknownPrecision(String);

impl FromStr for Precision {
    type Err = UnknownPrecision;

    fn from_str(text: &str) -> Result<Self, UnknownPrecision> {
        let named = [Self::Fp32, Self::Bf16].into_iter().find(|precision| precision.name() == text);
        named.ok_or_else(|| UnknownPrecision(text.into()))
    }
}

impl Precision {
    /// Returns its name in configurations and flags.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Bf16 => "bf16",
        }
    }

    /// Burn's name of the type.
    pub fn dtype(self) -> FloatDType {
        match self {
            Self::Fp32 => FloatDType::F32,
            Self::Bf16 => FloatDType::BF16,
        }
    }

    /// Returns whether a device has the type.
    pub fn is_on(self, device: &Device) -> bool {
        device.supports_dtype(self.dtype())
    }
}
