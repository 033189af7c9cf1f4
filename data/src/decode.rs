//! Image files to numbers.

use std::fs;
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};

use image::{ColorType, DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, Rgb32FImage};
use thiserror::Error;

use crate::jpeg;

/// The formats that are read.
const FORMATS: [ImageFormat; 6] =
    [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Tiff, ImageFormat::Gif, ImageFormat::Bmp, ImageFormat::WebP];

/// The largest image that is read, in pixels: 11585x11585, or 1.6 GB once its values are `f32`.
pub const PIXELS_MAX: u64 = 1 << 27;

/// Why a file cannot be read as an image.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The file could not be read at all.
    #[error("cannot read the file `{path}`")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is a folder or a device.
    #[error("cannot read `{path}` as an image: it is {found}, expected a file")]
    NotAFile {
        /// What was to be read.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// Its content is no image in a known format, whatever the file is called.
    #[error(
        "cannot read `{path}` as an image: {found}, expected the content of a PNG, JPEG, TIFF, GIF, BMP or WebP file; \
         convert it to PNG"
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// How its content begins.
        found: String,
    },
    /// The file ends before its image does.
    #[error("cannot read `{path}`: the {format:?} file is cut off; fetch or save it again")]
    CutOff {
        /// The file.
        path: PathBuf,
        /// The format of its content.
        format: ImageFormat,
    },
    /// The decoder gave up.
    #[error(
        "cannot decode `{path}`: the {format:?} file is damaged, cut off, or of an unusual kind; save it again as PNG"
    )]
    Decode {
        /// The file.
        path: PathBuf,
        /// The format of its content.
        format: ImageFormat,
        /// What the decoder said.
        source: ImageError,
    },
    /// The image has no pixel or more than [`PIXELS_MAX`].
    #[error("cannot read `{path}`: its image is {width}x{height}, expected 1 to {PIXELS_MAX} pixels")]
    Size {
        /// The file.
        path: PathBuf,
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// Floating-point values have no known range.
    #[error("cannot read `{path}`: its values are floating-point, expected 8 or 16 bits; save it with 16 bits")]
    Float {
        /// The file.
        path: PathBuf,
    },
}

/// Reads an image as red, green and blue in [0, 1]: `v / 255` of 8-bit values, `v / 65535` of 16-bit ones.
///
/// The format is told from the content, not from the name. The orientation that a camera noted (EXIF) is applied. Grey
/// becomes three equal values. Transparency is dropped, so that a pixel keeps the colour stored under it. Colour
/// profiles are not applied. Of several frames or pages the first is read.
///
/// # Errors
/// When the file cannot be read, is no image in a known format, is damaged, cut off, empty or larger than
/// [`PIXELS_MAX`], or holds floating-point values.
pub fn read_image(path: &Path) -> Result<Rgb32FImage, ReadError> {
    Ok(decode(path)?.into_rgb32f())
}

/// Whether a file's name has the extension of a format that [`read_image`] reads.
pub fn has_image_extension(path: &Path) -> bool {
    path.extension().and_then(ImageFormat::from_extension).is_some_and(|format| FORMATS.contains(&format))
}

/// Reads an image in the channels and bits it was stored with, upright.
pub(crate) fn decode(path: &Path) -> Result<DynamicImage, ReadError> {
    let bytes = read_file(path)?;
    let format = match image::guess_format(&bytes) {
        Ok(format) if FORMATS.contains(&format) => format,
        _ => return Err(ReadError::Format { path: path.into(), found: describe(&bytes) }),
    };
    if format == ImageFormat::Jpeg && !jpeg::is_whole(&bytes) {
        return Err(ReadError::CutOff { path: path.into(), format });
    }
    let refuse = |source| ReadError::Decode { path: path.into(), format, source };

    let mut limits = Limits::no_limits();
    // 8 bytes per pixel at most (four channels of 16 bits), and as much again for the decoder's own work.
    limits.max_alloc = Some(PIXELS_MAX * 16);
    let mut reader = ImageReader::with_format(Cursor::new(&bytes), format);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(refuse)?;
    let (width, height) = decoder.dimensions();
    if !(1..=PIXELS_MAX).contains(&(u64::from(width) * u64::from(height))) {
        return Err(ReadError::Size { path: path.into(), width, height });
    }
    if matches!(decoder.color_type(), ColorType::Rgb32F | ColorType::Rgba32F) {
        return Err(ReadError::Float { path: path.into() });
    }
    let orientation = decoder.orientation().map_err(refuse)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(refuse)?;
    image.apply_orientation(orientation);
    Ok(image)
}

/// The content of a regular file; a folder or a device is refused before it is read.
fn read_file(path: &Path) -> Result<Vec<u8>, ReadError> {
    let failed = |source| ReadError::File { path: path.into(), source };
    let kind = fs::metadata(path).map_err(failed)?;
    if !kind.is_file() {
        let found = if kind.is_dir() { "a folder" } else { "a device or a pipe" };
        return Err(ReadError::NotAFile { path: path.into(), found });
    }
    fs::read(path).map_err(failed)
}

/// How an unknown content begins, for a message.
fn describe(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        "it is empty".into()
    } else {
        format!("it begins with \"{}\"", bytes[..bytes.len().min(12)].escape_ascii())
    }
}
