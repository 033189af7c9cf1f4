//! The entropy-coded blocks of a JPEG scan (ITU-T T.81, annexes F and G): tables of Huffman codes,
//! and a reader that steps over each block without computing its pixels.

/// The coefficients that a scan holds of each block.
#[derive(Clone, Copy)]
pub(super) enum Steps {
    All,
    FirstDc,
    NextDc,
    Ac { band: [u32; 2], is_first: bool },
}

/// The reason for which a block cannot be read.
pub(super) enum Wrong {
    Ended,
    Code,
}

impl Steps {
    /// Returns whether tables of DC and of AC codes are needed.
    pub(super) fn needs(self) -> [bool; 2] {
        match self {
            Self::All => [true, true],
            Self::FirstDc => [true, false],
            Self::NextDc => [false, false],
            Self::Ac { .. } => [false, true],
        }
    }

    /// Reads a block. `skipped` is the number of further blocks that have no coefficient in this
    /// scan.
    pub(super) fn read(
        self,
        bits: &mut Bits<'_>,
        [dc, ac]: [Option<&Huffman>; 2],
        nonzero: Option<&mut u64>,
        skipped: &mut u32,
    ) -> Result<(), Wrong> {
        match (self, dc, ac, nonzero) {
            (Self::All, Some(dc), Some(ac), _) => {
                bits.difference(dc)?;
                bits.coefficients(ac)
            }
            (Self::FirstDc, Some(dc), ..) => bits.difference(dc),
            (Self::NextDc, ..) => bits.take(1).map(|_| ()),
            (Self::Ac { band, is_first: true }, _, Some(ac), Some(nonzero)) => {
                bits.first_ac(ac, band, nonzero, skipped)
            }
            (Self::Ac { band, is_first: false }, _, Some(ac), Some(nonzero)) => {
                bits.next_ac(ac, band, nonzero, skipped)
            }
            _ => Err(Wrong::Code),
        }
    }
}

/// The length up to which codes are short, in bits.
const SHORT: usize = 10;

/// A table of codes.
pub(super) struct Huffman {
    /// Length and value of the code with which these bits begin; length 0 if it is longer.
    short: [(u8, u8); 1 << SHORT],
    /// The first code that is longer than each length, aligned to 16 bits.
    limits: [u32; 17],
    /// The difference between the place of a value and its code, for each length.
    offsets: [i32; 17],
    values: Vec<u8>,
}

impl Huffman {
    /// Reads a table: the number of codes of each length from 1 to 16, then their values.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (counts, rest) = bytes.split_first_chunk::<16>()?;
        let total: usize = counts.iter().map(|count| usize::from(*count)).sum();
        let values = rest.get(..total).filter(|values| values.len() <= 256)?.to_vec();
        let mut table = Self { short: [(0, 0); 1 << SHORT], limits: [0; 17], offsets: [0; 17], values };
        let (mut code, mut place) = (0_u32, 0_usize);
        for (length, count) in (1_usize..).zip(counts.map(u32::from)) {
            table.offsets[length] = place as i32 - code as i32;
            for _ in 0..count {
                if length <= SHORT {
                    let start = (code << (SHORT - length)) as usize;
                    let codes = table.short.get_mut(start..start + (1 << (SHORT - length)))?;
                    codes.fill((length as u8, table.values[place]));
                }
                code += 1;
                place += 1;
            }
            if code > 1 << length {
                return None;
            }
            table.limits[length] = code << (16 - length);
            code <<= 1;
        }
        Some(table)
    }

    /// Returns the number of codes.
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }
}

/// Returns whether one of eight bytes is that with which a marker begins.
fn has_ff(bytes: u64) -> bool {
    const ONES: u64 = u64::MAX / 0xff;
    let inverted = !bytes;
    inverted.wrapping_sub(ONES) & bytes & (ONES << 7) != 0
}

/// A reader of the bits of a scan, up to the next marker.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    /// The next byte that is not in the buffer.
    place: usize,
    /// The last `count` bits have not been taken.
    buffer: u64,
    count: u32,
    is_at_marker: bool,
}

