//! A checkpoint: weights with the contract of the model that they make.

use std::path::{Path, PathBuf};

use seg_contract::{Contract, ContractError};
use seg_data::WriteError;
use thiserror::Error;

use crate::runs::BEST;
use crate::weights::{ReadWeightsError, Weights, WeightsFile, WeightsPart};

pub use crate::weights::CONTRACT_KEY;

/// Weights with the contract of the model that they make.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// The file that it was read from.
    pub path: PathBuf,
    /// The weights.
    pub weights: Weights,
    /// The contract; files that others wrote have none.
    pub contract: Option<Contract>,
}

/// An error in reading a checkpoint.
#[derive(Debug, Error)]
pub enum ReadCheckpointError {
    /// The weights cannot be read.
    #[error(transparent)]
    Weights(#[from] ReadWeightsError),
    /// The contract beside the weights cannot be used.
    #[error("cannot use the contract in `{}`", path.display())]
    Contract {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: ContractError,
    },
    /// The folder is not a finished run.
    #[error("`{}` holds no `{}`; it is not a run, or its first epoch has not ended", path.display(), BEST)]
    NoRun {
        /// The folder.
        path: PathBuf,
    },
}

impl Checkpoint {
    /// Reads the best weights of a run's folder, or a `.safetensors`, `.pth`, `.pt` or `.ckpt`
    /// file.
    ///
    /// # Errors
    /// When the folder is not a run, or the file cannot be read or holds no network.
    pub fn read(path: &Path) -> Result<Self, ReadCheckpointError> {
        Ok(Self::read_part(path, None)?.0)
    }

    /// Reads a checkpoint as [`read`](Self::read), the weights under `key` if one is given; also
    /// returns the part of the file that they were read from.
    ///
    /// # Errors
    /// As [`read`](Self::read), and when the file holds no weights under `key`.
    pub fn read_part(path: &Path, key: Option<&str>) -> Result<(Self, WeightsPart), ReadCheckpointError> {
        let file = if path.is_dir() { path.join(BEST) } else { path.to_owned() };
        if path.is_dir() && !file.exists() {
            return Err(ReadCheckpointError::NoRun { path: path.into() });
        }
        let WeightsFile { weights, notes, part } = Weights::read_file(&file, key)?;
        let contract = notes
            .get(CONTRACT_KEY)
            .map(|text| Contract::from_json(text))
            .transpose()
            .map_err(|source| ReadCheckpointError::Contract { path: file.clone(), source })?;
        Ok((Self { path: file, weights, contract }, part))
    }

    /// Writes weights and contract as one `.safetensors` file, whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self) -> Result<(), WriteError> {
        let note = self.contract.as_ref().map(|contract| (CONTRACT_KEY, contract.to_json()));
        self.weights.write(&self.path, note)
    }
}
