//! Pictures to JPEG files.

use image::codecs::jpeg::JpegEncoder;
use image::{ImageResult, RgbImage};

/// Encodes a picture as the bytes of a JPEG file, its colours at full resolution; `quality` is 1 to
/// 100.
///
/// # Errors
/// When a side is longer than the 65,535 pixels that JPEG allows, or the picture is empty.
pub fn jpeg_bytes(image: &RgbImage, quality: u8) -> ImageResult<Vec<u8>> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, quality).encode_image(image)?;
    Ok(bytes)
}
