//! Masks and pictures to PNG files.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use image::codecs::jpeg::JpegEncoder;
use image::{GrayImage, ImageResult, RgbImage};
use png::{BitDepth, ColorType, Compression, Encoder};
use thiserror::Error;

use crate::atomic::{WriteError, write_atomic};

/// Why a mask cannot be saved.
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

/// Writes labels as a PNG file whose pixel values are the labels and whose palette shows each in its class's colour.
///
/// `palette` holds red, green and blue by class index, for at most 256 classes.
///
/// # Errors
/// When a label has no colour in the palette or the file cannot be written.
pub fn write_mask_png(path: &Path, labels: &GrayImage, palette: &[[u8; 3]]) -> Result<(), EncodeError> {
    if let Some(label) = labels.iter().find(|label| usize::from(**label) >= palette.len()) {
        return Err(EncodeError::Label { path: path.into(), label: *label, colors: palette.len() });
    }
    Ok(write_atomic(path, |file| {
        let mut encoder = Encoder::new(file, labels.width(), labels.height());
        encoder.set_color(ColorType::Indexed);
        encoder.set_palette(palette.as_flattened());
        encode(encoder, labels.as_raw())
    })?)
}

/// Writes a picture as a PNG file.
///
/// # Errors
/// When the file cannot be written.
pub fn write_png(path: &Path, image: &RgbImage) -> Result<(), WriteError> {
    write_atomic(path, |file| {
        let mut encoder = Encoder::new(file, image.width(), image.height());
        encoder.set_color(ColorType::Rgb);
        encode(encoder, image.as_raw())
    })
}

/// A picture as the bytes of a PNG file.
///
/// # Errors
/// When the picture is empty.
pub fn png_bytes(image: &RgbImage) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, image.width(), image.height());
    encoder.set_color(ColorType::Rgb);
    encode(encoder, image.as_raw())?;
    Ok(bytes)
}

/// A picture as the bytes of a JPEG file, its colours at full resolution; `quality` is 1 to 100.
///
/// # Errors
/// When a side is longer than the 65,535 pixels that JPEG knows, or the picture is empty.
pub fn jpeg_bytes(image: &RgbImage, quality: u8) -> ImageResult<Vec<u8>> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, quality).encode_image(image)?;
    Ok(bytes)
}

/// Encodes rows of 8-bit samples.
fn encode<W: Write>(mut encoder: Encoder<'_, W>, samples: &[u8]) -> io::Result<()> {
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(Compression::Balanced);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(samples)?;
    Ok(writer.finish()?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::read_image;

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
    fn a_jpeg_keeps_neighbouring_colors_apart() {
        let picture = RgbImage::from_fn(64, 64, |x, _| if x % 2 == 0 { [230, 159, 0] } else { [86, 180, 233] }.into());
        let read = image::load_from_memory(&jpeg_bytes(&picture, 95).unwrap()).unwrap().into_rgb8();
        let worst = read.iter().zip(picture.iter()).map(|(read, written)| read.abs_diff(*written)).max();
        assert!(worst < Some(40), "{worst:?}");
        assert!(jpeg_bytes(&RgbImage::new(70_000, 1), 90).is_err());
    }
}
