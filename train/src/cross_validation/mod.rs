//! Cross-validation: a run for each fold in one folder, and what follows from the predictions of
//! each for the images that it has not learned from.
//!
//! The folder holds a run per fold, `fold-1`, `fold-2` and so on. Once all have ended, it also
//! holds `out-of-fold/` with a prediction of every image, `cross-validation.json`, `images.csv`
//! and `report.html`, and the exported models `fold-1.onnx` and so on with their proofs.

mod choice;
mod out_of_fold;
mod outcome;
mod page;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use seg_data::Dataset;
use thiserror::Error;

pub use choice::{Choice, Gain, Trial};
pub use out_of_fold::{FOLDER, OutOfFold, OutOfFoldError, Predicted, THRESHOLDS};
pub use outcome::{ImageOutcome, OUTCOME, Outcome, REPORT, TABLE};

use crate::data::split::Split;
use crate::run::config::Config;
use crate::run::{self, Run, RunError};

/// A run for each fold of a cross-validation.
#[derive(Clone, Debug)]
pub struct CrossValidation {
    /// The folder of the runs.
    pub folder: PathBuf,
    /// The runs, in the order of the folds.
    pub runs: Vec<Run>,
}

/// An error in opening a cross-validation.
#[derive(Debug, Error)]
pub enum CrossValidationError {
    /// The folder is taken.
    #[error(
        "cannot begin a cross-validation in `{}`: it is not empty; choose another `--out`, or go on with `--resume`",
        folder.display()
    )]
    Taken {
        /// The folder.
        folder: PathBuf,
    },
    /// The folder cannot be read.
    #[error("cannot read the folder `{}`", folder.display())]
    Read {
        /// The folder.
        folder: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A run is not one of the folds.
    #[error(
        "`{}` is not fold {expected} of the cross-validation (its fold is {found}); remove the folder `{}` and begin again",
        run.display(), folder.display()
    )]
    Fold {
        /// The run.
        run: PathBuf,
        /// The folder.
        folder: PathBuf,
        /// The fold of the run.
        found: String,
        /// The fold that the name of its folder stands for.
        expected: String,
    },
    /// A fold cannot be begun or opened.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl CrossValidation {
    /// Returns whether a folder holds a cross-validation.
    pub fn is_in(folder: &Path) -> bool {
        fold_folder(folder, 1).join(run::CONFIG).exists()
    }

    /// Begins a run for each fold, given with its data set, its settings and its images.
    ///
    /// # Errors
    /// When the folder holds anything, or a run cannot be written.
    pub fn create(folder: &Path, folds: Vec<(Dataset, Config, Split)>) -> Result<Self, CrossValidationError> {
        match fs::read_dir(folder).map(|mut entries| entries.next().is_some()) {
            Ok(true) => return Err(CrossValidationError::Taken { folder: folder.into() }),
            Ok(false) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(CrossValidationError::Read { folder: folder.into(), source }),
        }
        let begin =
            |(index, (dataset, config, split))| Run::create(&fold_folder(folder, index), dataset, config, split);
        let runs = (1..).zip(folds).map(begin).collect::<Result<_, _>>()?;
        Ok(Self { folder: folder.into(), runs })
    }

    /// Opens the runs that were begun before.
    ///
    /// # Errors
    /// When one is missing or of another fold, or a file cannot be read.
    pub fn open(folder: &Path) -> Result<Self, CrossValidationError> {
        let first = Run::open(&fold_folder(folder, 1))?;
        let count = first.config.fold.map_or(1, |fold| fold.count());
        let others = (2..=count).map(|index| Run::open(&fold_folder(folder, index)));
        let runs = std::iter::once(Ok(first)).chain(others).collect::<Result<Vec<_>, _>>()?;
        for (index, run) in (1..).zip(&runs) {
            let (found, expected) = (run.config.fold.map(|fold| fold.to_string()), format!("{index}/{count}"));
            if found.as_ref() != Some(&expected) {
                let (run, found) = (run.folder.clone(), found.unwrap_or_else(|| "none".into()));
                return Err(CrossValidationError::Fold { run, folder: folder.into(), found, expected });
            }
        }
        Ok(Self { folder: folder.into(), runs })
    }

    /// Lists the files of the exported models, fold by fold.
    pub fn models(&self) -> Vec<PathBuf> {
        (1..=self.runs.len()).map(|index| fold_folder(&self.folder, index).with_extension("onnx")).collect()
    }

    /// Lists the folders of the runs.
    pub fn folders(&self) -> Vec<PathBuf> {
        self.runs.iter().map(|run| run.folder.clone()).collect()
    }
}

/// Returns the folder of a fold, counted from 1.
fn fold_folder(folder: &Path, index: usize) -> PathBuf {
    folder.join(format!("fold-{index}"))
}
