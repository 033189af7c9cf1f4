//! The limits that hold for images of every format.

use std::hint::black_box;
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

/// Asks the system for this much memory and gives it back, so that most images that are too large
/// for a limit of the address space (`ulimit -v`) or of commitments are errors and do not end the
/// process.
///
/// It cannot promise that the memory is there: a system that overcommits, as Linux does by default,
/// grants more than it has and ends a process that uses it, and so does a container at its limit.
/// Other threads may also take it before the image does.
///
/// # Errors
/// [`ReadError::Memory`] when the system refuses.
pub(super) fn reserve(path: &Path, bytes: u64) -> Result<(), ReadError> {
    let refused = || ReadError::Memory { path: path.into(), bytes };
    let length = usize::try_from(bytes).map_err(|_| refused())?;
    let mut memory = Vec::<u8>::new();
    memory.try_reserve_exact(length).map_err(|_| refused())?;
    // An allocation that nothing reads may be removed, and its failure with it.
    black_box(memory.as_mut_ptr());
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_the_system_refuses_is_an_error() {
        for (name, bytes, is_granted) in [
            ("nothing", 0, true),
            ("an image of 1000x1000", 12_000_000, true),
            ("more than addresses reach", 1 << 62, false),
            ("more than a list can have", u64::MAX, false),
        ] {
            match reserve(Path::new("a.png"), bytes) {
                Ok(()) => assert!(is_granted, "{name}"),
                Err(error) => {
                    assert!(!is_granted && matches!(error, ReadError::Memory { .. }), "{name}: {error}");
                    let message = error.to_string();
                    let part = format!("cannot read `a.png`: its image takes {bytes} bytes of memory");
                    assert!(message.starts_with(&part), "{name}: {message}");
                    assert!(message.contains("free memory, or save it as a TIFF file in strips or tiles"), "{message}");
                }
            }
        }
    }
}
