//! The last checkpoint: all that a run needs to go on, in one file.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::{fs, io, iter};

use burn::tensor::{Device, Tensor, TensorData};
use ndarray::ArrayD;
use safetensors::{Dtype, SafeTensorError, SafeTensors};
use seg_contract::Contract;
use seg_data::{WriteError, write_bytes};
use seg_nets::checkpoint::{CONTRACT_KEY, Checkpoint, ReadCheckpointError};
use seg_nets::weights::{Borrowed, Weights, to_array};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::learn::learner::Learner;
use crate::learn::optimizer::Moments;
use crate::run::record::{EpochRecord, Tally};

/// The key under which the file carries the run's progress.
const PROGRESS_KEY: &str = "progress";
/// The prefix of the names of the weights to use.
const MODEL: &str = "model.";
/// The prefix of the names of the weights that learn, where the weights to use are their average. A
/// reader who knows neither takes the shorter prefix.
const LEARNING: &str = "learning.";
/// The prefixes of the names of AdamW's two moments.
const MOMENTS: [&str; 2] = ["optimizer.first.", "optimizer.second."];

/// The state from which a run goes on.
#[derive(Clone, Debug)]
pub struct State {
    /// The weights to use: the moving average where one is kept, else those that learn.
    pub weights: Weights,
    /// The weights that learn, where they are not the weights to use.
    pub learning: Option<Weights>,
    /// The contract of the model that they make.
    pub contract: Contract,
    /// One record per epoch done.
    pub log: Vec<EpochRecord>,
    /// The sums of the epoch that is not done; empty between epochs.
    pub tally: Tally,
    /// AdamW's moments by parameter, first and second, flattened.
    moments: BTreeMap<String, [ArrayD<f32>; 2]>,
    /// The steps that AdamW has taken.
    pub steps: usize,
}

/// The progress of a run, as the file holds it.
#[derive(Serialize, Deserialize)]
struct Progress {
    log: Vec<EpochRecord>,
    tally: Tally,
    optimizer_steps: usize,
}

/// An error in using a last checkpoint.
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
    /// The file is not a safetensors file.
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
        /// The missing part.
        lack: String,
    },
    /// The file and the run's configuration disagree on the moving average.
    #[error(
        "cannot go on from `{}`: it holds {} moving average of the weights, and the run's configuration says otherwise",
        path.display(),
        if *has { "a" } else { "no" }
    )]
    Average {
        /// The file.
        path: PathBuf,
        /// True if the file holds one.
        has: bool,
    },
}

impl State {
    /// Creates the state of a learner after some epochs, with the values of the next epoch that
    /// `tally` has gathered.
    pub fn new(learner: &Learner, contract: Contract, log: Vec<EpochRecord>, tally: Tally) -> Self {
        let moments = learner.optimizer().moments();
        let steps = moments.values().map(|moments| moments.steps).max().unwrap_or_default();
        let moments = moments
            .iter()
            .map(|(name, Moments { first, second, .. })| (name.clone(), [first, second].map(|m| to_array(m.clone()))))
            .collect();
        let learning = learner.average().is_some().then(|| Weights::from_network(&learner.net()));
        Self { weights: Weights::from_network(&learner.best_net()), learning, contract, log, tally, moments, steps }
    }

    /// Returns whether all weights are finite.
    pub fn is_finite(&self) -> bool {
        let both = iter::once(&self.weights).chain(&self.learning);
        both.flat_map(|weights| weights.tensors().values()).flatten().all(|value| value.is_finite())
    }

    /// AdamW's moments on a device.
    pub fn moments(&self, device: &Device) -> BTreeMap<String, Moments> {
        self.moments
            .iter()
            .map(|(name, [first, second])| {
                (
                    name.clone(),
                    Moments { steps: self.steps, first: tensor(first, device), second: tensor(second, device) },
                )
            })
            .collect()
    }

    /// Writes the state, whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), WriteError> {
        let weights = iter::once((MODEL, &self.weights)).chain(self.learning.iter().map(|weights| (LEARNING, weights)));
        let weights = weights.flat_map(|(prefix, weights)| {
            weights.tensors().iter().map(move |(name, tensor)| (format!("{prefix}{name}"), Borrowed(tensor)))
        });
        let moments = self.moments.iter().flat_map(|(name, both)| {
            MOMENTS.iter().zip(both).map(move |(prefix, moment)| (format!("{prefix}{name}"), Borrowed(moment)))
        });
        let progress = Progress { log: self.log.clone(), tally: self.tally.clone(), optimizer_steps: self.steps };
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
        let Checkpoint { weights, contract, .. } = Checkpoint::read(path)?;
        let contract = contract.ok_or_else(|| incomplete(path, "contract"))?;
        let bytes = fs::read(path).map_err(|source| StateError::Io { path: path.into(), source })?;
        let format = |source| StateError::Format { path: path.into(), source };
        let file = SafeTensors::deserialize(&bytes).map_err(format)?;
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(format)?;
        let progress = header.metadata().as_ref().and_then(|notes| notes.get(PROGRESS_KEY));
        let progress = progress.ok_or_else(|| incomplete(path, "progress"))?;
        let progress: Progress =
            serde_json::from_str(progress).map_err(|_| incomplete(path, "progress that this version reads"))?;

        let array = |name: &str| read_array(path, &file, name);
        let (mut moments, mut learning) = (BTreeMap::new(), BTreeMap::new());
        for full in file.names() {
            if let Some(name) = full.strip_prefix(MOMENTS[0]) {
                moments.insert(name.to_owned(), [array(full)?, array(&format!("{}{name}", MOMENTS[1]))?]);
            } else if let Some(name) = full.strip_prefix(LEARNING) {
                learning.insert(name.to_owned(), array(full)?);
            }
        }
        let of_learning = |learning| Weights::new(weights.network(), learning).with_options(weights.options().clone());
        let learning = (!learning.is_empty()).then(|| of_learning(learning));
        let Progress { log, tally, optimizer_steps: steps } = progress;
        Ok(Self { weights, learning, contract, log, tally, moments, steps })
    }
}

/// Returns a moment as a tensor `[values]`.
fn tensor(moment: &ArrayD<f32>, device: &Device) -> Tensor<1> {
    let data = TensorData::new(moment.iter().copied().collect(), [moment.len()]);
    Tensor::from_data(data, device)
}

/// Reads an array of float32 values.
fn read_array(path: &Path, file: &SafeTensors<'_>, name: &str) -> Result<ArrayD<f32>, StateError> {
    let view = file.tensor(name).map_err(|source| StateError::Format { path: path.into(), source })?;
    if view.dtype() != Dtype::F32 {
        return Err(incomplete(path, &format!("float32 values of `{name}`")));
    }
    let values = view.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    Ok(ArrayD::from_shape_vec(view.shape(), values).expect("safetensors checks a tensor's length"))
}

fn incomplete(path: &Path, lack: &str) -> StateError {
    StateError::Incomplete { path: path.into(), lack: lack.into() }
}
