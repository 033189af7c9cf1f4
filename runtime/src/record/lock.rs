//! The locks of a folder of results, which keep two runs apart.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

use super::error::RecordError;
use super::job::JobPart;

/// The file whose lock decides which process writes to a folder.
const LOCK: &str = ".lock";
/// The file whose lock decides which job owns a folder: parts that begin at the same time share
/// [`LOCK`].
pub(super) const JOB_LOCK: &str = ".lock-job";

/// Takes the locks that a run needs: a whole run has the folder for itself, parts share it, each
/// with its own lock.
///
/// # Errors
/// When another process has them, or a file cannot be created.
pub(crate) fn lock(folder: &Path, part: Option<JobPart>) -> Result<Vec<File>, RecordError> {
    let mut locks = vec![take(folder, LOCK, part.is_some())?];
    if let Some(part) = part {
        locks.push(take(folder, &format!("{LOCK}-{}-of-{}", part.part, part.parts), false)?);
    }
    Ok(locks)
}

/// Takes the lock on a file of the folder, without waiting.
fn take(folder: &Path, name: &str, is_shared: bool) -> Result<File, RecordError> {
    let path = folder.join(name);
    let failed = |source| RecordError::File { path: path.clone(), source };
    let file = open_lock(&path).map_err(failed)?;
    let locked = if is_shared { file.try_lock_shared() } else { file.try_lock() };
    match locked {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(RecordError::Locked { folder: folder.into() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Opens the file of a lock.
pub(super) fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).open(path)
}
