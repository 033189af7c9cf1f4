//! The last checkpoint: all that a run needs to go on, in one file.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use ndarray::{ArrayD, IxDyn};
use safetensors::{Dtype, SafeTensorError, SafeTensors};
use seg_data::{WriteError, write_bytes};
use seg_onnx::contract::Contract;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::checkpoint::{CONTRACT_KEY, Checkpoint, ReadCheckpointError};
use crate::optimizer::{Moments, Optimizer};
use crate::record::EpochRecord;
use crate::weights::{Borrowed, Weights, to_array};

/// The key under which the file carries the run's progress.
const PROGRESS_KEY: &str = "progress";
/// The prefix of the weights' names.
const MODEL: &str = "model.";
/// The prefixes of the names of AdamW's two moments.
const MOMENTS: [&str; 2] = ["optimizer.first.", "optimizer.second."];

/// All that a run needs to go on.
#[derive(Clone, Debug)]
pub struct State {
    /// The network's weights.
    pub weights: Weights,
    /// The contract of the model that they make.
    pub contract: Contract,
    /// One record per epoch done.
    pub log: Vec<EpochRecord>,
    /// AdamW's moments by parameter, first and second, flattened.
    moments: BTreeMap<String, [ArrayD<f32>; 2]>,
    /// The steps that AdamW has taken.
    steps: usize,
}

/// How far a run has come, as the file holds it.
#[derive(Serialize, Deserialize)]
struct Progress {
    log: Vec<EpochRecord>,
    optimizer_steps: usize,
}

/// Why a last checkpoint cannot be used.
#[derive(Debug, Error)]
pub enum StateError {
    /// The weights or the contract cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] ReadCheckpointError),
    /// The file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file is no safetensors file.
    #[error("cannot go on from `{}`: it is not a safetensors file", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The reader's reason.
        source: SafeTensorError,
    },
    /// The file holds weights, but not what a run needs to go on.
    #[error("cannot go on from `{}`: it holds no {lack}; it is not the last checkpoint of a run", path.display())]
    Incomplete {
        /// The file.
        path: PathBuf,
        /// What it lacks.
        lack: String,
    },
}

impl State {
    /// The state after an epoch.
    pub fn new(weights: Weights, optimizer: &Optimizer, contract: Contract, log: Vec<EpochRecord>) -> Self {
        let moments = optimizer.moments();
        let steps = moments.values().map(|moments| moments.steps).max().unwrap_or_default();
        let moments = moments
            .iter()
            .map(|(name, Moments { first, second, .. })| (name.clone(), [first, second].map(|m| to_array(m.clone()))))
            .collect();
        Self { weights, contract, log, moments, steps }
    }

    /// AdamW's moments on a device.
    pub fn moments(&self, device: &Device) -> BTreeMap<String, Moments> {
        let tensor = |moment: &ArrayD<f32>| {
            let data = TensorData::new(moment.iter().copied().collect(), [moment.len()]);
            Tensor::from_data(data, device)
        };
        self.moments
            .iter()
            .map(|(name, [first, second])| {
                (name.clone(), Moments { steps: self.steps, first: tensor(first), second: tensor(second) })
            })
            .collect()
    }

    /// Writes the state, whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), WriteError> {
        let weights = self.weights.tensors().iter().map(|(name, tensor)| (format!("{MODEL}{name}"), Borrowed(tensor)));
        let moments = self.moments.iter().flat_map(|(name, both)| {
            MOMENTS.iter().zip(both).map(move |(prefix, moment)| (format!("{prefix}{name}"), Borrowed(moment)))
        });
        let progress = Progress { log: self.log.clone(), optimizer_steps: self.steps };
        let notes = HashMap::from([
            (CONTRACT_KEY.to_owned(), self.contract.to_json()),
            (PROGRESS_KEY.to_owned(), serde_json::to_string(&progress).expect("it has only string keys")),
        ]);
        let bytes = safetensors::serialize(weights.chain(moments), Some(notes)).expect("names are unique");
        write_bytes(path, &bytes)
    }

    /// Reads a state.
    ///
    /// # Errors
    /// When the file cannot be read or is not the last checkpoint of a run.
    pub fn read(path: &Path) -> Result<Self, StateError> {
        let incomplete = |lack: &str| StateError::Incomplete { path: path.into(), lack: lack.into() };
        let Checkpoint { weights, contract, .. } = Checkpoint::read(path)?;
        let contract = contract.ok_or_else(|| incomplete("contract"))?;
        let bytes = fs::read(path).map_err(|source| StateError::Io { path: path.into(), source })?;
        let format = |source| StateError::Format { path: path.into(), source };
        let file = SafeTensors::deserialize(&bytes).map_err(format)?;
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(format)?;
        let progress = header.metadata().as_ref().and_then(|notes| notes.get(PROGRESS_KEY));
        let progress = progress.ok_or_else(|| incomplete("progress"))?;
        let progress: Progress =
            serde_json::from_str(progress).map_err(|_| incomplete("progress that this version reads"))?;

        let moment = |prefix: &str, name: &str| {
            let view = file.tensor(&format!("{prefix}{name}")).map_err(format)?;
            if view.dtype() != Dtype::F32 {
                return Err(incomplete(&format!("float32 moments of `{name}`")));
            }
            let values = view.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            let length = IxDyn(&[view.data().len() / size_of::<f32>()]);
            Ok(ArrayD::from_shape_vec(length, values).expect("as many values as the length says"))
        };
        let mut moments = BTreeMap::new();
        for name in file.names().into_iter().filter_map(|name| name.strip_prefix(MOMENTS[0])) {
            moments.insert(name.to_owned(), [moment(MOMENTS[0], name)?, moment(MOMENTS[1], name)?]);
        }
        Ok(Self { weights, contract, log: progress.log, moments, steps: progress.optimizer_steps })
    }
}
