//! An image in memory that is read like a file.

use std::borrow::Cow;
use std::ops::Range;

use seg_contract::{Pixels, PreprocessError};
use seg_data::{ImageInfo, ImageReader, Picture, ReadError};

use super::error::SegmentError;

/// Pixels in memory, as a file that is read in bands.
pub(super) struct InMemory<'a> {
    info: ImageInfo,
    pixels: Pixels<'a>,
}

impl<'a> InMemory<'a> {
    /// Makes a reader of the pixels.
    ///
    /// # Errors
    /// When there are no pixels.
    pub(super) fn new(pixels: Pixels<'a>) -> Result<Self, SegmentError> {
        let [height, width] = pixels.size();
        if height == 0 || width == 0 {
            return Err(PreprocessError::Empty { width, height }.into());
        }
        let mut info = ImageInfo::new(width as u32, height as u32);
        info.band = Some(1);
        info.spacing = pixels.spacing();
        Ok(Self { info, pixels })
    }
}

impl ImageReader for InMemory<'_> {
    fn info(&self) -> &ImageInfo {
        &self.info
    }

    fn rows(&mut self, rows: Range<u32>) -> Result<Cow<'_, Picture>, ReadError> {
        Ok(Cow::Owned(Picture::copy_rows(self.pixels, rows)))
    }
}
