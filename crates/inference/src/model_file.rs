//! Files by their content.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use seg_contract::{Sha256, sha256};
use serde::{Deserialize, Serialize};

/// A model file, told by its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelFile {
    /// Its name.
    pub file: String,
    /// The SHA-256 of its content, in hexadecimal.
    pub sha256: String,
}

impl ModelFile {
    /// The file `path`, which has these bytes.
    pub fn of(path: &Path, bytes: &[u8]) -> Self {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { file, sha256: sha256(bytes) }
    }
}

/// The size of a file, in bytes, and the SHA-256 of its content, in hexadecimal. It is never in memory as a whole.
///
/// # Errors
/// When it cannot be read or is no file; a pipe is not waited for.
pub fn digest(path: &Path) -> io::Result<(u64, String)> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut hash = Sha256::new();
    let bytes = io::copy(&mut File::open(path)?, &mut hash)?;
    Ok((bytes, hash.hex()))
}