impl<'a> Bits<'a> {
    /// Starts to read at a place of a file.
    pub(super) fn new(bytes: &'a [u8], place: usize) -> Self {
        Self { bytes, place, buffer: 0, count: 0, is_at_marker: false }
    }

    /// Returns the place behind the bytes that were read.
    pub(super) fn place(&self) -> usize {
        self.place
    }

    /// Reads bytes, if there are any before the next marker, until there are more than 48 bits.
    #[inline]
    fn fill(&mut self) {
        let next = self.bytes.get(self.place..).and_then(|rest| rest.first_chunk::<8>());
        match next.map(|bytes| u64::from_be_bytes(*bytes)) {
            Some(next) if !has_ff(next) && self.count <= 48 => {
                let bytes = (56 - self.count) / 8;
                self.buffer = (self.buffer << (8 * bytes)) | (next >> (64 - 8 * bytes));
                self.place += bytes as usize;
                self.count += 8 * bytes;
            }
            _ => self.fill_by_bytes(),
        }
    }

    fn fill_by_bytes(&mut self) {
        while self.count <= 48 && !self.is_at_marker {
            match self.bytes.get(self.place..) {
                Some([0xff, 0, ..]) => {
                    self.buffer = (self.buffer << 8) | 0xff;
                    self.place += 2;
                }
                Some([byte, ..]) if *byte != 0xff => {
                    self.buffer = (self.buffer << 8) | u64::from(*byte);
                    self.place += 1;
                }
                _ => {
                    self.is_at_marker = true;
                    return;
                }
            }
            self.count += 8;
        }
    }

    #[inline]
    fn take(&mut self, length: u32) -> Result<u32, Wrong> {
        if self.count < length {
            self.fill();
        }
        self.count = self.count.checked_sub(length).ok_or(Wrong::Ended)?;
        Ok((self.buffer >> self.count) as u32 & ((1 << length) - 1))
    }

    /// Reads the value of a code.
    #[inline]
    fn code(&mut self, table: &Huffman) -> Result<u8, Wrong> {
        if self.count < 16 {
            self.fill();
        }
        let next = if self.count >= 16 { self.buffer >> (self.count - 16) } else { self.buffer << (16 - self.count) };
        let next = next as u32 & 0xffff;
        let (length, value) = match table.short[(next >> (16 - SHORT)) as usize] {
            (0, _) => {
                let length = (SHORT + 1..=16).find(|length| next < table.limits[*length]);
                // Bits that are missing read as zeros.
                let length = length.ok_or(if self.count < 16 { Wrong::Ended } else { Wrong::Code })?;
                let place = (next >> (16 - length)) as i32 + table.offsets[length];
                let value = usize::try_from(place).ok().and_then(|place| table.values.get(place));
                (length as u32, *value.ok_or(Wrong::Code)?)
            }
            (length, value) => (u32::from(length), value),
        };
        self.count = self.count.checked_sub(length).ok_or(Wrong::Ended)?;
        Ok(value)
    }

    /// Reads a DC coefficient.
    fn difference(&mut self, table: &Huffman) -> Result<(), Wrong> {
        match self.code(table)? {
            length @ 0..=15 => self.take(length.into()).map(|_| ()),
            _ => Err(Wrong::Code),
        }
    }

    /// Reads the AC coefficients of a sequential frame.
    fn coefficients(&mut self, table: &Huffman) -> Result<(), Wrong> {
        let mut place = 1;
        while place < 64 {
            place = self.short_coefficients(table, place);
            if place >= 64 {
                break;
            }
            let code = u32::from(self.code(table)?);
            match (code >> 4, code & 15) {
                (15, 0) => place += 16,
                (_, 0) => break,
                (run, length) => {
                    place += run + 1;
                    self.take(length)?;
                    if place > 64 {
                        return Err(Wrong::Code);
                    }
                }
            }
        }
        Ok(())
    }

