//! PNG files of masks and pictures.

use std::borrow::Cow;
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use image::{GrayImage, RgbImage};
use png::{BitDepth, ColorType, Compression, Encoder};
use thiserror::Error;

use super::atomic::{WriteError, write_atomic};

/// An error in saving a mask.
#[derive(Debug, Error)]
pub enum EncodeError {
    /// A label has no colour.
    #[error("cannot write the mask `{path}`: it has the label {label}, but only {colors} classes have a colour")]
    Label {
        /// The file to be written.
        path: PathBuf,
        /// The label found.
        label: u8,
        /// The number of colours.
        colors: usize,
    },
    /// The file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// The type of the samples of a PNG file.
#[derive(Clone, Copy, Debug)]
pub enum PngKind<'a> {
    /// Indices into a palette of red, green and blue.
    Indexed(&'a [[u8; 3]]),
    /// Red, green and blue.
    Rgb,
    /// Grey.
    Gray,
    /// Grey with 16 bits, the high byte first.
    Gray16,
}

/// The number of bytes from which an image is encoded in bands.
const BAND_BYTES: usize = 1 << 24;

/// Encodes an image of the given width and height as PNG, requesting bands of its rows from top to
/// bottom.
///
/// Compression is light: a better one takes longer than a small network.
///
/// # Errors
/// When the image is empty, a band fails or has another size, or writing fails.
pub fn encode_png<'a>(
    out: impl Write,
    kind: PngKind<'_>,
    (width, height): (u32, u32),
    rows: &mut dyn FnMut(Range<u32>) -> io::Result<Cow<'a, [u8]>>,
) -> io::Result<()> {
    let mut encoder = Encoder::new(out, width, height);
    encoder.set_compression(Compression::Fast);
    encoder.set_depth(BitDepth::Eight);
    let bytes_per_pixel = match kind {
        PngKind::Indexed(palette) => {
            encoder.set_color(ColorType::Indexed);
            encoder.set_palette(palette.as_flattened());
            1
        }
        PngKind::Rgb => {
            encoder.set_color(ColorType::Rgb);
            3
        }
        PngKind::Gray => {
            encoder.set_color(ColorType::Grayscale);
            1
        }
        PngKind::Gray16 => {
            encoder.set_color(ColorType::Grayscale);
            encoder.set_depth(BitDepth::Sixteen);
            2
        }
    };
    let mut writer = encoder.write_header()?;
    let band = (BAND_BYTES / (width as usize * bytes_per_pixel)).clamp(1, u32::MAX as usize) as u32;
    if band >= height {
        writer.write_image_data(&rows(0..height)?)?;
    } else {
        let mut stream = writer.stream_writer_with_size(1 << 16)?;
        for first in (0..height).step_by(band as usize) {
            stream.write_all(&rows(first..first.saturating_add(band).min(height))?)?;
        }
        stream.finish()?;
    }
    Ok(writer.finish()?)
}

/// Returns the bytes of some rows of samples.
fn part(samples: &[u8], row_bytes: usize, rows: Range<u32>) -> Cow<'_, [u8]> {
    Cow::Borrowed(&samples[rows.start as usize * row_bytes..rows.end as usize * row_bytes])
}

/// Writes labels as a PNG file whose pixel values are the labels and whose palette shows each in
/// its class's colour.
///
/// `palette` holds red, green and blue by class index, for at most 256 classes.
///
/// # Errors
/// When a label has no colour in the palette or the file cannot be written.
pub fn write_mask_png(path: &Path, labels: &GrayImage, palette: &[[u8; 3]]) -> Result<(), EncodeError> {
    if let Some(label) = labels.iter().find(|label| usize::from(**label) >= palette.len()) {
        return Err(EncodeError::Label { path: path.into(), label: *label, colors: palette.len() });
    }
    let row_bytes = labels.width() as usize;
    Ok(write_atomic(path, |file| {
        let mut rows = |rows| Ok(part(labels.as_raw(), row_bytes, rows));
        encode_png(file, PngKind::Indexed(palette), labels.dimensions(), &mut rows)
    })?)
}

/// Writes a picture as a PNG file.
///
/// # Errors
/// When the file cannot be written.
pub fn write_png(path: &Path, image: &RgbImage) -> Result<(), WriteError> {
    write_atomic(path, |file| encode_picture(file, image))
}

