//! The compressions of other standards: JPEG and JPEG 2000.

use std::error::Error;
use std::io::Cursor;

use jpeg_decoder::{ColorTransform, Decoder, PixelFormat};
use jpeg2k::{DecodeParameters, Image};

use super::pixels::PixelLayout;
use crate::formats::jpeg_2000::codestream_size;

/// A decoded frame.
pub(super) struct Coded {
    pub(super) width: u32,
    pub(super) height: u32,
    /// The samples, pixel by pixel.
    pub(super) samples: Vec<u32>,
}

/// The error of a decoder.
pub(super) type Fault = Box<dyn Error + Send + Sync>;

/// Decodes JPEG, lossy or lossless. Luma and colour differences become red, green and blue, unless
/// the compression is lossless.
pub(super) fn jpeg(content: &[u8], layout: &PixelLayout, samples: usize) -> Result<Coded, Fault> {
    let mut decoder = Decoder::new(Cursor::new(content));
    decoder.set_max_decoding_buffer_size(2 * samples + (1 << 16));
    if layout.samples == 3 && layout.photometric == "RGB" && !has_adobe_marker(content) {
        // The decoder would guess by the numbers of the components.
        decoder.set_color_transform(ColorTransform::RGB);
    }
    let bytes = decoder.decode()?;
    let info = decoder.info().ok_or("it has no frame")?;
    let samples = match info.pixel_format {
        PixelFormat::L16 => {
            bytes.chunks_exact(2).map(|word| u32::from(u16::from_ne_bytes([word[0], word[1]]))).collect()
        }
        PixelFormat::L8 | PixelFormat::RGB24 => bytes.iter().map(|byte| u32::from(*byte)).collect(),
        other => return Err(format!("its pixels are {other:?}").into()),
    };
    Ok(Coded { width: info.width.into(), height: info.height.into(), samples })
}

/// Returns whether a JPEG file says by Adobe's marker how its colours are coded.
fn has_adobe_marker(content: &[u8]) -> bool {
    let mut rest = content.get(2..).unwrap_or_default();
    while let [0xff, marker, high, low, after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low])).saturating_sub(2);
        match marker {
            0xee if after.starts_with(b"Adobe") => return true,
            0xda => return false,
            _ => rest = after.get(length..).unwrap_or_default(),
        }
    }
    false
}

/// Decodes JPEG 2000, of either kind; the codec undoes the transform of colours.
pub(super) fn jpeg_2000(content: &[u8], layout: &PixelLayout) -> Result<Coded, Fault> {
    // Before the decoder takes memory for the size that it finds.
    match codestream_size(content) {
        Some(size) if size == [u64::from(layout.height), u64::from(layout.width)] => {}
        Some([height, width]) => {
            return Err(format!("it is {width}x{height}, expected {}x{}", layout.width, layout.height).into());
        }
        None => return Err("it has no head of a JPEG 2000 code".into()),
    }
    // Missing data would become grey otherwise.
    let image = Image::from_bytes_with(content, DecodeParameters::new().strict(true))?;
    let components = image.components();
    let wanted = layout.samples as usize;
    if components.len() < wanted {
        return Err(format!("it has {} components, expected {wanted}", components.len()).into());
    }
    let (width, height) = (components[0].width(), components[0].height());
    let pixels = width as usize * height as usize;
    let planes: Vec<&[i32]> = components[..wanted].iter().map(|component| component.data()).collect();
    if planes.iter().any(|plane| plane.len() != pixels) {
        return Err("its components differ in size".into());
    }
    let samples = (0..pixels).flat_map(|place| planes.iter().map(move |plane| plane[place] as u32)).collect();
    Ok(Coded { width, height, samples })
}
