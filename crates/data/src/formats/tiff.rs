//! TIFF files, including BigTIFF.
//!
//! The image crate decodes most of them. Floating-point values and large files are read by
//! [`TiffRows`].

use std::fs::File;
use std::io::{BufReader, Cursor};
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, ImageFormat};
use tiff::decoder::Decoder;

use super::error::ReadError;
use super::format::{Format, Header};
use super::limits::check_size;
use super::raster::Raster;
use super::reader::ImageReader;
use super::tiff_rows::{TIFF, TiffRows};

/// The number of pixels from which a file is read in bands.
const BANDS_PIXELS_MIN: u64 = 1 << 24;

/// TIFF; the first page is read.
pub(super) struct Tiff;

const RASTER: Raster = Raster::new(ImageFormat::Tiff, TIFF, &["tif", "tiff"]);

impl Format for Tiff {
    fn name(&self) -> &'static str {
        RASTER.name()
    }

    fn extensions(&self) -> &'static [&'static str] {
        RASTER.extensions()
    }

    fn sniff(&self, head: &[u8]) -> bool {
        matches!(head, [b'I', b'I', 43, 0, ..] | [b'M', b'M', 0, 43, ..]) || RASTER.sniff(head)
    }

    fn stored_size(&self, path: &Path, file: BufReader<File>) -> Result<(u32, u32), ReadError> {
        // The image crate does not know the size of an image of floating-point values.
        Decoder::new(file).and_then(|mut decoder| decoder.dimensions()).map_err(|source| ReadError::Decode {
            path: path.into(),
            format: self.name(),
            source: source.into(),
        })
    }

    fn header(&self, path: &Path, bytes: &[u8]) -> Result<Header, ReadError> {
        let Some(rows) = float_rows(path, bytes) else { return RASTER.header(path, bytes) };
        let info = rows.info();
        Ok(Header { width: info.width, height: info.height, orientation: info.orientation })
    }

    fn decode(&self, path: &Path, bytes: &[u8]) -> Result<DynamicImage, ReadError> {
        let Some(mut rows) = float_rows(path, bytes) else { return RASTER.decode(path, bytes) };
        let height = rows.info().height;
        let orientation = Orientation::from_exif(rows.info().orientation).unwrap_or(Orientation::NoTransforms);
        let mut image = DynamicImage::from(rows.rows(0..height)?.to_float());
        image.apply_orientation(orientation);
        Ok(image)
    }

    fn open_bands(&self, path: &Path) -> Result<Option<Box<dyn ImageReader>>, ReadError> {
        let file = File::open(path).map_err(|source| ReadError::File { path: path.into(), source })?;
        let Some(rows) = TiffRows::open(path, BufReader::with_capacity(1 << 16, file)) else { return Ok(None) };
        let info = rows.info();
        if info.orientation != 1 || u64::from(info.width) * u64::from(info.height) < BANDS_PIXELS_MIN {
            return Ok(None);
        }
        rows.check_chunk()?;
        Ok(Some(Box::new(rows)))
    }
}

/// Opens a file with floating-point values, most kinds of which the image crate does not read.
fn float_rows<'a>(path: &Path, bytes: &'a [u8]) -> Option<TiffRows<Cursor<&'a [u8]>>> {
    let rows = TiffRows::open(path, Cursor::new(bytes))?;
    let is_read = check_size(path, rows.info().width, rows.info().height).is_ok();
    (rows.is_float && is_read).then_some(rows)
}
