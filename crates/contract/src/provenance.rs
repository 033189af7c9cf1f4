//! The origin of the weights.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Scores;

/// The origin of the weights, as far as the exporter knows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    /// SHA-256 of that data set's samples, their names and parts; empty if unknown.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub data_sha256: String,
    /// The metrics of these weights on the validation images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<Scores>,
    /// The settings of the training, as in the trainer's own `config.json` but without the paths of
    /// the machine.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub training: Map<String, Value>,
    /// The precision in which the model computes, if it is not float32 throughout.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub precision: String,
    /// The assumptions that were made about unstated facts, a sentence each.
    pub assumptions: Vec<String>,
}
