//! An image that is decoded when its first rows are asked for, by a function.

use std::borrow::Cow;
use std::ops::Range;

use super::error::ReadError;
use super::reader::{ImageInfo, ImageReader};
use crate::picture::Picture;

/// The function that decodes an image.
type Load = Box<dyn FnMut() -> Result<Picture, ReadError> + Send>;

/// An image that a function decodes whole.
pub(super) struct LazyImage {
    info: ImageInfo,
    load: Load,
    picture: Option<Picture>,
}

impl LazyImage {
    pub(super) fn new(info: ImageInfo, load: impl FnMut() -> Result<Picture, ReadError> + Send + 'static) -> Self {
        Self { info, load: Box::new(load), picture: None }
    }
}

impl ImageReader for LazyImage {
    fn info(&self) -> &ImageInfo {
        &self.info
    }

    fn rows(&mut self, rows: Range<u32>) -> Result<Cow<'_, Picture>, ReadError> {
        let picture = match &mut self.picture {
            Some(picture) => picture,
            place => place.insert((self.load)()?),
        };
        if rows == (0..self.info.height) {
            return Ok(Cow::Borrowed(picture));
        }
        Ok(Cow::Owned(Picture::copy_rows(picture.pixels(), rows)))
    }
}
