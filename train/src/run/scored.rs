//! The scores of a checkpoint on a part of a data set, in a file beside the run.

use seg_contract::Scores;
use seg_data::Part;
use serde::{Deserialize, Serialize};

/// The beginning of the names of files with scores.
const PREFIX: &str = "evaluation-";

/// The scores of a checkpoint on a part of a data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scored {
    /// The data set's name.
    pub data: String,
    /// The part of it.
    pub part: String,
    /// SHA-256 of the weights that were scored, as their contract has it.
    pub weights_sha256: String,
    /// The metrics.
    pub scores: Scores,
}

impl Scored {
    /// Returns the file's name in a run's folder.
    pub fn file_name(data: &str, part: Part) -> String {
        let data = data.replace(|c: char| !c.is_alphanumeric() && c != '-' && c != '_', "-");
        format!("{PREFIX}{data}-{part}.json")
    }

    /// Returns whether a file in a run's folder has such a name.
    pub fn is_file_name(name: &str) -> bool {
        name.starts_with(PREFIX) && name.ends_with(".json")
    }
}
