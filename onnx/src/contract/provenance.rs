//! Where the weights came from.

use serde::{Deserialize, Serialize};

/// Where the weights came from, as far as the exporter was told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Provenance {
    /// The network, as `amsunet`.
    pub network: String,
    /// The network's configuration, as `base_width=32`.
    pub configuration: String,
    /// The tool and version that wrote the contract.
    pub tool: String,
    /// SHA-256 of the weights' values in the order of their names, in hexadecimal.
    pub weights_sha256: String,
    /// The data set that the weights were trained on, as its reader describes it.
    pub data: String,
    /// The epoch that the weights were taken from, counted from 1.
    pub epoch: Option<usize>,
    /// The score by which the epoch was chosen, as `validation dice_per_image 0.81`.
    pub score: String,
    /// Whatever was assumed because nobody said it, a sentence each.
    pub assumptions: Vec<String>,
}
