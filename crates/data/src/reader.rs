//! Image files of any size, read whole or in bands of rows.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufReader, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use image::ImageFormat;

use crate::decode::{Header, ReadError, decode_bytes, format_of, header, read_file};
use crate::picture::Picture;
use crate::tiff_rows::TiffRows;

/// From how many pixels on a TIFF file is read in bands.
const BANDS_PIXELS_MIN: u64 = 1 << 24;

/// What is known of an image before its pixels are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageInfo {
    /// Width in pixels, upright.
    pub width: u32,
    /// Height in pixels, upright.
    pub height: u32,
    /// How the camera was held, as EXIF counts it, 1 to 8; the pixels come upright, as if it were 1.
    pub orientation: u8,
    /// How many rows are read from the file at once, where they are read as they are asked for: the height of its strips or
    /// tiles. Otherwise the first row that is asked for reads it whole.
    pub band: Option<u32>,
}

/// An image whose rows can be read: what stands between a file format and everything that takes images.
pub trait ImageReader: Send {
    /// What is known of the image.
    fn info(&self) -> &ImageInfo;

    /// Some rows, upright and at full width. They may be asked for in any order; from top to bottom is the fastest.
    ///
    /// # Errors
    /// When the file is damaged, cut off, or holds values that have no meaning.
    ///
    /// # Panics
    /// When there are not so many rows.
    fn rows(&mut self, rows: Range<u32>) -> Result<Cow<'_, Picture>, ReadError>;
}

/// Opens an image file.
///
/// Of TIFF files with many pixels in upright rows, only the rows asked for are in memory, with the rest of the strips or tiles
/// that they lie in. All others are decoded whole.
///
/// # Errors
/// When the file cannot be read, is no image in a known format, or it or one of its strips is larger than can be read.
pub fn open_image(path: &Path) -> Result<Box<dyn ImageReader>, ReadError> {
    let failed = |source| ReadError::File { path: path.into(), source };
    let mut start = Vec::new();
    if path.is_file() {
        File::open(path).map_err(failed)?.take(16).read_to_end(&mut start).map_err(failed)?;
    }
    if format_of(&start) == Some(ImageFormat::Tiff) {
        let file = BufReader::with_capacity(1 << 16, File::open(path).map_err(failed)?);
        if let Some(rows) = TiffRows::open(path, file)
            && rows.info().orientation == 1
            && u64::from(rows.info().width) * u64::from(rows.info().height) >= BANDS_PIXELS_MIN
        {
            rows.check_chunk()?;
            return Ok(Box::new(rows));
        }
    }
    let bytes = read_file(path)?;
    let Header { width, height, orientation } = header(path, &bytes)?;
    let info = ImageInfo { width, height, orientation, band: None };
    Ok(Box::new(WholeImage { path: path.into(), info, content: Content::Encoded(bytes) }))
}

/// A file that is decoded at once.
struct WholeImage {
    path: PathBuf,
    info: ImageInfo,
    content: Content,
}

enum Content {
    Encoded(Vec<u8>),
    Decoded(Picture),
}

impl ImageReader for WholeImage {
    fn info(&self) -> &ImageInfo {
        &self.info
    }

    fn rows(&mut self, rows: Range<u32>) -> Result<Cow<'_, Picture>, ReadError> {
        if let Content::Encoded(bytes) = &self.content {
            self.content = Content::Decoded(decode_bytes(&self.path, bytes)?.into());
        }
        match &self.content {
            Content::Decoded(picture) if rows == (0..self.info.height) => Ok(Cow::Borrowed(picture)),
            Content::Decoded(picture) => Ok(Cow::Owned(Picture::copy_rows(picture.pixels(), rows))),
            Content::Encoded(_) => unreachable!("it has just been decoded"),
        }
    }
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};

    use super::*;
    use crate::read_image;

    #[test]
    fn rows_of_a_file_are_those_of_the_whole_image() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.png", "a.tif", "a.bmp"] {
            let path = folder.path().join(name);
            RgbImage::from_fn(9, 12, |x, y| Rgb([x as u8 * 20, y as u8 * 20, 99])).save(&path).unwrap();
            let mut reader = open_image(&path).unwrap();
            let info = ImageInfo { width: 9, height: 12, orientation: 1, band: None };
            assert_eq!(reader.info(), &info, "{name}");
            let whole = read_image(&path).unwrap();
            for rows in [0..12, 5..7, 0..1] {
                let read = reader.rows(rows.clone()).unwrap().to_float().into_raw();
                let expected = &whole.as_raw()[rows.start as usize * 27..rows.end as usize * 27];
                assert_eq!(read, expected, "{name}: {rows:?}");
            }
        }
    }

    #[test]
    fn a_large_tiff_file_is_read_in_bands() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large.tif");
        let side = 4096;
        let value = |x: u32, y: u32| (x / 16 + y) as u8;
        let values: Vec<_> = (0..side).flat_map(|y| (0..side).map(move |x| value(x, y))).collect();
        for rows_per_strip in [128, side] {
            let mut encoder = tiff::encoder::TiffEncoder::new(File::create(&path).unwrap()).unwrap();
            let mut image = encoder.new_image::<tiff::encoder::colortype::Gray8>(side, side).unwrap();
            image.rows_per_strip(rows_per_strip).unwrap();
            image.write_data(&values).unwrap();
            assert_eq!(open_image(&path).unwrap().info().band, Some(rows_per_strip));
        }
        let mut reader = open_image(&path).unwrap();
        for rows in [0..3, 1000..1002, side - 1..side] {
            let Picture::Bits8(read) = reader.rows(rows.clone()).unwrap().into_owned() else { panic!("{rows:?}") };
            assert!(read.enumerate_pixels().all(|(x, y, pixel)| pixel.0 == [value(x, rows.start + y); 3]), "{rows:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_an_error_when_it_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("text.tif"), "II*\0 no image").unwrap();
        for (name, part) in [("missing.png", "missing.png"), (".", "a folder"), ("text.tif", "Tiff")] {
            let error = open_image(&folder.path().join(name)).err().map(|error| error.to_string());
            assert!(error.as_ref().is_some_and(|error| error.contains(part)), "{name}: {error:?}");
        }
    }
}
