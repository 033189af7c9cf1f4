//! Names and hashes of files.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use seg_contract::Sha256;
use seg_data::PicturePath;
use seg_text::raw_path::raw_path;
use serde::{Deserialize, Serialize};

/// A model file, identified by its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ModelFile {
    /// The file's name.
    pub file: String,
    /// The file's name without loss if it is not UTF-8: a byte that is not part of UTF-8 is `\xff`,
    /// and a backslash is doubled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_raw: Option<String>,
    /// The SHA-256 of the file's content, in hexadecimal, followed by that of the files that hold
    /// its weights, if they lie beside it.
    pub sha256: String,
}

impl ModelFile {
    /// Describes the file `path`, whose content is `bytes`.
    pub fn new(path: &Path, bytes: &[u8]) -> Self {
        Self::with_external(path, bytes, [])
    }

    /// Describes the file `path` with the contents of the files that hold its weights.
    pub(crate) fn with_external<'a>(path: &Path, bytes: &[u8], external: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let name = Path::new(path.file_name().unwrap_or_default());
        let mut hash = Sha256::new();
        hash.update(bytes);
        external.into_iter().for_each(|bytes| hash.update(bytes));
        Self { file: name.to_string_lossy().into_owned(), file_raw: raw_path(name), sha256: hash.hex() }
    }
}

/// Returns the size of a file, in bytes, and the SHA-256 of its content, in hexadecimal. The file
/// is read in pieces. The path may be that of one of its pictures, as [`PicturePath`] says; the
/// file is then read once for all of them, unless it changes.
///
/// # Errors
/// When the file cannot be read, or is not a regular file.
pub fn digest(path: &Path) -> io::Result<(u64, String)> {
    type Known = (PathBuf, u64, Option<SystemTime>, (u64, String));
    static KNOWN: Mutex<Vec<Known>> = Mutex::new(Vec::new());
    let PicturePath { file, number, .. } = PicturePath::new(path);
    let metadata = fs::metadata(&file)?;
    if !metadata.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    if number.is_none() {
        return digest_of(&mut File::open(&file)?);
    }
    let (length, changed) = (metadata.len(), metadata.modified().ok());
    // Other threads wait, as they need the same file.
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = known.iter().find(|known| known.0 == file && known.1 == length && known.2 == changed) {
        return Ok(known.3.clone());
    }
    let digest = digest_of(&mut File::open(&file)?)?;
    known.truncate(DIGESTS_KEPT - 1);
    known.insert(0, (file, length, changed, digest.clone()));
    Ok(digest)
}

/// The digests of files of several pictures that are remembered.
const DIGESTS_KEPT: usize = 16;

/// Returns the number of bytes that a reader gives, and their SHA-256 in hexadecimal.
///
/// # Errors
/// When reading fails.
pub(crate) fn digest_of(reader: &mut impl Read) -> io::Result<(u64, String)> {
    let (mut bytes, mut hash) = (0, Sha256::new());
    let mut buffer = vec![0; 1 << 16];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok((bytes, hash.hex())),
            Ok(read) => {
                hash.update(&buffer[..read]);
                bytes += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
