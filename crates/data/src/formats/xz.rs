//! The container of LZMA2 in which TIFF files hold strips and tiles: one block of the XZ format
//! 1.2.

use std::io::{Cursor, Read};

use lzma_rust2::Lzma2Reader;

/// The numbers of filters: differences between bytes, and LZMA2.
const DELTA: u64 = 3;
const LZMA2: u64 = 0x21;
/// The smallest dictionary of the decoder, in bytes.
const DICTIONARY_MIN: usize = 4096;

/// Decompresses the first block to this many bytes.
///
/// # Errors
/// When it is damaged, ends early, or holds other filters.
pub(super) fn decompress(bytes: &[u8], length: usize) -> Result<Vec<u8>, &'static str> {
    const DAMAGED: &str = "its XZ header is damaged";
    let check = match bytes {
        [0xfd, b'7', b'z', b'X', b'Z', 0, 0, check, ..] => check & 0x0f,
        _ => return Err("it is not in the XZ format"),
    };
    let block = bytes.get(12..).ok_or(DAMAGED)?;
    let size = 4 * (usize::from(*block.first().ok_or(DAMAGED)?) + 1);
    let header = block.get(1..size.saturating_sub(4)).ok_or(DAMAGED)?;
    let mut header = Numbers(header);
    let flags = header.byte().ok_or(DAMAGED)?;
    // The compressed and the uncompressed size are optional.
    for _ in 0..(flags >> 6).count_ones() {
        header.number().ok_or(DAMAGED)?;
    }
    let mut distance = None;
    for _ in 0..=(flags & 3) {
        let (filter, properties) = (header.number().ok_or(DAMAGED)?, header.number().ok_or(DAMAGED)?);
        match (filter, properties) {
            (DELTA, 1) => distance = Some(usize::from(header.byte().ok_or(DAMAGED)?) + 1),
            (LZMA2, 1) => {
                header.byte().ok_or(DAMAGED)?;
            }
            _ => return Err("it has a filter other than LZMA2 and differences"),
        }
    }
    // No match reaches farther back than the content does.
    let dictionary = u32::try_from(length.max(DICTIONARY_MIN)).map_err(|_| DAMAGED)?;
    let mut reader = Lzma2Reader::new(Cursor::new(block.get(size..).ok_or(DAMAGED)?), dictionary, None);
    let mut content = vec![0; length];
    reader.read_exact(&mut content).map_err(|_| "its compressed data are damaged or end early")?;
    if reader.read(&mut [0]).map_or(true, |count| count > 0) {
        return Err("its compressed data are damaged or do not end");
    }
    let padded = (reader.into_inner().position() as usize).next_multiple_of(4);
    if let Some(distance) = distance {
        for place in distance..content.len() {
            content[place] = content[place].wrapping_add(content[place - distance]);
        }
    }
    let sum = block.get(size + padded..).ok_or(DAMAGED)?;
    let is_whole = match check {
        1 => sum.starts_with(&crc(&content, 0xedb8_8320, u64::from(u32::MAX)).to_le_bytes()[..4]),
        4 => sum.starts_with(&crc(&content, 0xc96c_5795_d787_0f42, u64::MAX).to_le_bytes()),
        // None, or one that is rarely used.
        _ => true,
    };
    if is_whole { Ok(content) } else { Err("its checksum differs") }
}

/// Computes a reflected cyclic redundancy check of 32 or 64 bits.
fn crc(bytes: &[u8], polynomial: u64, ones: u64) -> u64 {
    let table: [u64; 256] = std::array::from_fn(|byte| {
        (0..8).fold(byte as u64, |crc, _| if crc & 1 == 1 { (crc >> 1) ^ polynomial } else { crc >> 1 })
    });
    bytes.iter().fold(ones, |crc, byte| (crc >> 8) ^ table[(crc as u8 ^ byte) as usize]) ^ ones
}

/// Numbers of a header.
struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    /// Reads a number of seven bits a byte, the lowest first.
    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for place in 0..9 {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Python's `lzma.compress(bytes(range(50)) * 3, check=..., filters=[...])`: with CRC-64, and
    /// with differences of three bytes and CRC-32.
    const WHOLE: [(&str, &[u8]); 2] = [
        (
            "LZMA2",
            &[
                0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 0, 4, 0xe6, 0xd6, 0xb4, 0x46, 2, 0, 0x21, 1, 0x16, 0, 0, 0, 0x74,
                0x2f, 0xe5, 0xa3, 0xe0, 0, 0x95, 0, 0x36, 0x5d, 0, 0, 0, 0x52, 0x50, 0xa, 0x84, 0xf9, 0x9b, 0xb2, 0x80,
                0x21, 0xa9, 0x69, 0xd6, 0x27, 0xe0, 0x3e, 6, 0x5a, 0x5f, 4, 0x8d, 0x53, 0xd4, 4, 0xba, 0x39, 0x57, 5,
                9, 0xc1, 0x55, 0x24, 0xde, 0x9d, 0xb8, 0x71, 0x59, 0x31, 0x60, 0xa1, 0x9f, 0xf9, 0x6f, 0x49, 0x73,
                0xf2, 0xc9, 0x46, 0x72, 0xc2, 0xd6, 0, 0, 0, 0, 0, 0xe3, 0xdb, 0x1f, 2, 0x44, 0x8d, 0x4c, 0xef, 0, 1,
                0x52, 0x96, 1, 0, 0, 0, 0xf4, 0xc8, 0xe9, 0x64, 0xb1, 0xc4, 0x67, 0xfb, 2, 0, 0, 0, 0, 4, 0x59, 0x5a,
            ],
        ),
        (
            "differences",
            &[
                0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 0, 1, 0x69, 0x22, 0xde, 0x36, 2, 1, 3, 1, 2, 0x21, 1, 0x16, 0xf2,
                0xe8, 0xcd, 0x44, 0xe0, 0, 0x95, 0, 0xe, 0x5d, 0, 0, 0, 0x52, 0x50, 0x2d, 0x41, 0x42, 0x13, 0x4b, 0xbe,
                0x66, 0xc2, 0x40, 0, 0, 0, 0, 0x86, 0x5c, 0x15, 0xda, 0, 1, 0x26, 0x96, 1, 0, 0, 0, 0x23, 0x87, 0x5a,
                0xf4, 0x3e, 0x30, 0xd, 0x8b, 2, 0, 0, 0, 0, 1, 0x59, 0x5a,
            ],
        ),
    ];

    #[test]
    fn a_block_has_its_bytes_or_is_damaged() {
        let expected: Vec<u8> = (0..50).cycle().take(150).collect();
        for (name, whole) in WHOLE {
            assert_eq!(decompress(whole, 150).as_deref(), Ok(expected.as_slice()), "{name}");
            for length in 0..whole.len() {
                // What follows the checksum is the index.
                if let Ok(found) = decompress(&whole[..length], 150) {
                    assert_eq!(found, expected, "{name}: {length}");
                }
            }
            for length in [0, 149, 151] {
                assert!(decompress(whole, length).is_err(), "{name}: {length}");
            }
            for place in 24..60 {
                let mut damaged = whole.to_vec();
                damaged[place] ^= 0x10;
                if let Ok(found) = decompress(&damaged, 150) {
                    assert_eq!(found, expected, "{name}: {place}");
                }
            }
        }
        assert!(decompress(b"", 1).is_err() && decompress(b"\x1f\x8b", 1).is_err());
    }
}
