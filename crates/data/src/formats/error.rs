//! The error of reading a file as an image.

use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;

use seg_contract::Level;
use thiserror::Error;

/// The largest image that is read, in pixels: 11585x11585, or 1.6 GB once its values are `f32`.
pub const PIXELS_MAX: u64 = 1 << 27;

/// The reason why a file cannot be read as an image.
///
/// A format is named as it is in its `Format`, for example `PNG`.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The file could not be read at all.
    #[error("cannot read the file `{path}`")]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The path is that of a folder or a device.
    #[error("cannot read `{path}` as an image: it is {found}, expected a file")]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// A phrase for the thing found there.
        found: &'static str,
    },
    /// The content is not an image in a known format. The file's name does not count.
    #[error("cannot read `{path}` as an image: {found}, expected the content of a {expected} file; convert it to PNG")]
    Format {
        /// The file.
        path: PathBuf,
        /// The beginning of its content.
        found: String,
        /// The formats that are read.
        expected: String,
    },
    /// The content is of a kind that is not an image.
    #[error("cannot read `{path}` as an image: it is {kind}; {remedy}")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The kind, with its article.
        kind: &'static str,
        /// The remedy.
        remedy: &'static str,
    },
    /// The file ends before its image does.
    #[error("cannot read `{path}`: the {format} file is cut off; fetch or save it again")]
    CutOff {
        /// The file.
        path: PathBuf,
        /// The format of its content.
        format: &'static str,
    },
    /// The content is damaged.
    #[error("cannot read `{path}`: the {format} file is damaged ({found}); fetch or save it again")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The format of its content.
        format: &'static str,
        /// The damage and its place.
        found: String,
    },
    /// The file is of a kind of its format that is not read; it may be whole.
    #[error("cannot read {kind} in {format} files, as `{path}` has; save it again as PNG")]
    Kind {
        /// The file.
        path: PathBuf,
        /// The format of its content.
        format: &'static str,
        /// The name of the kind.
        kind: String,
    },
    /// A medical image, or one that should be, is of a kind that is not read; it may be whole.
    #[error("cannot read `{path}` as an image: it is a {format} file with {kind}")]
    Medical {
        /// The file.
        path: PathBuf,
        /// The format of its content.
        format: &'static str,
        /// A phrase for the kind, with the attribute, its value and the remedy.
        kind: String,
    },
    /// The file has fewer pictures.
    #[error("cannot read `{path}`: the {format} file has {pictures} pictures")]
    Number {
        /// The picture.
        path: PathBuf,
        /// The format of its content.
        format: &'static str,
        /// The pictures of the file.
        pictures: usize,
    },
    /// Content that should be one picture holds several.
    #[error("cannot read `{path}` as one image: the {format} file has {pictures} pictures; give them one by one")]
    Several {
        /// The name of the content.
        path: PathBuf,
        /// The format of the content.
        format: &'static str,
        /// The pictures of the content.
        pictures: usize,
    },
    /// The file has no such level.
    #[error("cannot read `{path}` at level {level}: it has {levels}; name one of them")]
    Level {
        /// The picture.
        path: PathBuf,
        /// The level that was asked for.
        level: Level,
        /// The levels of the file.
        levels: String,
    },
    /// The decoder refused the content.
    #[error(
        "cannot decode `{path}`: the {format} file is damaged, cut off, or of an unusual kind; save it again as PNG"
    )]
    Decode {
        /// The file.
        path: PathBuf,
        /// The format of its content.
        format: &'static str,
        /// The error of the decoder.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The decoder panicked, which is a defect of the decoder; the file may be whole.
    #[error(
        "cannot decode `{path}`: the decoder of {format} files panicked ({message}); convert the file to another format"
    )]
    Panic {
        /// The file.
        path: PathBuf,
        /// The format of its content.
        format: &'static str,
        /// The decoder's message.
        message: String,
    },
    /// The file is larger than that of any image that is read.
    #[error(
        "cannot read `{path}`: the file has {bytes} bytes, expected at most {bytes_max}; save it compressed, or as a TIFF \
         file in strips or tiles"
    )]
    FileSize {
        /// The file.
        path: PathBuf,
        /// Its bytes.
        bytes: u64,
        /// The most bytes that a file may have.
        bytes_max: u64,
    },
    /// The file asks for more memory than its pixels need.
    #[error(
        "cannot read `{path}`: the {format} file asks for more memory than an image of its size and {bytes_max} bytes of \
         colour profile and text; save it again without them"
    )]
    Metadata {
        /// The file.
        path: PathBuf,
        /// The format of its content.
        format: &'static str,
        /// The most bytes of colour profile and text.
        bytes_max: u64,
    },
    /// The memory for an image could not be had.
    #[error(
        "cannot read `{path}`: its image takes {bytes} bytes of memory, which the system does not give; free memory, or \
         save it as a TIFF file in strips or tiles, which is read in bands"
    )]
    Memory {
        /// The file.
        path: PathBuf,
        /// The bytes that were asked for.
        bytes: u64,
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
        "cannot read `{path}`: its strips or tiles have {rows} rows and {bytes} bytes, expected at most {bytes_max} bytes; \
         save it in strips or tiles of fewer rows"
    )]
    Strip {
        /// The file.
        path: PathBuf,
        /// The rows of a strip or a tile.
        rows: u32,
        /// The bytes of a strip or a tile.
        bytes: u64,
        /// The most bytes that a strip or a tile may have.
        bytes_max: u64,
    },
    /// The values of a mask are floating-point, signed, or have more than 16 bits, so that they are
    /// not labels.
    #[error(
        "cannot read `{path}`: its values are floating-point, signed or of more than 16 bits, expected 8 or 16 bits without \
         a sign; save it with 8 bits"
    )]
    MaskValues {
        /// The file.
        path: PathBuf,
    },
    /// A signed integer is negative.
    #[error("cannot read `{path}`: it holds the value {value}, expected 0 or more; shift and scale its values")]
    Negative {
        /// The file.
        path: PathBuf,
        /// The first such value.
        value: i32,
    },
    /// A floating-point value lies outside of [0, 1], where its meaning is unknown.
    #[error("cannot read `{path}`: it holds the floating-point value {value}, expected 0 to 1; scale its values")]
    Range {
        /// The file.
        path: PathBuf,
        /// The first such value.
        value: f32,
    },
}
