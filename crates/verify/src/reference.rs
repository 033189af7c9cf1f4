//! What a model is held against: the trained network's graph before any rewrite, and what the training framework made of
//! the fixed inputs. A file of it needs no training framework to be checked again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use ndarray::{Array3, Array4, ArrayView4, Axis};
use seg_contract::{Contract, ContractError};
use seg_data::WriteError;
use seg_inference::tensors::{TensorError, TensorFile};
use seg_onnx::graph::Tensor;
use seg_onnx::proto::{self, WriteError as GraphError};
use seg_onnx::{CONTRACT_KEY, Model, ModelError, Opset};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::bounds::trained_at;
use crate::figures::Figures;
use crate::finding::{Finding, contract_differences};
use crate::masks::{MaskReport, classes, probabilities};
use crate::{case, facts};

/// The key in an ONNX file's metadata under which a reference keeps all but the graph and the contract, as JSON.
pub const REFERENCE_KEY: &str = "seg.reference";

/// The version of a reference's own layout, and of the fixed inputs that its figures are of; a reader refuses every other one.
pub const REFERENCE_FORMAT: u32 = 3;

/// The note in a checkpoint that holds its contract.
const CHECKPOINT_CONTRACT: &str = "contract";

/// What a model is held against.
#[derive(Clone, Debug)]
pub struct Reference {
    /// The network's graph as it was lowered, before any pass, with the contract of the model.
    pub model: Model,
    /// The graph's learned constants by the names that they have in a checkpoint.
    pub parameters: BTreeMap<String, String>,
    /// The passes that made the exported graph of this one, in their order.
    pub passes: Vec<String>,
    /// What made it, with its version.
    pub tool: String,
    /// What the training framework computes, by case.
    pub trained: BTreeMap<String, Trained>,
}

/// All of a reference that is neither graph nor contract.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Notes {
    format: u32,
    tool: String,
    passes: Vec<String>,
    parameters: BTreeMap<String, String>,
    trained: BTreeMap<String, Trained>,
}

/// What the training framework's float32 makes of a case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trained {
    /// The hash of the input.
    pub input_sha256: String,
    /// The error of the logits.
    pub logits: Figures,
    /// The error of the probabilities, which are the softmax of the logits.
    pub probabilities: Figures,
    /// The errors of values inside, by their names, where they were looked at.
    pub values: BTreeMap<String, Figures>,
    /// Pixels, counted along batch, rows and columns, that have another class than in the exact mask, and that class.
    pub flips: Vec<(usize, u8)>,
}

/// How far the training framework's answer to a case is from the exact one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainedReport {
    /// The largest error of its logits, or of a value inside where some were looked at, relative to its scale.
    pub relative: f64,
    /// The pixels to which it gives another class than the exact mask.
    pub flipped: usize,
    /// Those of them whose margin is too wide for rounding.
    pub unexplained: usize,
    /// The widest exact margin that one crossed; 0 where none did.
    pub widest: f64,
    /// The widest that rounding explains.
    pub margin: f64,
}

