//! JPEG-LS (ITU-T T.87), lossless and nearly so, decoded by the C++ library CharLS.

use charls::CharLS;

use super::codecs::{Coded, Fault};
use super::pixels::{PixelLayout, interleaved};

/// The frame that the head of a JPEG-LS code describes.
struct Head {
    bits: u8,
    height: u16,
    width: u16,
    components: u8,
    /// True if each component is a scan of its own, so that planes come out.
    is_planar: bool,
}

impl Head {
    /// Reads the head up to the first scan; `None` where there is none.
    fn read(content: &[u8]) -> Option<Self> {
        let mut rest = content.strip_prefix(&[0xff, 0xd8])?;
        let mut frame = None;
        while let [0xff, marker, high, low, after @ ..] = rest {
            let length = usize::from(u16::from_be_bytes([*high, *low])).checked_sub(2)?;
            let segment = after.get(..length)?;
            match (marker, segment) {
                (0xf7, [bits, a, b, c, d, components, ..]) => {
                    let [height, width] = [[*a, *b], [*c, *d]].map(u16::from_be_bytes);
                    frame = Some(Self { bits: *bits, height, width, components: *components, is_planar: false });
                }
                // The interleaving stands before the last byte of the scan's head.
                (0xda, [.., interleaving, _]) => {
                    let is_planar = *interleaving == 0;
                    return frame.map(|head| Self { is_planar: is_planar && head.components > 1, ..head });
                }
                _ => {}
            }
            rest = after.get(length..)?;
        }
        None
    }
}

/// Decodes a frame. Its colours come as they are stored.
pub(super) fn jpeg_ls(content: &[u8], layout: &PixelLayout) -> Result<Coded, Fault> {
    // Before the decoder takes memory for the size that it finds.
    let head = Head::read(content).ok_or("it has no head of a JPEG-LS code")?;
    let found = [head.width, head.height, head.components.into()].map(u32::from);
    let expected = [layout.width, layout.height, layout.samples];
    if found != expected {
        let text = |[width, height, samples]: [u32; 3]| format!("{width}x{height}x{samples}");
        let [found, expected] = [found, expected].map(text);
        return Err(format!("it is {found}, expected {expected} (width x height x samples a pixel)").into());
    }
    // Behind the code there may be a byte of filling. Without its end marker, the decoder may not
    // end.
    let filling = content.iter().rev().take_while(|byte| **byte == 0).count();
    let content = &content[..content.len() - filling];
    if !content.ends_with(&[0xff, 0xd9]) {
        return Err("it is cut off: it has no end marker".into());
    }
    let bytes = CharLS::default().decode(content)?;
    let samples: Vec<u32> = match head.bits {
        ..=8 => bytes.iter().map(|byte| u32::from(*byte)).collect(),
        _ => bytes.chunks_exact(2).map(|word| u32::from(u16::from_ne_bytes([word[0], word[1]]))).collect(),
    };
    let samples = if head.is_planar && layout.samples == 3 { interleaved(&samples) } else { samples };
    Ok(Coded { width: layout.width, height: layout.height, samples })
}
