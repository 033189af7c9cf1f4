//! BMP files of run lengths with 4 or 8 bits: the pixels that they skip have the palette's first
//! colour.

use image::RgbImage;

/// The compressions of run lengths.
const RUNS_8: u32 = 1;
const RUNS_4: u32 = 2;
/// The bytes of the file's header.
const FILE_HEADER: usize = 14;

/// A file that begins with such a header.
pub(super) struct Runs<'a> {
    bytes: &'a [u8],
    pub(super) width: u32,
    pub(super) height: u32,
    is_top_down: bool,
    is_half: bool,
    palette: Vec<[u8; 3]>,
}

impl<'a> Runs<'a> {
    /// Reads the header of a file; `None` for one that is compressed otherwise, or damaged.
    pub(super) fn new(bytes: &'a [u8]) -> Option<Self> {
        let number =
            |place: usize| Some(u32::from_le_bytes(bytes.get(place..place + 4)?.try_into().expect("four bytes")));
        let (header, width, height) = (number(14)?, number(18)? as i32, number(22)? as i32);
        let (bits, compression, listed) = (number(28)? & 0xffff, number(30)?, number(46)?);
        let is_half = match (compression, bits) {
            (RUNS_8, 8) => false,
            (RUNS_4, 4) => true,
            _ => return None,
        };
        if !bytes.starts_with(b"BM") || header < 40 || width <= 0 || height == 0 {
            return None;
        }
        let colors = if listed == 0 { 1 << bits } else { listed.min(1 << bits) };
        let start = FILE_HEADER + header as usize;
        let entries = bytes.get(start..start + 4 * colors as usize)?;
        let palette = entries.chunks_exact(4).map(|entry| [entry[2], entry[1], entry[0]]).collect();
        let bytes = bytes.get(number(10)? as usize..)?;
        let (is_top_down, height) = (height < 0, height.unsigned_abs());
        Some(Self { bytes, width: width as u32, height, is_top_down, is_half, palette })
    }

    /// Decodes the pixels; `None` where the file ends before they do.
    pub(super) fn decode(&self) -> Option<RgbImage> {
        let (width, height) = (self.width as usize, self.height as usize);
        let mut indices = vec![0; width * height];
        let (mut x, mut y) = (0, 0);
        let mut rest = self.bytes.iter().copied();
        // What lies behind the end of a row or of the image is left out.
        let mut put = |x: usize, y: usize, index: u8| {
            if x < width && y < height {
                indices[y * width + x] = index;
            }
        };
        let half = |byte: u8, place: usize| if place.is_multiple_of(2) { byte >> 4 } else { byte & 0x0f };
        while y < height {
            let Some(count) = rest.next() else {
                // Some writers leave out the end behind the last pixel.
                if y + 1 == height && x >= width {
                    break;
                }
                return None;
            };
            let value = rest.next()?;
            match (count, value) {
                (0, 0) => (x, y) = (0, y + 1),
                (0, 1) => break,
                (0, 2) => (x, y) = (x + usize::from(rest.next()?), y + usize::from(rest.next()?)),
                (0, count) => {
                    let count = usize::from(count);
                    let bytes = if self.is_half { count.div_ceil(2) } else { count };
                    for place in 0..bytes {
                        let byte = rest.next()?;
                        if self.is_half {
                            put(x + 2 * place, y, half(byte, 0));
                            if 2 * place + 1 < count {
                                put(x + 2 * place + 1, y, half(byte, 1));
                            }
                        } else {
                            put(x + place, y, byte);
                        }
                    }
                    x += count;
                    // To a whole word.
                    if bytes % 2 == 1 {
                        rest.next()?;
                    }
                }
                (count, value) => {
                    let count = usize::from(count);
                    (0..count)
                        .for_each(|place| put(x + place, y, if self.is_half { half(value, place) } else { value }));
                    x += count;
                }
            }
        }
        let color = |index: u8| self.palette.get(usize::from(index)).copied().unwrap_or_default();
        Some(RgbImage::from_fn(self.width, self.height, |x, y| {
            let row = if self.is_top_down { y } else { self.height - 1 - y };
            color(indices[row as usize * width + x as usize]).into()
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::formats::decode;

    /// Writes a file of 5x3 pixels with the palette 10, 20, 30 and so on.
    fn file(bits: u16, height: i32, runs: &[u8]) -> Vec<u8> {
        let mut bytes = b"BM".to_vec();
        let entries = 1_u32 << bits;
        let start = 54 + 4 * entries;
        bytes.extend([start + runs.len() as u32, 0, start, 40, 5].map(u32::to_le_bytes).concat());
        bytes.extend(height.to_le_bytes());
        bytes.extend([1, bits].map(u16::to_le_bytes).concat());
        bytes.extend([if bits == 8 { 1 } else { 2 }, runs.len() as u32, 0, 0, 0, 0].map(u32::to_le_bytes).concat());
        (0..entries).for_each(|index| bytes.extend([(10 * (index + 1)) as u8, 0, 0, 0]));
        bytes.extend(runs);
        bytes
    }

    /// Returns the blue of each pixel, by rows.
    fn blue(bytes: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        let image = decode(Path::new("a.bmp"), bytes).map_err(|error| error.to_string())?.into_rgb8();
        Ok(image.rows().map(|row| row.map(|pixel| pixel[2]).collect()).collect())
    }

    #[test]
    fn runs_and_what_they_skip_have_their_colours() {
        // The lowest row: a run of three and two bytes of their own; then one step right and up;
        // the rest of the highest row is skipped.
        let runs = [3, 1, 0, 0, 0, 2, 1, 0, 2, 2, 0, 1];
        assert_eq!(blue(&file(8, 3, &runs)).unwrap(), [[10; 5], [10, 30, 30, 10, 10], [20, 20, 20, 10, 10]]);
        assert_eq!(blue(&file(8, -3, &runs)).unwrap(), [[20, 20, 20, 10, 10], [10, 30, 30, 10, 10], [10; 5]]);
        // A run of two colours in turn, three nibbles of their own, and a run beyond the row's end.
        let halves = [2, 0x12, 0, 3, 0x34, 0x50, 0, 0, 9, 0x21, 0, 0, 0, 1];
        assert_eq!(blue(&file(4, 3, &halves)).unwrap(), [[10; 5], [30, 20, 30, 20, 30], [20, 30, 40, 50, 60]]);
        // Bytes of their own are filled to a word.
        let own = [0, 3, 1, 2, 3, 0, 2, 4, 0, 0, 5, 1, 0, 0, 5, 2];
        assert_eq!(blue(&file(8, 3, &own)).unwrap(), [[30; 5], [20; 5], [20, 30, 40, 50, 50]]);
    }

    #[test]
    fn a_file_that_is_cut_off_is_an_error() {
        let whole = file(8, 3, &[5, 1, 0, 0, 5, 2, 0, 0, 0, 3, 1, 2, 3, 0, 2, 4, 0, 1]);
        assert!(blue(&whole).is_ok());
        for length in 0..whole.len() - 2 {
            assert!(blue(&whole[..length]).is_err(), "{length}");
        }
    }
}
