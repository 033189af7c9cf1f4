//! Files that are either whole or not there.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};
use thiserror::Error;

/// Why a file was not written; whatever stood under its name before is still there.
#[derive(Debug, Error)]
pub enum WriteError {
    /// Something that is no file has the name.
    #[error("cannot write `{path}`: a folder or a device has this name; choose another one")]
    NotAFile {
        /// The file to be written.
        path: PathBuf,
    },
    /// The temporary file could not be created.
    #[error(
        "cannot write `{path}`: no file can be created in its folder; check that the folder exists and is writable"
    )]
    Create {
        /// The file to be written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The content could not be written.
    #[error("cannot write `{path}`: writing its content failed")]
    Content {
        /// The file to be written.
        path: PathBuf,
        /// What the system or the writer of the content said.
        source: io::Error,
    },
    /// The finished file could not be given its name.
    #[error("cannot write `{path}`: it was written under a temporary name, but could not be renamed")]
    Rename {
        /// The file to be written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Writes a file under a temporary name in the same folder, has the system store it, then renames it.
///
/// An older file of that name is replaced, a link by a file of its own. The file is as readable for others as the
/// process's `umask` allows.
///
/// # Errors
/// When the folder takes no file, `write` or the disk fails, or the name is not that of a file. Nothing is left behind,
/// and an older file of that name is untouched.
pub fn write_atomic(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), WriteError> {
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(WriteError::NotAFile { path: path.into() });
    }
    let mut file = create_beside(path).map_err(|source| WriteError::Create { path: path.into(), source })?;
    fill(&mut file, write).map_err(|source| WriteError::Content { path: path.into(), source })?;
    file.persist(path).map_err(|failed| WriteError::Rename { path: path.into(), source: failed.error })?;
    Ok(())
}

/// Writes a file of the given content, as [`write_atomic`] does.
///
/// # Errors
/// As [`write_atomic`].
pub fn write_bytes(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    write_atomic(path, |file| file.write_all(bytes))
}

/// A temporary file in the folder of `path`, where a rename cannot cross a file system.
fn create_beside(path: &Path) -> io::Result<NamedTempFile> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mut builder = Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Temporary files are private unless told otherwise; the system takes away what the `umask` forbids.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

/// Writes the content and waits until it is on the disk.
fn fill(file: &mut NamedTempFile, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut buffer = BufWriter::new(file.as_file());
    write(&mut buffer)?;
    buffer.flush()?;
    drop(buffer);
    file.as_file().sync_all()
}