/// Encodes a picture as the bytes of a PNG file.
///
/// # Errors
/// When the picture is empty.
pub fn png_bytes(image: &RgbImage) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    encode_picture(&mut bytes, image)?;
    Ok(bytes)
}

fn encode_picture(out: impl Write, image: &RgbImage) -> io::Result<()> {
    let row_bytes = 3 * image.width() as usize;
    encode_png(out, PngKind::Rgb, image.dimensions(), &mut |rows| Ok(part(image.as_raw(), row_bytes, rows)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{jpeg_bytes, read_image};

    #[test]
    fn a_masks_pixel_values_are_its_labels_and_viewers_see_colors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mask.png");
        let labels = GrayImage::from_raw(3, 2, vec![0, 1, 2, 2, 1, 0]).unwrap();
        let palette = [[0, 0, 0], [0, 255, 0], [255, 0, 51]];
        write_mask_png(&path, &labels, &palette).unwrap();

        let bytes = fs::read(&path).unwrap();
        let mut reader = png::Decoder::new(io::Cursor::new(&bytes)).read_info().unwrap();
        assert_eq!(reader.info().color_type, ColorType::Indexed);
        let mut indices = vec![0; 6];
        reader.next_frame(&mut indices).unwrap();
        assert_eq!(indices, labels.into_raw());
        assert_eq!(read_image(&path).unwrap().get_pixel(2, 0).0, [1.0, 0.0, 0.2]);
    }

    #[test]
    fn a_label_without_a_color_is_refused_before_anything_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mask.png");
        let labels = GrayImage::from_pixel(1, 1, [2].into());
        let message = write_mask_png(&path, &labels, &[[0; 3], [255; 3]]).unwrap_err().to_string();
        assert!(message.contains("label 2, but only 2 classes"), "{message}");
        assert!(!path.exists());
    }

    #[test]
    fn a_picture_comes_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("picture.png");
        let picture = RgbImage::from_fn(5, 3, |x, y| [x as u8 * 50, y as u8 * 100, 7].into());
        write_png(&path, &picture).unwrap();
        assert_eq!(image::open(&path).unwrap().into_rgb8(), picture);
        assert_eq!(image::load_from_memory(&png_bytes(&picture).unwrap()).unwrap().into_rgb8(), picture);
    }

    #[test]
    fn an_image_in_bands_comes_back_as_it_was() {
        // More than one band of each kind.
        let (width, height) = (5000, 4000);
        let value = |x: u32, y: u32| (x / 7 + y * 3) as u8;
        let mut bytes = Vec::new();
        let mut bands = 0;
        let mut rows = |rows: Range<u32>| {
            bands += 1;
            Ok(Cow::Owned(rows.flat_map(|y| (0..width).map(move |x| value(x, y))).collect()))
        };
        encode_png(&mut bytes, PngKind::Gray, (width, height), &mut rows).unwrap();
        assert_eq!(bands, 2);
        let read = image::load_from_memory(&bytes).unwrap().into_luma8();
        assert!(read == GrayImage::from_fn(width, height, |x, y| [value(x, y)].into()));
    }

    #[test]
    fn sixteen_bits_come_back_as_they_were() {
        let mut bytes = Vec::new();
        let mut rows = |_: Range<u32>| Ok((0..=u16::MAX).flat_map(u16::to_be_bytes).collect());
        encode_png(&mut bytes, PngKind::Gray16, (256, 256), &mut rows).unwrap();
        assert!(image::load_from_memory(&bytes).unwrap().into_luma16().into_raw().into_iter().eq(0..=u16::MAX));
    }

    #[test]
    fn a_jpeg_keeps_neighbouring_colors_apart() {
        let picture = RgbImage::from_fn(64, 64, |x, _| if x % 2 == 0 { [230, 159, 0] } else { [86, 180, 233] }.into());
        let read = image::load_from_memory(&jpeg_bytes(&picture, 95).unwrap()).unwrap().into_rgb8();
        let worst = read.iter().zip(picture.iter()).map(|(read, written)| read.abs_diff(*written)).max();
        assert!(worst < Some(40), "{worst:?}");
        assert!(jpeg_bytes(&RgbImage::new(70_000, 1), 90).is_err());
    }
}
