//! The record of a run over many images: the job, the images that are done, and the joined parts.

mod entry;
mod error;
mod job;
mod lock;
mod merge;
mod prediction;
mod saved_file;
mod writer;

#[cfg(feature = "schema")]
pub use entry::record_schema;
pub use entry::{Counts, Entry};
pub use error::RecordError;
pub use job::{JOB, Job, JobError, JobPart};
pub use merge::{MergeError, merge};
pub use prediction::{ClassArea, Prediction, areas};
pub use saved_file::SavedFile;
pub use writer::{PREDICTIONS, RecordWriter, remove_leftovers};
