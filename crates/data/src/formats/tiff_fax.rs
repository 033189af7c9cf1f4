//! Strips in the fax codes that the TIFF decoder lacks: modified Huffman and group 3 (TIFF 6.0,
//! sections 10 and 11; ITU-T T.4).
//!
//! A row is a list of the places where its colour changes, the first from white to black.

use fax::maps::{Mode, black, mode, white};
use fax::{BitReader, Color};

/// The number of zeros at the beginning of an end-of-line code.
const EOL_ZEROS: u8 = 11;

/// The code of a strip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FaxCode {
    /// Modified Huffman: each row begins with a byte of its own.
    Huffman,
    /// Group 3: end-of-line codes between rows. In two dimensions, a bit behind them says whether
    /// the row is coded by the one above.
    Group3 {
        /// True if rows may be coded by the one above.
        is_two_dimensional: bool,
    },
}

/// Decodes a strip of some rows and columns to one bit for a pixel, black as 1, where each row
/// begins with a byte of its own; `None` if the strip is damaged or cut off.
pub(super) fn decode(bytes: &[u8], code: FaxCode, [rows, columns]: [usize; 2]) -> Option<Vec<u8>> {
    let width = u16::try_from(columns).ok()?;
    let mut bits = Bits { bytes, place: 0 };
    let mut packed = Vec::new();
    let mut row = Vec::new();
    for _ in 0..rows {
        row = match code {
            FaxCode::Huffman => {
                bits.place = bits.place.next_multiple_of(8);
                by_runs(&mut bits, width)?
            }
            FaxCode::Group3 { is_two_dimensional } => {
                bits.skip_end_of_line();
                if is_two_dimensional && bits.take()? == 0 {
                    by_row_above(&mut bits, &row, width)?
                } else {
                    by_runs(&mut bits, width)?
                }
            }
        };
        pack(&row, columns, &mut packed);
    }
    Some(packed)
}

/// Reads a row as runs of white and black in turn.
fn by_runs(bits: &mut Bits<'_>, width: u16) -> Option<Vec<u16>> {
    let mut row = Vec::new();
    let (mut end, mut color) = (0, Color::White);
    while end < width {
        end = bits.run(color)?.checked_add(end).filter(|end| *end <= width)?;
        row.push(end);
        color = !color;
    }
    Some(row)
}

/// Reads a row by its differences from the one above.
fn by_row_above(bits: &mut Bits<'_>, above: &[u16], width: u16) -> Option<Vec<u16>> {
    let mut row: Vec<u16> = Vec::new();
    // `None` before the first pixel, of which a change above counts too.
    let mut at: Option<u16> = None;
    let mut color = Color::White;
    while at.is_none_or(|at| at < width) {
        // The first change above, right of here, to the other colour, and the next one.
        let parity = usize::from(color == Color::Black);
        let is_right = |place: &u16| at.is_none_or(|at| *place > at);
        let index = (parity..above.len()).step_by(2).find(|index| is_right(&above[*index]));
        let change = |index: Option<usize>| index.and_then(|index| above.get(index)).copied().unwrap_or(width);
        let [first, second] = [change(index), change(index.map(|index| index + 1))];
        match mode::decode(bits)? {
            Mode::Pass => at = Some(second),
            Mode::Horizontal => {
                for color in [color, !color] {
                    let end = bits.run(color)?.checked_add(at.unwrap_or(0)).filter(|end| *end <= width)?;
                    row.push(end);
                    at = Some(end);
                }
            }
            Mode::Vertical(offset) => {
                let place = first.checked_add_signed(offset.into()).filter(|place| *place <= width)?;
                if place < at.unwrap_or(0) {
                    return None;
                }
                row.push(place);
                at = Some(place);
                color = !color;
            }
            Mode::Extension | Mode::EOF => return None,
        }
    }
    Some(row)
}

/// Adds a row to packed bits.
fn pack(row: &[u16], columns: usize, packed: &mut Vec<u8>) {
    let start = packed.len();
    packed.resize(start + columns.div_ceil(8), 0);
    let line = &mut packed[start..];
    for run in row.chunks(2) {
        let end = run.get(1).map_or(columns, |end| usize::from(*end));
        for place in usize::from(run[0])..end.min(columns) {
            line[place / 8] |= 0x80 >> (place % 8);
        }
    }
}

