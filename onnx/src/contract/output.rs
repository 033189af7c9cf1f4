//! What the network's output is.

use serde::{Deserialize, Serialize};

/// The network's output, `[n, classes, height, width]` at the size of its input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The name of the graph's output.
    pub name: String,
    /// What its numbers are.
    pub kind: OutputKind,
}

/// What the numbers of an output are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputKind {
    /// One unbounded score per class; the softmax over classes gives probabilities.
    Logits,
}
