//! The folder of a training run and what lies in it.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// The weights of the last epoch, with all that is needed to go on.
pub const LAST: &str = "last.safetensors";
/// Everything that configured the run.
pub const CONFIG: &str = "config.json";
/// The part that each image went into.
pub const SPLIT: &str = "split.json";
/// The contract of the model, for people to read; the weights carry their own.
pub const CONTRACT: &str = "contract.json";
/// A line of JSON per epoch.
pub const LOG: &str = "log.jsonl";

/// A line of JSON for each time that the run was begun or went on.
pub const SESSIONS: &str = "sessions.jsonl";
/// The result of the run, for people to read.
pub const REPORT: &str = "report.html";

/// Locked by the process that trains.
pub(super) const LOCK: &str = "lock";

/// Keeps other processes out of a run's folder while the file is open; none where another one has
/// it.
pub(crate) fn lock(folder: &Path) -> io::Result<Option<File>> {
    let file = File::create(folder.join(LOCK))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        // A file system that cannot lock files cannot keep another process out.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(Some(file)),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Returns a folder for a new run below `folder`: `name`, or `name-2`, `name-3` and so on where
/// that is taken.
pub fn free(folder: &Path, name: &str) -> PathBuf {
    let first = folder.join(name);
    let numbered = (2..).map(|number| folder.join(format!("{name}-{number}")));
    std::iter::once(first).chain(numbered).find(|run| !run.exists()).expect("a folder holds finitely many names")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_free_folder_does_not_exist_yet() {
        let folder = tempfile::tempdir().unwrap();
        for expected in ["drive", "drive-2", "drive-3"] {
            let run = free(folder.path(), "drive");
            assert_eq!(run, folder.path().join(expected));
            fs::create_dir(run).unwrap();
        }
    }
}
