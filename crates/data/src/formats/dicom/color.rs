//! Samples of three colours, and of palettes, as red, green and blue.

use std::path::Path;

use dicom_dictionary_std::tags;
use image::{Rgb, RgbImage};
use seg_contract::Rgb16Image;

use super::DICOM;
use super::file::DicomFile;
use super::pixels::{PixelLayout, Stored, is_converted, unread};
use super::tables::Table;
use crate::formats::error::ReadError;
use crate::picture::Picture;

/// Converts the samples of a frame in colours.
///
/// # Errors
/// When the samples are of a kind that is not read.
pub(super) fn picture(
    path: &Path,
    file: &DicomFile,
    layout: &PixelLayout,
    stored: &Stored,
) -> Result<Picture, ReadError> {
    let Stored::Integers(samples) = stored else {
        return Err(unread(path, format!("floating-point pixels that are {}", layout.photometric)));
    };
    if layout.stored > 16 || layout.is_signed {
        let sign = if layout.is_signed { "signed " } else { "" };
        return Err(unread(path, format!("{sign}colours of {} bits", layout.stored)));
    }
    let is_luma = matches!(layout.photometric.as_str(), "YBR_FULL" | "YBR_FULL_422") && !is_converted(file);
    let (width, height) = (layout.width, layout.height);
    let largest = ((1_u32 << layout.stored) - 1) as f64;
    let pixels = samples.chunks_exact(3).map(|pixel| {
        let pixel = [pixel[0], pixel[1], pixel[2]].map(|sample| sample as f64);
        if is_luma { rgb(pixel, largest) } else { pixel }
    });
    if layout.stored == 8 {
        let values = pixels.flat_map(|pixel| pixel.map(|value| value as u8)).collect();
        return Ok(Picture::Bits8(RgbImage::from_raw(width, height, values).ok_or_else(|| short(path))?));
    }
    let values = pixels.flat_map(|pixel| pixel.map(|value| (value / largest * 65535.0).round() as u16)).collect();
    Ok(Picture::Bits16(Rgb16Image::from_raw(width, height, values).ok_or_else(|| short(path))?))
}

fn short(path: &Path) -> ReadError {
    ReadError::Damaged { path: path.into(), format: DICOM, found: "a frame has too few samples".into() }
}

/// Converts luma and colour differences by ITU-R BT.601 in full range, as DICOM's `YBR_FULL` is
/// defined (PS3.3, C.7.6.3.1.2), rounded.
fn rgb([luma, blue, red]: [f64; 3], largest: f64) -> [f64; 3] {
    let half = (largest + 1.0) / 2.0;
    let (blue, red) = (blue - half, red - half);
    [luma + 1.402 * red, luma - 0.344_136 * blue - 0.714_136 * red, luma + 1.772 * blue]
        .map(|value| value.round().clamp(0.0, largest))
}

/// Replaces indices by the colours of the file's palette.
///
/// # Errors
/// When the palette is missing, damaged, or in segments.
pub(super) fn from_palette(
    path: &Path,
    file: &DicomFile,
    layout: &PixelLayout,
    stored: &Stored,
) -> Result<Picture, ReadError> {
    let Stored::Integers(samples) = stored else { return Err(short(path)) };
    if file.object.get(tags::SEGMENTED_RED_PALETTE_COLOR_LOOKUP_TABLE_DATA).is_some() {
        return Err(unread(path, "a palette in segments (0028,1221)".into()));
    }
    let table = |descriptor, data| Table::read(path, &file.object, [descriptor, data], layout.is_signed);
    let tables = [
        table(tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR, tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DATA)?,
        table(tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR, tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA)?,
        table(tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR, tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA)?,
    ];
    let color = |sample: &i64| [0, 1, 2].map(|color: usize| tables[color].at(*sample as f64));
    let (width, height) = (layout.width, layout.height);
    if tables.iter().all(|table| table.bits <= 8 && table.largest() <= 255.0) {
        let pixels: Vec<u8> = samples.iter().flat_map(|sample| color(sample).map(|value| value as u8)).collect();
        return Ok(Picture::Bits8(RgbImage::from_raw(width, height, pixels).ok_or_else(|| short(path))?));
    }
    let mut image = Rgb16Image::new(width, height);
    for (pixel, sample) in image.pixels_mut().zip(samples) {
        *pixel = Rgb(color(sample));
    }
    Ok(Picture::Bits16(image))
}
