//! The limits that hold for images of every format.

use std::path::Path;

use super::error::{PIXELS_MAX, ReadError};
use crate::picture::Picture;

/// Checks that an image has pixels and at most [`PIXELS_MAX`] of them.
pub(super) fn check_size(path: &Path, width: u32, height: u32) -> Result<(), ReadError> {
    match u64::from(width) * u64::from(height) {
        1..=PIXELS_MAX => Ok(()),
        _ => Err(ReadError::Size { path: path.into(), width, height }),
    }
}

/// Checks that the system has this much memory to give, so that a large image is an error and does
/// not end the process.
pub(super) fn reserve(path: &Path, bytes: u64) -> Result<(), ReadError> {
    let refused = || ReadError::Memory { path: path.into(), bytes };
    let length = usize::try_from(bytes).map_err(|_| refused())?;
    Vec::<u8>::new().try_reserve_exact(length).map_err(|_| refused())
}

/// Returns the picture, unless it holds floating-point values outside of [0, 1].
pub(super) fn checked_range(path: &Path, picture: Picture) -> Result<Picture, ReadError> {
    if let Picture::Float(image) = &picture
        && let Some(value) = image.iter().find(|value| !(0.0..=1.0).contains(*value))
    {
        return Err(ReadError::Range { path: path.into(), value: *value });
    }
    Ok(picture)
}
