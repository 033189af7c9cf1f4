//! The errors of records.

use std::io;
use std::path::PathBuf;

use seg_data::WriteError;
use thiserror::Error;

use super::job::JobError;

/// The reason for which a folder's record cannot be written.
#[derive(Debug, Error)]
pub enum RecordError {
    /// Another process writes to the folder.
    #[error("another process is writing to `{folder}`; wait for it, or choose another folder")]
    Locked {
        /// The folder.
        folder: PathBuf,
    },
    /// The folder belongs to another job.
    #[error(transparent)]
    Job(#[from] JobError),
    /// The folder cannot be created.
    #[error("cannot create the folder `{path}`")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file or the folder cannot be read or written.
    #[error("cannot keep the record in `{path}`")]
    File {
        /// The path that cannot be read or written.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// An earlier entry could not be written.
    #[error("`{path}` takes no more lines after one that could not be written; make room there and let the run go on")]
    Closed {
        /// The file.
        path: PathBuf,
    },
    /// A line belongs to another job.
    #[error(
        "line {line} of `{path}` is of another job, with other models, flags or inputs; move the file and its results elsewhere, \
         or choose another folder"
    )]
    OtherJob {
        /// The file.
        path: PathBuf,
        /// The number of the line, counted from 1.
        line: usize,
    },
    /// A line names a file that is not where the results of its image are written.
    #[error(
        "line {line} of `{path}` names the file `{file}`, expected one where `infer` writes results of that image, in \
         folders of its own and not behind links; remove the line or the link, or choose another folder"
    )]
    Elsewhere {
        /// The record.
        path: PathBuf,
        /// The number of the line, counted from 1.
        line: usize,
        /// The path of the file in the folder of the results.
        file: String,
    },
    /// A line is not an entry.
    #[error(
        "cannot read line {line} of `{path}` as a prediction; it belongs to another version or is damaged, choose another \
         folder"
    )]
    Entry {
        /// The file.
        path: PathBuf,
        /// The number of the line, counted from 1.
        line: usize,
        /// The cause.
        source: serde_json::Error,
    },
}
