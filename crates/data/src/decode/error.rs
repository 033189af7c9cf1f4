//! Why a file cannot be read as an image.

use std::io;
use std::path::PathBuf;

use image::{ImageError, ImageFormat};
use thiserror::Error;

use super::PIXELS_MAX;
use crate::tiff_rows::CHUNK_BYTES_MAX;

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
    /// The rows of a TIFF file cannot be read a few at a time.
    #[error(
        "cannot read `{path}`: its strips or tiles have {rows} rows and {bytes} bytes, expected at most {CHUNK_BYTES_MAX} bytes; \
         save it in strips or tiles of fewer rows"
    )]
    Strip {
        /// The file.
        path: PathBuf,
        /// The rows of a strip or a tile.
        rows: u32,
        /// The bytes of one.
        bytes: u64,
    },
    /// A mask cannot be floating-point.
    #[error("cannot read `{path}`: its values are floating-point, expected 8 or 16 bits; save it with 8 bits")]
    Float {
        /// The file.
        path: PathBuf,
    },
    /// Nobody says what floating-point values beyond [0, 1] mean.
    #[error("cannot read `{path}`: it holds the floating-point value {value}, expected 0 to 1; scale its values")]
    Range {
        /// The file.
        path: PathBuf,
        /// The first value that lies outside.
        value: f32,
    },
}
