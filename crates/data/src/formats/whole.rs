//! An image that is decoded whole when its first rows are asked for.

use std::borrow::Cow;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::error::ReadError;
use super::format::{Format, Header};
use super::reader::{ImageInfo, ImageReader};
use crate::picture::Picture;

/// An image that is decoded whole.
pub(super) struct WholeImage {
    path: PathBuf,
    format: &'static dyn Format,
    info: ImageInfo,
    content: Content,
}

enum Content {
    Encoded(Vec<u8>),
    Decoded(Picture),
}

impl WholeImage {
    /// Reads the head of a file's content, which is of the given format.
    pub(super) fn new(path: &Path, format: &'static dyn Format, bytes: Vec<u8>) -> Result<Self, ReadError> {
        let Header { width, height, orientation } = format.header(path, &bytes)?;
        let mut info = ImageInfo { orientation, ..ImageInfo::new(width, height) };
        info.spacing = format.spacing(&bytes).map(|spacing| upright(spacing, orientation));
        Ok(Self { path: path.into(), format, info, content: Content::Encoded(bytes) })
    }
}

/// Returns the millimetres between rows and between columns of the first picture in a file's
/// content, upright, where it names them.
pub(super) fn spacing(format: &dyn Format, path: &Path, bytes: &[u8]) -> Result<Option<[f64; 2]>, ReadError> {
    let Some(spacing) = format.spacing(bytes) else { return Ok(None) };
    Ok(Some(upright(spacing, format.header(path, bytes)?.orientation)))
}

/// Returns the distances between rows and between columns of an image that is turned upright.
pub(super) fn upright([rows, columns]: [f64; 2], orientation: u8) -> [f64; 2] {
    if orientation >= 5 { [columns, rows] } else { [rows, columns] }
}

impl ImageReader for WholeImage {
    fn info(&self) -> &ImageInfo {
        &self.info
    }

    fn rows(&mut self, rows: Range<u32>) -> Result<Cow<'_, Picture>, ReadError> {
        if let Content::Encoded(bytes) = &self.content {
            self.content = Content::Decoded(self.format.decode(&self.path, bytes)?.into());
        }
        match &self.content {
            Content::Decoded(picture) if rows == (0..self.info.height) => Ok(Cow::Borrowed(picture)),
            Content::Decoded(picture) => Ok(Cow::Owned(Picture::copy_rows(picture.pixels(), rows))),
            Content::Encoded(_) => unreachable!("it has just been decoded"),
        }
    }
}