/// Why a reference cannot be read or written.
#[derive(Debug, Error)]
pub enum ReferenceError {
    /// The file cannot be read.
    #[error("cannot read the reference `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no model.
    #[error("cannot use `{path}` as a reference written by `export`")]
    Model {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<ModelError>,
    },
    /// The file is a model, but no reference.
    #[error(
        "`{path}` is a model and not a reference: its metadata has no usable `{REFERENCE_KEY}`; `export` writes one beside each model"
    )]
    Notes {
        /// The file.
        path: PathBuf,
        /// What is wrong with the entry, where there is one.
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
    /// The graph cannot be written.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Why a checkpoint cannot be compared with.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// Its tensors cannot be read.
    #[error(transparent)]
    Tensors(#[from] TensorError),
    /// Its contract cannot be read.
    #[error("cannot compare with the contract that the checkpoint `{path}` carries")]
    Contract {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ContractError,
    },
}

impl Reference {
    /// Reads a reference.
    ///
    /// # Errors
    /// When the file is none.
    pub fn read(path: &Path) -> Result<Self, ReferenceError> {
        let bytes = fs::read(path).map_err(|source| ReferenceError::Read { path: path.into(), source })?;
        Self::from_bytes(path, &bytes)
    }

    /// Reads the content of a file, which is named in errors.
    ///
    /// # Errors
    /// When the bytes are no reference.
    pub fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Self, ReferenceError> {
        /// Read first, so that another layout is named as such.
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let unusable = |source| ReferenceError::Model { path: path.into(), source: Box::new(source) };
        let model = Model::from_bytes(bytes).map_err(unusable)?;
        let metadata = proto::read_metadata(bytes).map_err(|error| unusable(error.into()))?;
        let damaged = |source| ReferenceError::Notes { path: path.into(), source };
        let (_, json) = metadata.iter().find(|(key, _)| key == REFERENCE_KEY).ok_or_else(|| damaged(None))?;
        let Format { format } = serde_json::from_str(json).map_err(|error| damaged(Some(error)))?;
        if format != REFERENCE_FORMAT {
            return Err(ReferenceError::Format { path: path.into(), found: format });
        }
        let Notes { tool, passes, parameters, trained, .. } =
            serde_json::from_str(json).map_err(|error| damaged(Some(error)))?;
        Ok(Self { model, parameters, passes, tool, trained })
    }

    /// The content of a file, which is an ONNX model itself.
    ///
    /// # Errors
    /// When the graph breaks an invariant.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ReferenceError> {
        let Self { model, parameters, passes, tool, trained } = self.clone();
        let notes = Notes { format: REFERENCE_FORMAT, tool, passes, parameters, trained };
        let notes = serde_json::to_string(&notes).expect("names are strings and figures are finite");
        let metadata = [(CONTRACT_KEY.to_owned(), model.contract.to_json()), (REFERENCE_KEY.to_owned(), notes)];
        Ok(proto::write(&model.graph, Opset::V20, &metadata)?)
    }

    /// The file beside a model in which its reference is kept: `amsunet.reference.onnx` of `amsunet.onnx`.
    pub fn beside(model: &Path) -> PathBuf {
        facts::beside(model, "reference.onnx")
    }

    /// The learned constants by the names that they have in a checkpoint; `None` for one that the graph lacks.
    fn learned(&self) -> impl Iterator<Item = (&str, Option<&Tensor>)> {
        self.parameters.iter().map(|(name, path)| (name.as_str(), self.model.graph.initializers.get(path)))
    }

    /// Whether this version made it, whose passes rewrite its graph as they did when it was exported.
    pub fn is_of_this_version(&self) -> bool {
        self.tool.split_whitespace().any(|word| word == env!("CARGO_PKG_VERSION"))
    }

    /// Whether the graph's constants are those whose hash the contract names.
    pub fn check_hash(&self) -> Vec<Finding> {
        let mut hash = Sha256::new();
        for (name, tensor) in self.learned() {
            let Some((tensor, values)) = tensor.and_then(|tensor| Some((tensor, tensor.as_f32()?))) else {
                return vec![Finding::Weights {
                    tensor: name.into(),
                    problem: "the reference does not hold it".into(),
                }];
            };
            hash.update(name.as_bytes());
            hash.update([0]);
            for side in tensor.shape() {
                hash.update((*side as u64).to_le_bytes());
            }
            for value in values {
                hash.update(value.to_le_bytes());
            }
        }
        let found = format!("{:x}", hash.finalize());
        let expected = &self.model.contract.provenance.weights_sha256;
        if found == *expected {
            return Vec::new();
        }
        vec![Finding::Hash { found, expected: expected.clone() }]
    }

    /// Compares the graph's constants bit for bit with a checkpoint's tensors, and the contract with the one that the
    /// checkpoint carries.
    ///
    /// # Errors
    /// When the checkpoint, or the contract that it carries, cannot be read.
    pub fn check_weights(&self, checkpoint: &TensorFile) -> Result<Vec<Finding>, CheckpointError> {
        let mut findings = Vec::new();
        let mut differ = |name: &str, problem: String| {
            findings.push(Finding::Weights { tensor: name.into(), problem });
        };
        let held = checkpoint.names()?;
        for name in held.iter().filter(|name| !self.parameters.contains_key(*name)) {
            differ(name, "the checkpoint holds it, the reference does not".into());
        }
        for (name, tensor) in self.learned() {
            let Some((tensor, values)) = tensor.and_then(|tensor| Some((tensor, tensor.as_f32()?))) else {
                differ(name, "the reference does not hold it".into());
                continue;
            };
            if !held.iter().any(|held| held == name) {
                differ(name, "the reference holds it, the checkpoint does not".into());
                continue;
            }
            let trained = checkpoint.tensor(name)?;
            let differing =
                trained.iter().zip(values).filter(|(trained, value)| trained.to_bits() != f64::from(**value).to_bits());
            if trained.shape() != tensor.shape() {
                differ(name, format!("its shape is {:?}, trained was {:?}", tensor.shape(), trained.shape()));
            } else if let count @ 1.. = differing.count() {
                differ(name, format!("{count} of {} values are not the trained ones", values.len()));
            }
        }
        if let Some(json) = checkpoint.note(CHECKPOINT_CONTRACT)? {
            let unreadable = |source| CheckpointError::Contract { path: checkpoint.path().into(), source };
            let contract = Contract::from_json(&json).map_err(unreadable)?;
            findings.extend(contract_differences(&self.model.contract, &contract, true));
        }
        Ok(findings)
    }
}

