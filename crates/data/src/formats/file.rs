//! The content of image files as bytes.

use std::fs::{self, File};
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use super::error::{PIXELS_MAX, ReadError};

/// The number of bytes from which a format is recognised; some have their signature behind a
/// preamble.
const HEAD_BYTES: u64 = 512;

/// The largest file that is read whole: twice the bytes of an uncompressed image of the most
/// pixels.
const FILE_BYTES_MAX: u64 = 32 * PIXELS_MAX;

/// Reads the content of a regular file; a folder, a device or a file that is too large is refused
/// before it is read.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, ReadError> {
    let bytes = check_file(path)?;
    if bytes > FILE_BYTES_MAX {
        return Err(ReadError::FileSize { path: path.into(), bytes, bytes_max: FILE_BYTES_MAX });
    }
    fs::read(path).map_err(|source| ReadError::File { path: path.into(), source })
}

/// Opens a regular file and reads its first bytes; the file is at its start again.
pub(super) fn open_file(path: &Path) -> Result<(BufReader<File>, Vec<u8>), ReadError> {
    check_file(path)?;
    let failed = |source| ReadError::File { path: path.into(), source };
    let mut file = BufReader::new(File::open(path).map_err(failed)?);
    let mut head = Vec::new();
    file.by_ref().take(HEAD_BYTES).read_to_end(&mut head).map_err(failed)?;
    file.rewind().map_err(failed)?;
    Ok((file, head))
}

/// Checks that a path is that of a regular file, and returns its bytes.
fn check_file(path: &Path) -> Result<u64, ReadError> {
    let kind = fs::metadata(path).map_err(|source| ReadError::File { path: path.into(), source })?;
    if !kind.is_file() {
        let found = if kind.is_dir() { "a folder" } else { "a device or a pipe" };
        return Err(ReadError::NotAFile { path: path.into(), found });
    }
    Ok(kind.len())
}

/// Returns the beginning of a content of unknown format, for a message.
pub(super) fn describe(bytes: &[u8]) -> String {
    format!("it begins with \"{}\"", bytes[..bytes.len().min(12)].escape_ascii())
}
