//! The masks of several pictures as a TIFF file of as many pages, of class indices.

use std::io::{self, Seek, Write};

use image::GrayImage;
use tiff::encoder::{Compression, TiffEncoder, colortype};

use super::stack::{Stack, VolumeError};

/// The name of the format in messages.
const TIFF: &str = "TIFF";

/// The pixels from which a file may be larger than 4 GiB.
const BIG_PIXELS_MIN: u64 = 1 << 31;

impl Stack {
    /// Writes the masks of all pictures as pages of a TIFF file, in their order: grey values are
    /// class indices.
    ///
    /// # Errors
    /// When the masks cannot be read or the file not be written.
    pub fn write_tiff(
        &self,
        masks: &mut dyn FnMut(usize) -> io::Result<GrayImage>,
        out: impl Write + Seek,
    ) -> Result<(), VolumeError> {
        let failed = |source: tiff::TiffError| match source {
            tiff::TiffError::IoError(source) => VolumeError::Io(source),
            other => self.refuse(TIFF, other.to_string()),
        };
        let first = masks(0)?;
        let pixels = u64::from(first.width()) * u64::from(first.height()) * self.paths.len() as u64;
        let mut page = |place: usize| if place == 0 { Ok(first.clone()) } else { masks(place) };
        if pixels >= BIG_PIXELS_MIN {
            let mut encoder = TiffEncoder::new_big(out).map_err(failed)?.with_compression(Compression::Lzw);
            for place in 0..self.paths.len() {
                let mask = page(place)?;
                let (width, height) = mask.dimensions();
                encoder.write_image::<colortype::Gray8>(width, height, &mask).map_err(failed)?;
            }
            return Ok(());
        }
        let mut encoder = TiffEncoder::new(out).map_err(failed)?.with_compression(Compression::Lzw);
        for place in 0..self.paths.len() {
            let mask = page(place)?;
            let (width, height) = mask.dimensions();
            encoder.write_image::<colortype::Gray8>(width, height, &mask).map_err(failed)?;
        }
        Ok(())
    }
}
