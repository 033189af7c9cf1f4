//! The network's output.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The network's output, at the size of its input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The name of the graph's output.
    pub name: String,
    /// The meaning of its numbers.
    pub kind: OutputKind,
}

/// The meaning of an output's numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum OutputKind {
    /// One unbounded score per class, `[n, classes, height, width]`; the softmax over classes gives
    /// probabilities.
    #[default]
    Logits,
    /// The probability of each class, `[n, classes, height, width]`; they sum to 1 at each pixel.
    Probabilities,
    /// The index of each pixel's class, `[n, height, width]` in u8.
    Mask,
}

impl fmt::Display for OutputKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Logits => "logits",
            Self::Probabilities => "probabilities",
            Self::Mask => "mask",
        })
    }
}
