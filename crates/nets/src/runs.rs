//! Training runs as others find them: the folder whose best weights were written last.

use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{fs, io};

use thiserror::Error;

/// The folder that holds runs unless another is named.
pub const RUNS: &str = "runs";

/// The file in a run's folder that holds the weights of the best epoch, with the contract.
pub const BEST: &str = "best.safetensors";

/// An error in finding a run.
#[derive(Debug, Error)]
pub enum FindRunError {
    /// No finished run exists.
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

/// Finds the run below `folder` whose best weights were written last.
///
/// # Errors
/// When the folder cannot be read or holds no run with best weights.
pub fn newest(folder: &Path) -> Result<PathBuf, FindRunError> {
    let fail = |source| failure(folder, source);
    let mut newest: Option<(SystemTime, PathBuf)> = None;
    for entry in fs::read_dir(folder).map_err(fail)? {
        let run = entry.map_err(fail)?.path();
        let best = run.join(BEST);
        if !best.is_file() {
            continue;
        }
        let written = fs::metadata(&best).and_then(|file| file.modified()).map_err(fail)?;
        // The later name of two that were written at once, so that the choice is always the same.
        if newest.as_ref().is_none_or(|newest| (written, &run) > (newest.0, &newest.1)) {
            newest = Some((written, run));
        }
    }
    newest.map(|(_, run)| run).ok_or_else(|| FindRunError::None { folder: folder.into() })
}

/// Returns the error of a search in `folder`; a folder that does not exist holds no run.
fn failure(folder: &Path, source: io::Error) -> FindRunError {
    match source.kind() {
        io::ErrorKind::NotFound => FindRunError::None { folder: folder.into() },
        _ => FindRunError::Io { folder: folder.into(), source },
    }
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
}
