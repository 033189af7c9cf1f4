//! The reasons why training stops before its last epoch.

use std::io;
use std::path::PathBuf;

use seg_data::{SampleError, WriteError};
use seg_nets::checkpoint::ReadCheckpointError;
use seg_nets::device::DeviceError;
use seg_nets::weights::FitError;
use thiserror::Error;

use crate::data::loader::LoaderError;
use crate::data::split::SplitError;
use crate::evaluate::EvaluateError;
use crate::run::state::StateError;
use crate::run::{RunError, SessionError};

/// An error that stops training before its last epoch.
#[derive(Debug, Error)]
pub enum TrainError {
    /// The loss, or the norm of its gradients, is not a number any more.
    #[error(
        "the {what} is {value} at step {step} of epoch {epoch}; lower `--lr`, or look at the step's images: {}",
        images.join(", ")
    )]
    Diverged {
        /// The value that is not a number.
        what: &'static str,
        /// The value.
        value: f64,
        /// The epoch, counted from 1.
        epoch: usize,
        /// The step of the epoch, counted from 1.
        step: usize,
        /// The names of the images that the step has seen.
        images: Vec<String>,
    },
    /// The run was asked to stop.
    #[error("stopped as asked after step {step}; all that was learned is saved")]
    Stopped {
        /// The steps since the run began.
        step: usize,
    },
    /// Another process trains in the folder.
    #[error("another process trains in `{}`; wait for it, or stop it before going on", folder.display())]
    Busy {
        /// The run's folder.
        folder: PathBuf,
    },
    /// The device has too little memory.
    #[error(
        "the device has too little memory ({reason}); begin a run that takes less: smaller steps (`--batch-size`, with more of them \
         by `--accumulate`), fewer maps (`--checkpoint-activations`, on a GPU `--precision bf16`), or smaller images (`--crop`, \
         `--size`)"
    )]
    Memory {
        /// Burn's message.
        reason: String,
    },
    /// A weight is not a number any more.
    #[error("the weights are not finite after step {step}; lower `--lr`, or set `--clip-norm`")]
    NotFinite {
        /// The steps since the run began.
        step: usize,
    },
    /// The thread that makes the batches died.
    #[error("the loader ended after {done} of the {batches} batches of epoch {epoch}; its own message stands above")]
    Loader {
        /// The epoch, counted from 1.
        epoch: usize,
        /// The batches that came.
        done: usize,
        /// The batches of an epoch.
        batches: usize,
    },
    /// There are no threads that could load images.
    #[error(transparent)]
    Threads(#[from] LoaderError),
    /// The file that keeps other processes out cannot be made or locked.
    #[error("cannot lock the run's folder `{}`; check that files can be written there", folder.display())]
    Lock {
        /// The run's folder.
        folder: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The data are not those that the run has learned from.
    #[error(
        "the data in `{}` have changed since the run last trained: their fingerprint is {found}, and was {expected}; restore them, or \
         begin a new run, with `--init {}` from the weights of this one",
        data.display(), folder.display()
    )]
    Data {
        /// The data set's folder.
        data: PathBuf,
        /// The run's folder.
        folder: PathBuf,
        /// The fingerprint of the data now.
        found: String,
        /// That of the data that the run has learned from.
        expected: String,
    },
    /// A file of the run cannot be read.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The run's folder cannot be used.
    #[error("cannot remove what a killed run left unfinished in `{}`", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file of the run cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// It cannot be written down what trains and on which data.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The data set cannot be split.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// The device cannot be used.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A sample cannot be loaded.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// Validation failed.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// The weights to start from cannot be read.
    #[error(transparent)]
    Init(#[from] ReadCheckpointError),
    /// The weights to start from are of another network.
    #[error("cannot start from these weights")]
    Fit(#[from] FitError),
    /// The last checkpoint cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
}
