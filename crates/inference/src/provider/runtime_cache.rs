//! The cache of what TensorRT for RTX compiles for a GPU while it runs.
//!
//! The plug-in reads its files when a session is opened and writes them when it is closed, neither
//! atomically nor under a lock. So each session has a private copy of the folder, and what it
//! leaves there is moved to the common folder, file by file.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use seg_contract::sha256;
use seg_data::write_bytes;
use tempfile::TempDir;

/// A session's private copy of a folder of the cache, whose files are published when it is dropped.
#[derive(Debug)]
pub(crate) struct RuntimeCache {
    common: PathBuf,
    private: TempDir,
    /// The hashes of the files that were there at first, by name.
    copied: BTreeMap<PathBuf, String>,
}

/// The file whose lock a process holds while it publishes.
const LOCK: &str = ".lock";

impl RuntimeCache {
    /// Opens the folder `common`, which is created if necessary, and copies its files.
    ///
    /// # Errors
    /// When the folder or the copy cannot be written.
    pub(crate) fn open(common: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&common)?;
        let private = tempfile::Builder::new().prefix(".session").tempdir_in(&common)?;
        let mut copied = BTreeMap::new();
        for (name, bytes) in files(&common)? {
            fs::write(private.path().join(&name), &bytes)?;
            copied.insert(name, sha256(&bytes));
        }
        Ok(Self { common, private, copied })
    }

    /// Returns the folder for the plug-in.
    pub(crate) fn folder(&self) -> &Path {
        self.private.path()
    }

    /// Moves files that are new or have changed to the common folder.
    fn publish(&self) -> io::Result<()> {
        let changed: Vec<_> = files(self.private.path())?
            .into_iter()
            .filter(|(name, bytes)| self.copied.get(name).is_none_or(|hash| *hash != sha256(bytes)))
            .collect();
        if changed.is_empty() {
            return Ok(());
        }
        let lock = File::create(self.common.join(LOCK))?;
        // The lock is held until the end of the function, or of the process if that comes first.
        lock.lock()?;
        for (name, bytes) in changed {
            write_bytes(&self.common.join(name), &bytes).map_err(io::Error::other)?;
        }
        Ok(())
    }
}

impl Drop for RuntimeCache {
    fn drop(&mut self) {
        // Without it, the next session compiles again.
        let _ = self.publish();
    }
}

/// Reads the files of a folder, by name, except hidden ones.
fn files(folder: &Path) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let Some(name) = path.file_name().filter(|name| !name.to_string_lossy().starts_with('.')) else { continue };
        if path.is_file() {
            files.push((name.into(), fs::read(&path)?));
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_session_leaves_is_found_by_the_next_one_and_nothing_else_stays() {
        let place = tempfile::tempdir().unwrap();
        let common = place.path().join("tensorrt-rtx/key");
        let first = RuntimeCache::open(common.clone()).unwrap();
        let second = RuntimeCache::open(common.clone()).unwrap();
        fs::write(first.folder().join("graph"), "kernels").unwrap();
        assert!(!common.join("graph").exists(), "half of a file would be seen");
        drop(first);
        assert_eq!(fs::read_to_string(common.join("graph")).unwrap(), "kernels");
        // A session that was open meanwhile and leaves nothing takes nothing away.
        drop(second);
        let third = RuntimeCache::open(common.clone()).unwrap();
        assert_eq!(fs::read_to_string(third.folder().join("graph")).unwrap(), "kernels");
        fs::write(third.folder().join("graph"), "more kernels").unwrap();
        drop(third);
        assert_eq!(fs::read_to_string(common.join("graph")).unwrap(), "more kernels");
        let mut left: Vec<_> = common.read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".lock", "graph"]);
    }
}
