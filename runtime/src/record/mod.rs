//! The record of a run over many images: what it is, what of it is done, and how its parts become one.

mod job;
mod line;
mod manifest;
mod merge;
mod prediction;
mod saved_file;

pub use job::{JOB, Job, JobError, JobPart};
pub use line::{Counts, Line};
pub use manifest::{Manifest, ManifestError, PREDICTIONS, remove_leftovers};
pub use merge::{MergeError, merge};
pub use prediction::{ClassArea, Prediction};

pub(crate) use prediction::areas;
pub use saved_file::SavedFile;