impl Trained {
    /// What the training framework made of an input, `found`, beside the exact logits.
    pub fn of(input: ArrayView4<'_, f32>, found: ArrayView4<'_, f32>, exact: ArrayView4<'_, f64>) -> Self {
        let softmax = probabilities(found.mapv(f64::from).view()).mapv(|share| share as f32);
        let masks = classes(found).into_iter().zip(classes(exact)).enumerate();
        Self {
            input_sha256: case::sha256(input),
            logits: Figures::of(found.into_dyn(), exact.into_dyn()),
            probabilities: Figures::of(softmax.view().into_dyn(), probabilities(exact).view().into_dyn()),
            values: BTreeMap::new(),
            flips: masks
                .filter(|(_, (found, exact))| found != exact)
                .map(|(pixel, (found, _))| (pixel, found))
                .collect(),
        }
    }

    /// The mask `[n, h, w]` of these flips in the exact mask.
    pub fn mask(&self, exact: &Array4<f64>) -> Array3<u8> {
        let mut mask = classes(exact.view());
        let (_, height, width) = mask.dim();
        for &(pixel, class) in &self.flips {
            let place = (pixel / (height * width), pixel / width % height, pixel % width);
            if let Some(label) = mask.get_mut(place) {
                *label = class;
            }
        }
        mask
    }

    /// How far it is from the exact answer, the logits measured by a scale, and what of that speaks against the graph being the trained network: errors
    /// that the training framework's rounding does not explain.
    pub fn check(&self, exact: &Array4<f64>, scale: f64) -> (TrainedReport, Vec<Finding>) {
        let (_, _, height, width) = exact.dim();
        let allowed = trained_at(height.max(width));
        let (logits, margin) = (self.logits.clone().at_scale(scale), 2.0 * allowed * scale);
        let off = |value: &str, figures: &Figures| Finding::Trained {
            value: value.into(),
            found: figures.relative(),
            not_finite: figures.not_finite,
            allowed,
        };
        let mut findings: Vec<_> = self
            .values
            .iter()
            .filter(|(_, figures)| !figures.is_within(allowed))
            .map(|(value, figures)| off(value, figures))
            .collect();
        if !logits.is_within(allowed) {
            findings.push(off("the output", &logits));
        }
        let mask = MaskReport::of(self.mask(exact).view(), exact.view(), margin);
        if mask.unexplained > 0 {
            findings.push(Finding::TrainedMask { unexplained: mask.unexplained, widest: mask.widest, allowed: margin });
        }
        let MaskReport { flipped, unexplained, widest, margin, .. } = mask;
        let relative = self.values.values().map(Figures::relative).fold(logits.relative(), f64::max);
        (TrainedReport { relative, flipped, unexplained, widest, margin }, findings)
    }
}

/// A batch's images, one after another.
pub(super) fn items<T>(batch: ArrayView4<'_, T>) -> impl Iterator<Item = ArrayView4<'_, T>> {
    (0..batch.len_of(Axis(0))).map(move |item| batch.slice_axis_move(Axis(0), (item..=item).into()))
}
