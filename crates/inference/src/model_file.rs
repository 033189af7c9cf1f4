//! Names and hashes of files.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use seg_contract::Sha256;
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
/// is read in pieces.
///
/// # Errors
/// When the file cannot be read, or is not a regular file.
pub fn digest(path: &Path) -> io::Result<(u64, String)> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    digest_of(&mut File::open(path)?)
}

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
