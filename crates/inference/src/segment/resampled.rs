//! An image that is resampled while its rows are read.

use std::borrow::Cow;
use std::ops::Range;

use seg_contract::Resampling;
use seg_data::{ImageInfo, ImageReader, Picture, ReadError};

/// An image that is read in bands and resampled, so that only the rows of a band are in memory.
pub(super) struct Resampled<'a> {
    image: &'a mut dyn ImageReader,
    info: ImageInfo,
    resampling: Resampling,
}

impl<'a> Resampled<'a> {
    /// Resamples an image to a height and width.
    pub(super) fn new(image: &'a mut dyn ImageReader, to: [usize; 2]) -> Self {
        let mut info = image.info().clone();
        let from = [info.height, info.width].map(|side| side as usize);
        [info.height, info.width] = to.map(|side| side as u32);
        Self { image, info, resampling: Resampling::new(from, to) }
    }
}

impl ImageReader for Resampled<'_> {
    fn info(&self) -> &ImageInfo {
        &self.info
    }

    fn rows(&mut self, rows: Range<u32>) -> Result<Cow<'_, Picture>, ReadError> {
        let rows = rows.start as usize..rows.end as usize;
        let read = self.resampling.read(rows.clone());
        let band = self.image.rows(read.start as u32..read.end as u32)?;
        Ok(Cow::Owned(Picture::Float(self.resampling.band(band.pixels(), rows))))
    }
}
