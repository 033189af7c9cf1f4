//! Image files that are decoded as a whole.

use std::path::Path;

use image::{ColorType, DynamicImage, Rgb32FImage};
use seg_contract::Reading;

use super::error::ReadError;
use super::file::{open_file, read_file};
use super::format::Header;
use super::guard::guard;
use super::limits::{check_size, reserve};
use super::reader::ImageInfo;
use super::recognition::{check_level, find, format_of, whole_file};
use super::whole;
use crate::picture::Picture;

/// Reads an image as red, green and blue in [0, 1]: `v / 255` of 8-bit values, `v / 65535` of
/// 16-bit ones, floating-point values (TIFF) as they are, and medical values through the window
/// that their file names.
///
/// The format is recognised by the content, not by the name. The orientation that a camera noted
/// (EXIF) is applied. Grey becomes three equal values. Transparency is dropped, so that a pixel
/// keeps the colour stored under it. Colour profiles are not applied. The path may be that of one
/// of several pictures in a file, as [`PicturePath`](crate::PicturePath) says; a path that names
/// the file alone stands for the first.
///
/// # Errors
/// When the file cannot be read, is not an image in a known format, is damaged, cut off, empty or
/// larger than [`PIXELS_MAX`](crate::PIXELS_MAX), or holds floating-point values outside of [0, 1].
pub fn read_image(path: &Path) -> Result<Rgb32FImage, ReadError> {
    read_image_as(path, &Reading::default())
}

/// Reads an image as [`read_image`] does, medical ones in the way that `reading` names.
///
/// # Errors
/// As [`read_image`].
pub fn read_image_as(path: &Path, reading: &Reading) -> Result<Rgb32FImage, ReadError> {
    Ok(read_sized_image(path, reading)?.0)
}

/// Reads an image as [`read_image_as`] does, and returns the millimetres between its rows and
/// between its columns, where the file names them.
///
/// # Errors
/// As [`read_image`].
pub fn read_sized_image(path: &Path, reading: &Reading) -> Result<(Rgb32FImage, Option<[f64; 2]>), ReadError> {
    let (image, spacing) = decode_sized(path, reading)?;
    let picture = Picture::from(image);
    let (width, height) = picture.dimensions();
    reserve(path, u64::from(width) * u64::from(height) * size_of::<[f32; 3]>() as u64)?;
    Ok((picture.to_float(), spacing))
}

/// Reads the content of a file that begins as an image and is no larger than one can be.
pub(crate) fn read_image_file(path: &Path) -> Result<Vec<u8>, ReadError> {
    let (file, head) = open_file(path)?;
    let format = format_of(path, &head)?;
    // Errors of the head are left to the decoder, which has the better message.
    if let Ok((width, height)) = guard(path, format.name(), || format.stored_size(path, file)) {
        check_size(path, width, height)?;
    }
    read_file(path)
}

/// Reads the properties of the image in the content of the file `path`.
pub(crate) fn header(path: &Path, bytes: &[u8]) -> Result<Header, ReadError> {
    let format = format_of(path, bytes)?;
    guard(path, format.name(), || format.header(path, bytes))
}

/// Decodes the content of the file `path` in the channels and bits it was stored with, upright.
pub(crate) fn decode(path: &Path, bytes: &[u8]) -> Result<DynamicImage, ReadError> {
    let format = format_of(path, bytes)?;
    guard(path, format.name(), || format.decode(path, bytes))
}

/// Decodes a picture in the channels and bits it was stored with, upright, medical ones through a
/// window.
pub(crate) fn decode_as(path: &Path, reading: &Reading) -> Result<DynamicImage, ReadError> {
    Ok(decode_sized(path, reading)?.0)
}

/// Decodes a picture as [`decode_as`] does, and returns the millimetres between its rows and
/// between its columns, where the file names them.
fn decode_sized(path: &Path, reading: &Reading) -> Result<(DynamicImage, Option<[f64; 2]>), ReadError> {
    let (picture, format) = find(path)?;
    check_level(path, format, reading)?;
    let opened = guard(path, format.name(), || {
        let Some(mut reader) = format.open_picture(&picture, reading)? else { return Ok(None) };
        let ImageInfo { height, spacing, .. } = *reader.info();
        Ok(Some((reader.rows(0..height)?.into_owned(), spacing)))
    })?;
    match opened {
        Some((picture, spacing)) => Ok((picture.into(), spacing)),
        None => {
            let file = whole_file(&picture, format)?;
            let bytes = read_image_file(file)?;
            Ok((decode(file, &bytes)?, guard(path, format.name(), || whole::spacing(format, file, &bytes))?))
        }
    }
}

/// Decodes a picture as [`decode`] does, but refuses floating-point values.
pub(crate) fn decode_integers(path: &Path, reading: &Reading) -> Result<DynamicImage, ReadError> {
    let (picture, format) = find(path)?;
    if format.is_known_by_content() {
        // The labels of a medical image are its values, which no window changes.
        let labels = guard(path, format.name(), || format.open_labels(&picture, reading))?;
        if let Some(labels) = labels {
            return integers(path, labels);
        }
    }
    integers(path, decode_as(path, reading)?)
}

/// Decodes a picture as a mask of class indices, but refuses floating-point values.
pub(crate) fn decode_indices(path: &Path, reading: &Reading) -> Result<DynamicImage, ReadError> {
    let (picture, format) = find(path)?;
    match guard(path, format.name(), || format.open_labels(&picture, reading))? {
        Some(labels) => integers(path, labels),
        None => {
            let file = whole_file(&picture, format)?;
            let bytes = read_image_file(file)?;
            integers(path, guard(path, format.name(), || format.decode_indices(file, &bytes))?)
        }
    }
}

/// Returns the image, unless its values are floating-point.
fn integers(path: &Path, image: DynamicImage) -> Result<DynamicImage, ReadError> {
    match image.color() {
        ColorType::Rgb32F | ColorType::Rgba32F => Err(ReadError::MaskValues { path: path.into() }),
        _ => Ok(image),
    }
}

/// Returns whether an image has 16 bits per channel, and not 8.
pub(crate) fn has_16_bits(image: &DynamicImage) -> bool {
    image.color().bytes_per_pixel() / image.color().channel_count() > 1
}
