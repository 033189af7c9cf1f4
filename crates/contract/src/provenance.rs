//! Where the weights came from.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Scores;

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
    /// SHA-256 of that data set's samples, their names and parts; empty where it is not known.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub data_sha256: String,
    /// The metrics of these weights on the validation part, images that were not learned from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<Scores>,
    /// What configured the training, as the trainer's own `config.json` has it but for the paths of this or that machine.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub training: Map<String, Value>,
    /// In which precision the model computes, where that is not float32 throughout.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub precision: String,
    /// Whatever was assumed because nobody said it, a sentence each.
    pub assumptions: Vec<String>,
}
