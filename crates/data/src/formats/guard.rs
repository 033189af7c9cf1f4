//! The boundary at which a panic of a decoder becomes the error of one image.
//!
//! Decoders read foreign bytes, and some panic on a file that they did not expect. Every call of a
//! [`Format`](super::Format) that gets a file or its content, and every reading of rows, passes
//! through [`guard`]. A format's name, extensions and kind of compression are asked for without it:
//! they depend on no file.

use std::any::Any;
use std::borrow::Cow;
use std::cell::Cell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::thread;

use super::error::ReadError;
use super::reader::{ImageInfo, ImageReader};
use crate::picture::Picture;

thread_local! {
    /// True while this thread is inside of a decoder.
    static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Calls a decoder; its panic is an error, and is not printed.
///
/// Values that a panicking decoder leaves half changed must not be used again.
///
/// # Errors
/// The decoder's own, or [`ReadError::Panic`].
pub(super) fn guard<T>(
    path: &Path,
    format: &'static str,
    read: impl FnOnce() -> Result<T, ReadError>,
) -> Result<T, ReadError> {
    silence_guarded_panics();
    let was_guarded = IS_GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(read));
    IS_GUARDED.set(was_guarded);
    result.unwrap_or_else(|panic| Err(ReadError::Panic { path: path.into(), format, message: message(panic.as_ref()) }))
}

/// Puts a hook before the present one, once, that passes on all panics but those of decoders.
fn silence_guarded_panics() {
    static INSTALLED: Once = Once::new();
    // The hook cannot be changed by a thread that panics.
    if !INSTALLED.is_completed() && !thread::panicking() {
        INSTALLED.call_once(|| {
            let previous = take_hook();
            set_hook(Box::new(move |panic| {
                if !IS_GUARDED.get() {
                    previous(panic);
                }
            }));
        });
    }
}

/// Returns the message of a panic, on one line.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message");
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

/// An open image whose decoder's panics are errors.
pub(super) struct Guarded {
    path: PathBuf,
    format: &'static str,
    info: ImageInfo,
    reader: Box<dyn ImageReader>,
    /// The message of the panic after which the reader is not used any more.
    panicked: Option<String>,
}

impl Guarded {
    pub(super) fn new(path: &Path, format: &'static str, reader: Box<dyn ImageReader>) -> Self {
        let info = reader.info().clone();
        Self { path: path.into(), format, info, reader, panicked: None }
    }
}

impl ImageReader for Guarded {
    fn info(&self) -> &ImageInfo {
        &self.info
    }

    fn rows(&mut self, rows: Range<u32>) -> Result<Cow<'_, Picture>, ReadError> {
        assert!(rows.start <= rows.end && rows.end <= self.info.height, "the image has not so many rows");
        let Self { path, format, reader, panicked, .. } = self;
        if let Some(message) = panicked {
            return Err(ReadError::Panic { path: path.clone(), format, message: message.clone() });
        }
        let size = (self.info.width, rows.end - rows.start);
        let result = guard(path, format, || {
            let picture = reader.rows(rows)?;
            let found = picture.dimensions();
            assert!(found == size, "it returned {}x{} pixels, expected {}x{}", found.0, found.1, size.0, size.1);
            Ok(picture)
        });
        if let Err(ReadError::Panic { message, .. }) = &result {
            *panicked = Some(message.clone());
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use image::RgbImage;

    use super::*;

    /// A reader that returns pictures of one size whatever rows are asked for.
    struct Fixed(ImageInfo, (u32, u32));

    impl ImageReader for Fixed {
        fn info(&self) -> &ImageInfo {
            &self.0
        }

        fn rows(&mut self, _: Range<u32>) -> Result<Cow<'_, Picture>, ReadError> {
            Ok(Cow::Owned(Picture::Bits8(RgbImage::new(self.1.0, self.1.1))))
        }
    }

    #[test]
    fn rows_of_another_size_than_was_asked_for_are_an_error() {
        for (name, size, is_accepted) in [
            ("as asked for", (5, 2), true),
            ("narrower", (4, 2), false),
            ("wider", (6, 2), false),
            ("one row too few", (5, 1), false),
            ("all rows", (5, 3), false),
        ] {
            let reader = Box::new(Fixed(ImageInfo::new(5, 3), size));
            let mut reader = Guarded::new(Path::new("a.x"), "X", reader);
            match reader.rows(1..3).map(|picture| picture.dimensions()) {
                Ok(found) => assert!(is_accepted && found == size, "{name}"),
                Err(error) => {
                    let (width, height) = size;
                    let part = format!("panicked (it returned {width}x{height} pixels, expected 5x2)");
                    assert!(!is_accepted && error.to_string().contains(&part), "{name}: {error}");
                }
            }
        }
    }
}
