//! Whether a JPEG file is whole, and how large its image is.
//!
//! The decoder fills what a cut-off file lacks with grey and reports success, so this is asked first; and it reads all of a
//! file to tell the size.

use std::io::{self, BufRead, Seek};

/// Whether the image ends with its end-of-image marker; `bytes` begin with the start-of-image marker.
///
/// Walks from marker to marker (ITU-T T.81, annex B) and over each segment as a whole, so that the end of a thumbnail
/// inside a segment does not count. Whatever follows the end is nobody's concern.
pub(crate) fn is_whole(bytes: &[u8]) -> bool {
    const FILL: u8 = 0xff;
    let mut rest = bytes;
    // Between segments lies compressed data, in which a marker's first byte is followed by a zero.
    while let Some(start) = rest.iter().position(|byte| *byte == 0xff) {
        rest = &rest[start + 1..];
        match rest {
            [] => return false,
            [0xd9, ..] => return true,
            // Markers without a segment: stuffing, private use, restarts and the start of the image.
            [FILL | 0x00 | 0x01 | 0xd0..=0xd8, ..] => {}
            [_, high, low, ..] => {
                let segment = 1 + usize::from(u16::from_be_bytes([*high, *low]));
                match rest.get(segment..) {
                    Some(after) => rest = after,
                    None => return false,
                }
            }
            _ => return false,
        }
    }
    false
}

/// Width and height that the frame's header says, in a file that is at its start.
///
/// # Errors
/// When the file cannot be read, or ends before.
pub(crate) fn size(file: &mut (impl BufRead + Seek)) -> io::Result<(u32, u32)> {
    loop {
        file.skip_until(0xff)?;
        let mut marker = [0xff];
        while marker == [0xff] {
            file.read_exact(&mut marker)?;
        }
        match marker[0] {
            0x00 | 0x01 | 0xd0..=0xd8 => {}
            // Huffman tables, what is reserved, and arithmetic coding lie among the frames' markers.
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                let mut header = [0; 7];
                file.read_exact(&mut header)?;
                let [_, _, _, height @ .., w1, w0] = header;
                return Ok((u16::from_be_bytes([w1, w0]).into(), u16::from_be_bytes(height).into()));
            }
            0xd9 => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ => {
                let mut length = [0; 2];
                file.read_exact(&mut length)?;
                file.seek_relative(i64::from(u16::from_be_bytes(length)) - 2)?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_images_own_end_counts() {
        let rows: [(&str, &[u8], bool); 8] = [
            ("only a start", &[0xff, 0xd8], false),
            ("start and end", &[0xff, 0xd8, 0xff, 0xd9], true),
            ("bytes after the end", &[0xff, 0xd8, 0xff, 0xd9, 1, 2, 3], true),
            ("an end inside a segment", &[0xff, 0xd8, 0xff, 0xe1, 0, 4, 0xff, 0xd9], false),
            ("an end after a segment", &[0xff, 0xd8, 0xff, 0xe1, 0, 4, 0xff, 0xd9, 0xff, 0xd9], true),
            ("a segment that is cut off", &[0xff, 0xd8, 0xff, 0xe1, 0, 9, 0xff, 0xd9], false),
            ("restarts and stuffing in the data", &[0xff, 0xd8, 7, 0xff, 0, 7, 0xff, 0xd3, 7, 0xff, 0xd9], true),
            ("fill bytes before the end", &[0xff, 0xd8, 0xff, 0xff, 0xff, 0xd9], true),
        ];
        for (name, bytes, whole) in rows {
            assert_eq!(is_whole(bytes), whole, "{name}");
        }
    }
}
