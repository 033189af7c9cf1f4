//! The interface of an open image.

use std::borrow::Cow;
use std::ops::Range;

use super::error::ReadError;
use super::shown::ShownWindow;
use crate::picture::Picture;

/// The properties of an image that are known before its pixels are read.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ImageInfo {
    /// Width in pixels, upright.
    pub width: u32,
    /// Height in pixels, upright.
    pub height: u32,
    /// The camera's orientation as EXIF counts it, 1 to 8. The pixels come upright, as if it were
    /// 1.
    pub orientation: u8,
    /// The number of rows that are read from the file at once, where rows are read as they are
    /// asked for: the height of the file's strips or tiles. `None` where the first row that is
    /// asked for reads the whole file.
    pub band: Option<u32>,
    /// The millimetres between rows and between columns, where the file names them.
    pub spacing: Option<[f64; 2]>,
    /// The window through which the values of a medical image are shown.
    pub window: Option<ShownWindow>,
    /// The level of a pyramid, 0 for the full size, where one was asked for by its number or the
    /// size of its pixels.
    pub level: Option<u32>,
}

impl ImageInfo {
    /// Creates an upright image of this width and height that is decoded whole.
    pub fn new(width: u32, height: u32) -> Self {
        Self { width, height, orientation: 1, band: None, spacing: None, window: None, level: None }
    }
}

/// An open image, whose rows can be read. It stands between the image formats and everything that
/// takes images.
pub trait ImageReader: Send {
    /// Returns the properties of the image.
    fn info(&self) -> &ImageInfo;

    /// Reads some rows, upright and at full width. They may be asked for in any order; from top to
    /// bottom is the fastest.
    ///
    /// # Errors
    /// When the file is damaged or cut off, or holds values without a meaning.
    ///
    /// # Panics
    /// When the image has fewer rows.
    fn rows(&mut self, rows: Range<u32>) -> Result<Cow<'_, Picture>, ReadError>;
}
