//! The reference of a model: the trained network's graph before any rewrite, and the errors of the
//! training framework on the fixed inputs. With this file a proof needs no training framework.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use seg_data::WriteError;
use seg_onnx::graph::Tensor;
use seg_onnx::proto::{self, WriteError as GraphError};
use seg_onnx::{CONTRACT_KEY, Model, ModelError, Opset};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::paths;

pub(crate) mod framework;
pub(crate) mod weights;

use framework::FrameworkOutput;

/// The key in an ONNX file's metadata that holds, as JSON, everything in a reference except the
/// graph and the contract.
pub const REFERENCE_KEY: &str = "seg.reference";

/// The version of a reference's layout, and of the fixed inputs that its errors belong to; a reader
/// refuses any other.
pub const REFERENCE_FORMAT: u32 = 3;

/// The reference that a model is compared with.
#[derive(Clone, Debug)]
pub struct Reference {
    /// The network's graph as it was lowered, before any pass, with the model's contract.
    pub model: Model,
    /// The names of the graph's learned constants, by their names in a checkpoint.
    pub parameters: BTreeMap<String, String>,
    /// The passes that rewrote this graph into the exported one, in their order.
    pub passes: Vec<String>,
    /// The program that wrote it, with its version.
    pub tool: String,
    /// The training framework's outputs, by the names of inputs.
    pub framework_outputs: BTreeMap<String, FrameworkOutput>,
}

/// The part of a reference that is neither graph nor contract.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Notes {
    format: u32,
    tool: String,
    passes: Vec<String>,
    parameters: BTreeMap<String, String>,
    #[serde(rename = "trained")]
    framework_outputs: BTreeMap<String, FrameworkOutput>,
}

/// The version of a reference, which is read first so that another layout is named as such.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// An error in reading or writing a reference.
#[derive(Debug, Error)]
pub enum ReferenceError {
    /// The file cannot be read.
    #[error("cannot read the reference `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file is not a model.
    #[error("cannot use `{path}` as a reference written by `seg export`")]
    Model {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: Box<ModelError>,
    },
    /// The file is a model, but not a reference.
    #[error(
        "`{path}` is a model and not a reference: its metadata has no usable `{REFERENCE_KEY}`; `seg export` writes one beside each model"
    )]
    Notes {
        /// The file.
        path: PathBuf,
        /// The defect of the entry, if there is one.
        source: Option<serde_json::Error>,
    },
    /// The file was written by a version with another layout.
    #[error("the reference `{path}` has format {found}, this version reads {REFERENCE_FORMAT}; export the model again")]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// Figures of the training framework contradict each other.
    #[error(
        "the reference `{path}` has figures of the training framework for `{input}` that do not fit together, so it \
         was changed; export the model again"
    )]
    Figures {
        /// The file.
        path: PathBuf,
        /// The input.
        input: String,
    },
    /// The graph cannot be written.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl Reference {
    /// Reads a reference.
    ///
    /// # Errors
    /// When the file is not a reference.
    pub fn read(path: &Path) -> Result<Self, ReferenceError> {
        let bytes = fs::read(path).map_err(|source| ReferenceError::Read { path: path.into(), source })?;
        Self::from_bytes(path, &bytes)
    }

    /// Reads the content of a reference's file; errors name `path`.
    ///
    /// # Errors
    /// When the bytes are not a reference.
    pub fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Self, ReferenceError> {
        let unusable = |source| ReferenceError::Model { path: path.into(), source: Box::new(source) };
        let model = Model::from_bytes(bytes).map_err(unusable)?;
        let metadata = proto::read_metadata(bytes).map_err(|error| unusable(error.into()))?;
        let damaged = |source| ReferenceError::Notes { path: path.into(), source };
        let (_, json) = metadata.iter().find(|(key, _)| key == REFERENCE_KEY).ok_or_else(|| damaged(None))?;
        let Format { format } = serde_json::from_str(json).map_err(|error| damaged(Some(error)))?;
        if format != REFERENCE_FORMAT {
            return Err(ReferenceError::Format { path: path.into(), found: format });
        }
        let Notes { tool, passes, parameters, framework_outputs, .. } =
            serde_json::from_str(json).map_err(|error| damaged(Some(error)))?;
        if let Some((input, _)) = framework_outputs.iter().find(|(_, output)| !output.is_consistent()) {
            return Err(ReferenceError::Figures { path: path.into(), input: input.clone() });
        }
        Ok(Self { model, parameters, passes, tool, framework_outputs })
    }

    /// Returns the content of a reference's file, which is itself an ONNX model.
    ///
    /// # Errors
    /// When the graph breaks an invariant.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ReferenceError> {
        let Self { model, parameters, passes, tool, framework_outputs } = self.clone();
        let notes = Notes { format: REFERENCE_FORMAT, tool, passes, parameters, framework_outputs };
        let notes = serde_json::to_string(&notes).expect("names are strings and errors are finite");
        let metadata = [(CONTRACT_KEY.to_owned(), model.contract.to_json()), (REFERENCE_KEY.to_owned(), notes)];
        Ok(proto::write(&model.graph, Opset::V20, &metadata)?)
    }

    /// Returns the path of a model's reference: `amsunet.reference.onnx` beside `amsunet.onnx`.
    pub fn beside(model: &Path) -> PathBuf {
        paths::beside(model, "reference.onnx")
    }

    /// Lists the learned constants by their names in a checkpoint; `None` for one that the graph
    /// lacks.
    fn learned(&self) -> impl Iterator<Item = (&str, Option<&Tensor>)> {
        self.parameters.iter().map(|(name, path)| (name.as_str(), self.model.graph.initializers.get(path)))
    }

    /// Returns true if this version exported the reference, so that its passes rewrite the graph in
    /// the same way now.
    pub fn is_of_this_version(&self) -> bool {
        self.tool.split_whitespace().any(|word| word == env!("CARGO_PKG_VERSION"))
    }
}
