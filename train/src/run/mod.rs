//! A training run: its folder, and everything that was decided when it began.

pub mod config;
pub mod ending;
mod folder;
pub mod pace;
pub mod record;
mod scored;
mod session;
pub mod state;
pub mod summary;
pub mod trainer;

pub(crate) use folder::lock;
pub use folder::{CONFIG, CONTRACT, LAST, LOG, REPORT, SESSIONS, SPLIT, free};
pub use scored::Scored;
pub use session::{Session, SessionError};

use std::path::{Path, PathBuf};
use std::{fs, io};

use seg_contract::Contract;
use seg_data::{Dataset, DatasetError, Finding, WriteError, is_unfinished, quick_check, write_bytes};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::data::split::{Split, SplitError};
use crate::run::config::Config;
use crate::run::record::EpochRecord;

/// A run: its folder and everything that was decided when it began.
#[derive(Clone, Debug)]
pub struct Run {
    /// The folder.
    pub folder: PathBuf,
    /// Its configuration.
    pub config: Config,
    /// The part that each image went into.
    pub split: Split,
    /// The data set.
    pub dataset: Dataset,
}

/// An error in beginning or opening a run.
#[derive(Debug, Error)]
pub enum RunError {
    /// The folder is taken.
    #[error("cannot begin a run in `{}`: it is not empty; choose another `--out`, or go on with `--resume`", folder.display())]
    Taken {
        /// The folder.
        folder: PathBuf,
    },
    /// The folder cannot be made.
    #[error("cannot create the run's folder `{}`", folder.display())]
    Create {
        /// The folder.
        folder: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file of the run cannot be read.
    #[error("cannot read `{}`, so the run cannot go on", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file of the run is not what this version writes.
    #[error("cannot go on with the run: `{}` is not what this version writes", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: serde_json::Error,
    },
    /// A file of the run cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The data set cannot be opened.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
}

impl Run {
    /// Begins a run: writes its split, its contract and its configuration into a new folder.
    ///
    /// The configuration comes last and makes the folder a run; where it is missing, the run never
    /// began, and another may.
    ///
    /// # Errors
    /// When the folder holds anything else or cannot be written.
    pub fn create(folder: &Path, dataset: Dataset, config: Config, split: Split) -> Result<Self, RunError> {
        let refused = |source| RunError::Create { folder: folder.into(), source };
        let taken = || RunError::Taken { folder: folder.into() };
        match is_taken(folder) {
            Ok(true) => return Err(taken()),
            Ok(false) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(refused(source)),
        }
        fs::create_dir_all(folder).map_err(refused)?;
        // Two processes may have found the folder free; the second one finds it taken.
        let _lock = lock(folder).map_err(refused)?.ok_or_else(taken)?;
        if is_taken(folder).map_err(refused)? {
            return Err(taken());
        }
        let run = Self { folder: folder.into(), config, split, dataset };
        write_json(&run.folder.join(SPLIT), &run.split)?;
        write_bytes(&run.folder.join(CONTRACT), run.contract().to_json().as_bytes())?;
        write_json(&run.folder.join(CONFIG), &run.config)?;
        Ok(run)
    }

    /// Opens a run that was begun before.
    ///
    /// # Errors
    /// When a file of the run is missing or foreign, or the data set is not there any more.
    pub fn open(folder: &Path) -> Result<Self, RunError> {
        let config: Config = read_json(&folder.join(CONFIG))?;
        let split = read_json(&folder.join(SPLIT))?;
        let dataset = Dataset::open_with(&config.data, &config.files)?.with_reading(&config.reading)?;
        Ok(Self { folder: folder.into(), config, split, dataset })
    }

    /// Reads the log: a record per finished epoch; empty if there is none.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn log(&self) -> Result<Vec<EpochRecord>, RunError> {
        read_json_lines(&self.folder.join(LOG))
    }

    /// Reads each time that the run was started or resumed.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn sessions(&self) -> Result<Vec<Session>, RunError> {
        read_json_lines(&self.folder.join(SESSIONS))
    }

    /// Makes the checks of the masks that need no image: of the images that are learned from, and
    /// of those that choose the best epoch.
    ///
    /// # Errors
    /// When the split is not one of the data set.
    pub fn quick_check(&self) -> Result<Vec<Finding>, SplitError> {
        let (training, validation) = self.split.apply(&self.dataset.train)?;
        let parts = [("training", training.as_slice()), ("validation", validation.as_slice())];
        Ok(quick_check(&parts, &self.dataset.classes))
    }

    /// Returns the contract of the model that the run trains, before any weights.
    pub fn contract(&self) -> Contract {
        let mut contract = self.config.contract(self.dataset.classes.clone());
        contract.provenance.tool = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")).into();
        contract.provenance.data = format!("{}, {} training images", self.dataset.name, self.split.train.len());
        contract.provenance.training = self.config.record();
        contract
    }
}

/// Returns whether a folder holds more than a run leaves that was killed before it began.
fn is_taken(run: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(run)? {
        let name = entry?.file_name();
        if name != SPLIT && name != CONTRACT && name != folder::LOCK && !is_unfinished(&name) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), WriteError> {
    let text = serde_json::to_string_pretty(value).expect("the value has only string keys");
    write_bytes(path, text.as_bytes())
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, RunError> {
    let text = fs::read_to_string(path).map_err(|source| RunError::Read { path: path.into(), source })?;
    serde_json::from_str(&text).map_err(|source| RunError::Json { path: path.into(), source })
}

/// Reads a value per line; none if the file does not exist.
fn read_json_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, RunError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(RunError::Read { path: path.into(), source }),
    };
    let parse = |line| serde_json::from_str(line).map_err(|source| RunError::Json { path: path.into(), source });
    text.lines().map(parse).collect()
}