    /// Steps over coefficients as long as their codes are short, enough bits are there, and they
    /// have a place in the block. Returns the next place, which is 64 where the block has ended.
    #[inline]
    fn short_coefficients(&mut self, table: &Huffman, mut place: u32) -> u32 {
        const MASK: usize = (1 << SHORT) - 1;
        // A code that is not short, and the bits of its coefficient.
        const ENOUGH: u32 = 16 + 15;
        loop {
            if self.count < ENOUGH {
                self.fill();
            }
            let (buffer, mut count) = (self.buffer, self.count);
            while count >= ENOUGH {
                let (length, code) = table.short[(buffer >> (count - SHORT as u32)) as usize & MASK];
                let next = match (length, code) {
                    (0, _) => 65,
                    (_, 0) => 64,
                    (_, 0xf0) => place + 16,
                    (_, code) if code & 15 == 0 => 65,
                    (_, code) => place + u32::from(code >> 4) + 1,
                };
                // What is left to the slower way: a long code, or a block that ends in its midst.
                if next > 64 {
                    self.count = count;
                    return place;
                }
                count -= u32::from(length) + u32::from(code & 15);
                place = next;
                if place == 64 {
                    self.count = count;
                    return place;
                }
            }
            let is_read = count < self.count;
            self.count = count;
            if !is_read {
                return place;
            }
        }
    }

    /// Reads the number of blocks that end here, in a progressive frame.
    fn blocks(&mut self, length: u32) -> Result<u32, Wrong> {
        Ok((1 << length) + self.take(length)?)
    }

    /// Reads the first bits of AC coefficients.
    fn first_ac(&mut self, table: &Huffman, band: [u32; 2], nonzero: &mut u64, skipped: &mut u32) -> Result<(), Wrong> {
        if *skipped > 0 {
            *skipped -= 1;
            return Ok(());
        }
        let [mut place, last] = band;
        while place <= last {
            let code = u32::from(self.code(table)?);
            match (code >> 4, code & 15) {
                (15, 0) => place += 16,
                (length, 0) => {
                    *skipped = self.blocks(length)? - 1;
                    break;
                }
                (run, length) => {
                    place += run;
                    self.take(length)?;
                    if place > last {
                        return Err(Wrong::Code);
                    }
                    *nonzero |= 1 << place;
                    place += 1;
                }
            }
        }
        Ok(())
    }

    /// Reads one more bit of AC coefficients.
    fn next_ac(&mut self, table: &Huffman, band: [u32; 2], nonzero: &mut u64, skipped: &mut u32) -> Result<(), Wrong> {
        let [mut place, last] = band;
        while *skipped == 0 && place <= last {
            let code = u32::from(self.code(table)?);
            let (mut run, is_new) = match (code >> 4, code & 15) {
                (15, 0) => (15, false),
                (length, 0) => {
                    *skipped = self.blocks(length)?;
                    break;
                }
                (run, 1) => {
                    self.take(1)?;
                    (run, true)
                }
                _ => return Err(Wrong::Code),
            };
            while place <= last {
                if *nonzero >> place & 1 == 1 {
                    self.take(1)?;
                } else if run == 0 {
                    break;
                } else {
                    run -= 1;
                }
                place += 1;
            }
            if is_new {
                if place > last {
                    return Err(Wrong::Code);
                }
                *nonzero |= 1 << place;
            }
            place += 1;
        }
        if *skipped > 0 {
            for place in place..=last {
                self.take(u32::from(*nonzero >> place & 1 == 1))?;
            }
            *skipped -= 1;
        }
        Ok(())
    }

    /// Drops the bits up to the next marker. Those of the last byte and whole bytes of zeros or
    /// ones are padding; other bytes are an error, which gives their number.
    pub(super) fn check_rest(&mut self) -> Result<(), usize> {
        self.count -= self.count % 8;
        let mut left = 0;
        loop {
            self.fill();
            if self.count == 0 {
                break;
            }
            self.count -= 8;
            left += usize::from(!matches!((self.buffer >> self.count) as u8, 0 | 0xff));
        }
        if left == 0 { Ok(()) } else { Err(left) }
    }

    /// Moves behind a restart marker and returns its number; `None` if another one comes next.
    pub(super) fn restart(&mut self) -> Option<usize> {
        let rest = self.bytes.get(self.place..)?;
        let fill = rest.iter().position(|byte| *byte != 0xff)?;
        match rest[fill] {
            marker @ 0xd0..=0xd7 => {
                self.place += fill + 1;
                self.is_at_marker = false;
                Some(usize::from(marker - 0xd0))
            }
            _ => None,
        }
    }
}
