//! JPEG files.
//!
//! The decoder invents the missing part of a cut-off or damaged file and reports success, so the
//! end of the file is looked for and its scans are checked first. The decoder also reads a whole
//! file to tell its size, so the size is read here.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Seek};
use std::path::Path;

use image::{DynamicImage, ImageFormat};

use super::error::ReadError;
use super::format::{Format, Header};
use super::jpeg_scan::{self, Expected, Fault};
use super::limits::check_size;
use super::raster::Raster;

/// JPEG, whose decoder is the image crate's.
pub(super) struct Jpeg;

const RASTER: Raster = Raster::new(ImageFormat::Jpeg, "JPEG", &["jpg", "jpeg", "jfif"]);

impl Format for Jpeg {
    fn name(&self) -> &'static str {
        RASTER.name()
    }

    fn extensions(&self) -> &'static [&'static str] {
        RASTER.extensions()
    }

    fn sniff(&self, head: &[u8]) -> bool {
        RASTER.sniff(head)
    }

    fn keeps_values(&self) -> bool {
        false
    }

    fn stored_size(&self, path: &Path, mut file: BufReader<File>) -> Result<(u32, u32), ReadError> {
        self.size(path, &mut file)
    }

    fn header(&self, path: &Path, bytes: &[u8]) -> Result<Header, ReadError> {
        self.check_end(path, bytes)?;
        self.check_kind(path, bytes)?;
        RASTER.header(path, bytes)
    }

    fn decode(&self, path: &Path, bytes: &[u8]) -> Result<DynamicImage, ReadError> {
        self.check_end(path, bytes)?;
        self.check_kind(path, bytes)?;
        let (width, height) = self.size(path, &mut Cursor::new(bytes))?;
        check_size(path, width, height)?;
        jpeg_scan::check(bytes, Expected { width, heights: [height, height] }).map_err(|fault| match fault {
            Fault::Damaged(found) => ReadError::Damaged { path: path.into(), format: self.name(), found },
            Fault::Kind(kind) => ReadError::Kind { path: path.into(), format: self.name(), kind: kind.into() },
            Fault::Memory(bytes) => ReadError::Memory { path: path.into(), bytes },
        })?;
        RASTER.decode(path, bytes)
    }
}

impl Jpeg {
    fn size(&self, path: &Path, file: &mut (impl BufRead + Seek)) -> Result<(u32, u32), ReadError> {
        size(file).map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => ReadError::CutOff { path: path.into(), format: self.name() },
            _ => ReadError::File { path: path.into(), source },
        })
    }

    fn check_kind(&self, path: &Path, bytes: &[u8]) -> Result<(), ReadError> {
        match jpeg_scan::unread_kind(bytes) {
            Some(kind) => Err(ReadError::Kind { path: path.into(), format: self.name(), kind: kind.into() }),
            None => Ok(()),
        }
    }

    fn check_end(&self, path: &Path, bytes: &[u8]) -> Result<(), ReadError> {
        if is_whole(bytes) { Ok(()) } else { Err(ReadError::CutOff { path: path.into(), format: self.name() }) }
    }
}

/// Returns whether the image ends with its end-of-image marker; `bytes` begin with the
/// start-of-image marker.
///
/// Walks from marker to marker (ITU-T T.81, annex B) and over each segment as a whole, so that the
/// end of a thumbnail inside a segment does not count. Bytes after the end are ignored.
fn is_whole(bytes: &[u8]) -> bool {
    const FILL: u8 = 0xff;
    let mut rest = bytes;
    // Between segments lies compressed data, in which a marker's first byte is followed by a zero.
    while let Some(start) = rest.iter().position(|byte| *byte == 0xff) {
        rest = &rest[start + 1..];
        match rest {
            [] => return false,
            [0xd9, ..] => return true,
            // Markers without a segment: stuffing, private use, restarts and the start of the
            // image.
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

/// Reads width and height from the frame's header of a file that is at its start.
///
/// # Errors
/// When the file cannot be read, or ends before that header.
pub(super) fn size(file: &mut (impl BufRead + Seek)) -> io::Result<(u32, u32)> {
    loop {
        file.skip_until(0xff)?;
        let mut marker = [0xff];
        while marker == [0xff] {
            file.read_exact(&mut marker)?;
        }
        match marker[0] {
            0x00 | 0x01 | 0xd0..=0xd8 => {}
            // Between the frames' markers lie those of Huffman tables, extensions and arithmetic
            // coding.
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
    use std::io::Cursor;

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

    #[test]
    fn a_thumbnail_and_tables_are_not_a_frame() {
        let frame = b"\xff\xc0\0\x0b\x08\0\x15\0\x25\x01\0\0\0";
        let rows: [(&str, &[u8]); 4] = [
            ("at once", b""),
            ("after a thumbnail", b"\xff\xe1\0\x0a\xff\xc0\0\x0b\x08\0\x01\0"),
            ("after a Huffman table", b"\xff\xc4\0\x06\x08\0\x01\0"),
            ("after fill bytes", b"\xff\xff\xff\xd8"),
        ];
        for (name, before) in rows {
            let bytes = [b"\xff\xd8", before, frame].concat();
            assert_eq!(size(&mut Cursor::new(bytes)).unwrap(), (37, 21), "{name}");
        }
    }
}
