//! Masks and pictures to PNG files.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use image::{GrayImage, RgbImage};
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

/// Encodes rows of 8-bit samples.
fn encode(mut encoder: Encoder<'_, &mut dyn Write>, samples: &[u8]) -> io::Result<()> {
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(Compression::Balanced);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(samples)?;
    Ok(writer.finish()?)
}