/// The bits of a strip, the highest of a byte first. Behind the last one are zeros, which cannot be
/// consumed.
struct Bits<'a> {
    bytes: &'a [u8],
    place: usize,
}

impl Bits<'_> {
    /// Takes a bit.
    fn take(&mut self) -> Option<u16> {
        let bit = self.peek(1)?;
        self.consume(1).ok().map(|()| bit)
    }

    /// Skips an end-of-line code and the zeros that fill bytes before it, if they are here.
    fn skip_end_of_line(&mut self) {
        if self.peek(EOL_ZEROS) != Some(0) {
            return;
        }
        while self.take() == Some(0) {}
    }

    /// Takes the length of a run: codes of multiples of 64, and one of less.
    fn run(&mut self, color: Color) -> Option<u16> {
        let mut length: u16 = 0;
        loop {
            let part = match color {
                Color::White => white::decode(self)?,
                Color::Black => black::decode(self)?,
            };
            length = length.checked_add(part)?;
            if part < 64 {
                return Some(length);
            }
        }
    }
}

impl BitReader for Bits<'_> {
    type Error = ();

    fn peek(&self, bits: u8) -> Option<u16> {
        let byte = |index: usize| u32::from(self.bytes.get(self.place / 8 + index).copied().unwrap_or(0));
        let window = (byte(0) << 16) | (byte(1) << 8) | byte(2);
        let behind = 24_u32.checked_sub(u32::from(bits) + (self.place % 8) as u32).filter(|_| bits <= 16)?;
        Some((window >> behind & ((1 << bits) - 1)) as u16)
    }

    fn consume(&mut self, bits: u8) -> Result<(), ()> {
        let place = self.place + usize::from(bits);
        if place > self.bytes.len() * 8 {
            return Err(());
        }
        self.place = place;
        Ok(())
    }

    fn bits_to_byte_boundary(&self) -> u8 {
        (self.place.next_multiple_of(8) - self.place) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of which black is `#`.
    const ROWS: [&str; 5] = [
        "#####################",
        ".....#####.....#####.",
        "....#####......####..",
        "######...........####",
        ".....................",
    ];

    /// The rows as libtiff 4 packs them, which takes the other colour for black.
    fn expected() -> Vec<u8> {
        let mut packed = Vec::new();
        for row in ROWS {
            let bits = row.bytes().zip(0..).filter(|(byte, _)| *byte == b'#').map(|(_, place)| 1_u32 << (31 - place));
            packed.extend(&bits.sum::<u32>().to_be_bytes()[..3]);
        }
        packed
    }

    #[test]
    fn strips_that_libtiff_wrote_are_decoded() {
        let group3 = |is_two_dimensional| FaxCode::Group3 { is_two_dimensional };
        let rows: [(&str, FaxCode, &[u8]); 4] = [
            ("modified Huffman", FaxCode::Huffman, b"\x35\x0d\x80\xc3\xc3\x1c\xb3\xe6\xe0\x35\x24\x30\x2e"),
            ("group 3", group3(false), b"\x00\x13\x50\xd8\x00\x38\x78\x63\x80\x0d\x9f\x37\x00\x13\x52\x43\x00\x12\xe0"),
            (
                "group 3 in two dimensions",
                group3(true),
                b"\x00\x19\xa8\x6c\x00\x11\xc3\x38\x70\x01\xd9\xf3\x70\x01\x13\x52\x0c\x30\x01\x97",
            ),
            (
                "group 3, rows that end with a byte",
                group3(false),
                b"\x00\x01\x35\x0d\x80\x01\xc3\xc3\x1c\x00\x01\xb3\xe6\xe0\x01\x35\x24\x30\x01\x2e",
            ),
        ];
        for (name, code, bytes) in rows {
            let found = decode(bytes, code, [5, 21]).unwrap_or_else(|| panic!("{name}: refused"));
            assert_eq!(found, expected(), "{name}");
            for length in 0..bytes.len() - 1 {
                assert_eq!(decode(&bytes[..length], code, [5, 21]), None, "{name}, cut off at byte {length}");
            }
        }
    }
}
