//! RLE Lossless: each byte of the samples is a segment of its own, packed as `PackBits` does.
//!
//! DICOM PS3.5, annex G.

/// Decodes a frame of `pixels` pixels to the planes of its samples, one behind the other.
///
/// # Errors
/// When the content is damaged; the text says how.
pub(super) fn decode(content: &[u8], samples: usize, bytes: usize, pixels: usize) -> Result<Vec<u32>, String> {
    let word = |index: usize| {
        let word = content.get(4 * index..4 * index + 4)?;
        Some(u32::from_le_bytes([word[0], word[1], word[2], word[3]]) as usize)
    };
    let segments = samples * bytes;
    let found = word(0).ok_or("an RLE frame has no header")?;
    if found != segments {
        return Err(format!("an RLE frame has {found} segments, expected {segments}"));
    }
    let mut planes = vec![0_u32; samples * pixels];
    for segment in 0..segments {
        let start = word(1 + segment).filter(|start| *start >= 64);
        let next = if segment + 1 < segments { word(2 + segment) } else { None };
        let part = start.and_then(|start| content.get(start..next.unwrap_or(content.len())));
        let part = part.ok_or_else(|| format!("segment {} of an RLE frame lies outside of it", segment + 1))?;
        // The highest byte comes first.
        let (sample, shift) = (segment / bytes, 8 * (bytes - 1 - segment % bytes));
        let plane = &mut planes[sample * pixels..(sample + 1) * pixels];
        let filled = unpack(part, plane, shift);
        if filled < pixels {
            return Err(format!("segment {} of an RLE frame has {filled} of {pixels} bytes", segment + 1));
        }
    }
    Ok(planes)
}

/// Unpacks a segment into one byte of each value, and returns the number of values.
fn unpack(mut part: &[u8], plane: &mut [u32], shift: usize) -> usize {
    let mut place = 0;
    while place < plane.len() {
        let Some((control, rest)) = part.split_first() else { break };
        part = rest;
        match *control {
            128 => {}
            count @ 0..128 => {
                let literal = &part[..part.len().min(usize::from(count) + 1)];
                part = &part[literal.len()..];
                for (value, byte) in plane[place..].iter_mut().zip(literal) {
                    *value |= u32::from(*byte) << shift;
                }
                place += literal.len();
            }
            count => {
                let Some((byte, rest)) = part.split_first() else { break };
                part = rest;
                let length = 257 - usize::from(count);
                for value in plane[place..].iter_mut().take(length) {
                    *value |= u32::from(*byte) << shift;
                }
                place += length;
            }
        }
    }
    place.min(plane.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes a frame of segments.
    fn frame(segments: &[&[u8]]) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes[..4].copy_from_slice(&(segments.len() as u32).to_le_bytes());
        for (index, segment) in segments.iter().enumerate() {
            let start = bytes.len() as u32;
            bytes[4 + 4 * index..8 + 4 * index].copy_from_slice(&start.to_le_bytes());
            bytes.extend(*segment);
        }
        bytes
    }

    #[test]
    fn segments_are_the_bytes_of_the_samples() {
        // Runs, literals, and a control byte that does nothing (128).
        let high = [0xfe, 1, 128, 0, 2];
        let low = [3, 10, 20, 30, 40];
        assert_eq!(decode(&frame(&[&high, &low]), 1, 2, 4).unwrap(), [0x10a, 0x114, 0x11e, 0x228]);
        let [red, green, blue] = [[1, 1, 2], [1, 3, 4], [1, 5, 6]];
        assert_eq!(decode(&frame(&[&red, &green, &blue]), 3, 1, 2).unwrap(), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn a_frame_that_is_cut_off_is_an_error_and_never_a_panic() {
        let whole = frame(&[&[0xfe, 1, 0, 2], &[3, 10, 20, 30, 40]]);
        for length in 0..whole.len() {
            assert!(decode(&whole[..length], 1, 2, 4).is_err(), "{length}");
        }
        assert!(decode(&whole, 1, 1, 4).unwrap_err().contains("2 segments, expected 1"));
    }
}
