//! The folder of a training run and what lies in it.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use thiserror::Error;

/// The folder that runs are kept in unless another is named.
pub const RUNS: &str = "runs";
/// The weights of the best epoch, with the contract.
pub const BEST: &str = "best.safetensors";
/// The weights of the last epoch, with all that is needed to go on.
pub const LAST: &str = "last.safetensors";
/// Everything that configured the run.
pub const CONFIG: &str = "config.json";
/// Which image went into which part.
pub const SPLIT: &str = "split.json";
/// The contract of the model, for people to read; the weights carry their own.
pub const CONTRACT: &str = "contract.json";
/// A line of JSON per epoch.
pub const LOG: &str = "log.jsonl";

/// A line of JSON for each time that the run was begun or went on.
pub const SESSIONS: &str = "sessions.jsonl";
/// What the run came to, for people to read.
pub const REPORT: &str = "report.html";

/// Locked by the process that trains.
pub(super) const LOCK: &str = "lock";

/// Keeps other processes out of a run's folder while the file is open; none where another one has it.
pub(crate) fn lock(folder: &Path) -> io::Result<Option<File>> {
    let file = File::create(folder.join(LOCK))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        // What cannot lock files has never kept anybody out.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(Some(file)),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Why no run can be found.
#[derive(Debug, Error)]
pub enum FindRunError {
    /// There is no finished run.
    #[error("no run with a `{BEST}` under `{}`; train one, or name a checkpoint", folder.display())]
    None {
        /// The folder searched.
        folder: PathBuf,
    },
    /// The folder cannot be read.
    #[error("cannot look for runs under `{}`", folder.display())]
    Io {
        /// The folder searched.
        folder: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

/// The run below `folder` whose best weights were written last.
///
/// # Errors
/// When the folder cannot be read or holds no run with best weights.
pub fn newest(folder: &Path) -> Result<PathBuf, FindRunError> {
    let fail = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => FindRunError::None { folder: folder.into() },
        _ => FindRunError::Io { folder: folder.into(), source },
    };
    let mut newest: Option<(SystemTime, PathBuf)> = None;
    for entry in fs::read_dir(folder).map_err(fail)? {
        let run = entry.map_err(fail)?.path();
        let best = run.join(BEST);
        if !best.is_file() {
            continue;
        }
        let written = fs::metadata(&best).and_then(|file| file.modified()).map_err(fail)?;
        // Of two written at once the later name, so that the choice is always the same.
        if newest.as_ref().is_none_or(|newest| (written, &run) > (newest.0, &newest.1)) {
            newest = Some((written, run));
        }
    }
    newest.map(|(_, run)| run).ok_or_else(|| FindRunError::None { folder: folder.into() })
}

/// A folder for a new run below `folder`: `name`, or `name-2`, `name-3` and so on where that is taken.
pub fn free(folder: &Path, name: &str) -> PathBuf {
    let first = folder.join(name);
    let numbered = (2..).map(|number| folder.join(format!("{name}-{number}")));
    std::iter::once(first).chain(numbered).find(|run| !run.exists()).expect("a folder holds finitely many names")
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_newest_run_is_the_one_written_last() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(newest(&folder.path().join("none")), Err(FindRunError::None { .. })));
        assert!(matches!(newest(folder.path()), Err(FindRunError::None { .. })));
        let now = SystemTime::now();
        for (name, age) in [("first", 20), ("last", 5), ("middle", 10)] {
            fs::create_dir(folder.path().join(name)).unwrap();
            let best = File::create(folder.path().join(name).join(BEST)).unwrap();
            best.set_modified(now - Duration::from_secs(age)).unwrap();
        }
        fs::create_dir(folder.path().join("unfinished")).unwrap();
        assert_eq!(newest(folder.path()).unwrap(), folder.path().join("last"));
    }

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
