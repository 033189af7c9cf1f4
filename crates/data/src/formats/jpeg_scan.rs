//! A check that the compressed data of a JPEG file hold every block of the image.
//!
//! The decoder fills what it does not find with invented pixels and reports success. So the Huffman
//! codes are read here as well (ITU-T T.81, annexes F and G), without computing a pixel: each scan
//! must hold exactly the blocks that its header promises, and restart markers must come in order.

use super::jpeg_codes::{Bits, Huffman, Steps, Wrong};

/// The reason for which a JPEG file is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The compressed data are damaged: a phrase that says where.
    Damaged(String),
    /// The file is of a kind that is not read: its name.
    Kind(&'static str),
    /// The system does not give this much memory, in bytes.
    Memory(u64),
}

/// The size that an image must have, in pixels.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Expected {
    pub(super) width: u32,
    /// The least and the largest height.
    pub(super) heights: [u32; 2],
}

/// Checks every scan of a file that begins with the start-of-image marker.
///
/// # Errors
/// When the image is of another size, a block of it is missing or cannot be read, or the file's
/// kind is not read.
pub(super) fn check(bytes: &[u8], expected: Expected) -> Result<(), Fault> {
    let mut file = File { bytes, place: 2, expected, ..File::default() };
    loop {
        let Some(marker) = file.next_marker() else { return Err(damaged("its end is missing")) };
        match marker {
            0xd9 => return file.check_components(),
            0x01 | 0xd0..=0xd8 => {}
            _ => {
                let segment = file.segment().ok_or_else(|| damaged("a header is cut off"))?;
                match marker {
                    0xc4 => file.huffman_tables(segment)?,
                    0xdd => file.restart_interval(segment)?,
                    0xda => file.scan(segment)?,
                    _ => match kind(marker) {
                        Some(Ok(progressive)) => file.frame(segment, progressive)?,
                        Some(Err(kind)) => return Err(Fault::Kind(kind)),
                        None => {}
                    },
                }
            }
        }
    }
}

/// Returns the kind of the file if it is not read, from its headers alone.
pub(super) fn unread_kind(bytes: &[u8]) -> Option<&'static str> {
    let mut file = File { bytes, place: 2, ..File::default() };
    loop {
        match file.next_marker()? {
            0x01 | 0xd0..=0xd8 => {}
            0xd9 | 0xda => return None,
            marker => {
                let segment = file.segment()?;
                match kind(marker) {
                    Some(Err(kind)) => return Some(kind),
                    Some(Ok(_)) if segment.first() == Some(&12) => return Some(TWELVE_BITS),
                    _ => {}
                }
            }
        }
    }
}

const TWELVE_BITS: &str = "12 bits per value";
const LOSSLESS: &str = "lossless JPEG";

/// Returns whether a file is lossless, from its headers alone.
pub(super) fn is_lossless(bytes: &[u8]) -> bool {
    unread_kind(bytes) == Some(LOSSLESS)
}

/// Returns whether a frame's marker is that of a progressive one, or the name of a kind that is not
/// read; `None` for other markers.
fn kind(marker: u8) -> Option<Result<bool, &'static str>> {
    match marker {
        0xc0 | 0xc1 => Some(Ok(false)),
        0xc2 => Some(Ok(true)),
        0xc3 => Some(Err(LOSSLESS)),
        0xc5..=0xc7 => Some(Err("hierarchical JPEG")),
        0xc9..=0xcb | 0xcd..=0xcf => Some(Err("arithmetic coding")),
        _ => None,
    }
}

fn damaged(found: impl Into<String>) -> Fault {
    Fault::Damaged(found.into())
}

/// Says that bytes are left over.
fn left_over(count: usize) -> String {
    if count == 1 { "1 byte is left over".into() } else { format!("{count} bytes are left over") }
}

/// Returns a list of zeros.
///
/// # Errors
/// [`Fault::Memory`] when the system does not give its memory.
fn zeros(count: usize) -> Result<Vec<u64>, Fault> {
    let mut zeros = Vec::new();
    let bytes = (count as u64).saturating_mul(size_of::<u64>() as u64);
    zeros.try_reserve_exact(count).map_err(|_| Fault::Memory(bytes))?;
    zeros.resize(count, 0);
    Ok(zeros)
}

/// The state between the segments of a file.
#[derive(Default)]
struct File<'a> {
    bytes: &'a [u8],
    place: usize,
    expected: Expected,
    frame: Option<Frame>,
    /// The tables of DC and AC codes.
    tables: [[Option<Box<Huffman>>; 4]; 2],
    restart_interval: usize,
}

/// The frame's header.
struct Frame {
    is_progressive: bool,
    width: usize,
    height: usize,
    components: Vec<Component>,
    /// The largest horizontal and vertical sampling factor.
    sampling: [usize; 2],
}

/// A component of the image: a grid of blocks of 8x8 values.
struct Component {
    id: u8,
    /// Horizontal and vertical sampling factor.
    sampling: [usize; 2],
    /// The blocks across and down that hold pixels.
    blocks: [usize; 2],
    /// The blocks across with those that fill the last unit.
    stride: usize,
    /// The coefficients of each block that are not zero, of a progressive frame.
    nonzero: Vec<u64>,
    has_data: bool,
}

impl<'a> File<'a> {
    /// Moves behind the next marker and returns it.
    fn next_marker(&mut self) -> Option<u8> {
        loop {
            self.place += self.bytes.get(self.place..)?.iter().position(|byte| *byte == 0xff)? + 1;
            match *self.bytes.get(self.place)? {
                0xff | 0 => {}
                marker => {
                    self.place += 1;
                    return Some(marker);
                }
            }
        }
    }

    /// Moves behind a segment and returns its content.
    fn segment(&mut self) -> Option<&'a [u8]> {
        let rest = self.bytes.get(self.place..)?;
        let length = usize::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?]));
        let segment = rest.get(2..length)?;
        self.place += length;
        Some(segment)
    }

    fn huffman_tables(&mut self, mut segment: &[u8]) -> Result<(), Fault> {
        while let [place, rest @ ..] = segment {
            let table = Huffman::read(rest).ok_or_else(|| damaged("a table of codes is invalid"))?;
            segment = &rest[16 + table.len()..];
            let slot =
                self.tables.get_mut(usize::from(place >> 4)).and_then(|kind| kind.get_mut(usize::from(place & 15)));
            *slot.ok_or_else(|| damaged("a table of codes has no place"))? = Some(Box::new(table));
        }
        Ok(())
    }

    fn restart_interval(&mut self, segment: &[u8]) -> Result<(), Fault> {
        let [high, low, ..] = segment else { return Err(damaged("a header is cut off")) };
        self.restart_interval = usize::from(u16::from_be_bytes([*high, *low]));
        Ok(())
    }

    fn frame(&mut self, segment: &[u8], is_progressive: bool) -> Result<(), Fault> {
        let invalid = || damaged("the header of its image is invalid");
        let [bits, h1, h0, w1, w0, count, rest @ ..] = segment else { return Err(invalid()) };
        if *bits == 12 {
            return Err(Fault::Kind(TWELVE_BITS));
        }
        let [height, width] = [[*h1, *h0], [*w1, *w0]].map(|bytes| usize::from(u16::from_be_bytes(bytes)));
        let described = rest.as_chunks::<3>().0;
        let sampling = |factors: u8| [usize::from(factors >> 4), usize::from(factors & 15)];
        if self.frame.is_some()
            || *bits != 8
            || width == 0
            || height == 0
            || described.len() != usize::from(*count)
            || !(1..=4).contains(count)
            || described.iter().any(|[_, factors, _]| sampling(*factors).iter().any(|side| !(1..=4).contains(side)))
        {
            return Err(invalid());
        }
        let Expected { width: columns, heights: [least, largest] } = self.expected;
        // Memory for this many blocks is taken below.
        if width != columns as usize || !(least as usize..=largest as usize).contains(&height) {
            let rows = if least == largest { least.to_string() } else { format!("{least} to {largest}") };
            return Err(damaged(format!("its image is {width}x{height}, expected {columns}x{rows}")));
        }
        let most =
            [0, 1].map(|axis| described.iter().map(|[_, factors, _]| sampling(*factors)[axis]).max().unwrap_or(1));
        let component = |&[id, factors, _]: &[u8; 3]| {
            let own = sampling(factors);
            let blocks = [0, 1].map(|axis| ([width, height][axis] * own[axis]).div_ceil(most[axis]).div_ceil(8));
            let padded = [0, 1].map(|axis| [width, height][axis].div_ceil(8 * most[axis]) * own[axis]);
            let nonzero = if is_progressive { zeros(padded[0] * padded[1])? } else { Vec::new() };
            Ok(Component { id, sampling: own, blocks, stride: padded[0], nonzero, has_data: false })
        };
        let components = described.iter().map(component).collect::<Result<_, Fault>>()?;
        self.frame = Some(Frame { is_progressive, width, height, components, sampling: most });
        Ok(())
    }

    /// Reads the blocks of a scan.
    fn scan(&mut self, segment: &[u8]) -> Result<(), Fault> {
        let invalid = || damaged("the header of a scan is invalid");
        let frame = self.frame.as_mut().ok_or_else(invalid)?;
        let [count, rest @ ..] = segment else { return Err(invalid()) };
        let (described, rest) = rest.split_at_checked(2 * usize::from(*count)).ok_or_else(invalid)?;
        let [first, last, bits, ..] = rest else { return Err(invalid()) };
        let mut parts = Vec::new();
        for [id, tables] in described.as_chunks::<2>().0 {
            let component = frame.components.iter().position(|part| part.id == *id).ok_or_else(invalid)?;
            parts.push((component, [tables >> 4, tables & 15].map(usize::from)));
        }
        let steps = match (frame.is_progressive, *first, *last, bits >> 4) {
            (false, ..) => Steps::All,
            (true, 0, 0, 0) => Steps::FirstDc,
            (true, 0, 0, _) => Steps::NextDc,
            (true, 1.., ..=63, before) if first <= last && parts.len() == 1 => {
                Steps::Ac { band: [*first, *last].map(u32::from), is_first: before == 0 }
            }
            _ => return Err(invalid()),
        };
        // The decoder knows default tables, for files that leave all of them out.
        let is_missing = |kind: usize, table: usize| self.tables[kind].get(table).is_none_or(Option::is_none);
        let [needs_dc, needs_ac] = steps.needs();
        if parts.iter().any(|(_, [dc, ac])| needs_dc && is_missing(0, *dc) || needs_ac && is_missing(1, *ac)) {
            return if self.tables.iter().flatten().any(Option::is_some) {
                Err(damaged("a table of codes is missing"))
            } else {
                Ok(())
            };
        }
        let (units, unit_rows) = match parts.as_slice() {
            [] => return Err(invalid()),
            [(part, _)] => {
                let component = &frame.components[*part];
                (component.blocks, 8 * frame.sampling[1] / component.sampling[1])
            }
            _ => (
                [0, 1].map(|axis| [frame.width, frame.height][axis].div_ceil(8 * frame.sampling[axis])),
                8 * frame.sampling[1],
            ),
        };
        let is_single = parts.len() == 1;
        let mut bits = Bits::new(self.bytes, self.place);
        let mut skipped_blocks = 0;
        let count = units[0] * units[1];
        for unit in 0..count {
            let [column, row] = [unit % units[0], unit / units[0]];
            let at = |found: &str| damaged(format!("{found} at row {} of {}", row * unit_rows, frame.height));
            if self.restart_interval > 0 && unit > 0 && unit % self.restart_interval == 0 {
                let expected = (unit / self.restart_interval - 1) % 8;
                let rest = bits.check_rest();
                if bits.restart() != Some(expected) {
                    return Err(at(&format!("restart marker {expected} is missing")));
                }
                rest.map_err(|left| at(&left_over(left)))?;
                skipped_blocks = 0;
            }
            for (part, [dc, ac]) in &parts {
                let component = &mut frame.components[*part];
                let tables =
                    [self.tables[0].get(*dc), self.tables[1].get(*ac)].map(|table| table.and_then(Option::as_deref));
                let [across, down] = if is_single { [1, 1] } else { component.sampling };
                for block in 0..across * down {
                    let place = (row * down + block / across) * component.stride + column * across + block % across;
                    let nonzero = component.nonzero.get_mut(place);
                    steps.read(&mut bits, tables, nonzero, &mut skipped_blocks).map_err(|wrong| {
                        at(match wrong {
                            Wrong::Ended => "the compressed data end",
                            Wrong::Code => "the compressed data are invalid",
                        })
                    })?;
                }
            }
        }
        let frame_height = frame.height;
        bits.check_rest()
            .map_err(|left| damaged(format!("{} behind row {frame_height} of {frame_height}", left_over(left))))?;
        for (part, _) in parts {
            frame.components[part].has_data |= needs_dc;
        }
        self.place = bits.place();
        Ok(())
    }

    /// Checks that each component had a scan.
    fn check_components(&self) -> Result<(), Fault> {
        let frame = self.frame.as_ref().ok_or_else(|| damaged("it has no image"))?;
        match frame.components.iter().find(|component| !component.has_data) {
            // Without tables nothing was read.
            Some(component) if self.tables.iter().flatten().any(Option::is_some) => {
                Err(damaged(format!("component {} has no data", component.id)))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::path::Path;

    use super::*;
    use crate::formats::decode;
    use crate::formats::jpeg::size;

    /// Whole files of 41x29 pixels, by Pillow.
    const FILES: [(&str, &[u8]); 7] = [
        ("4:2:0", include_bytes!("../../tests/data/sampled.jpg")),
        ("4:1:1", include_bytes!("../../tests/data/sampled-wide.jpg")),
        ("4:4:0", include_bytes!("../../tests/data/sampled-high.jpg")),
        ("grey", include_bytes!("../../tests/data/grey.jpg")),
        ("restarts", include_bytes!("../../tests/data/restarts.jpg")),
        ("progressive", include_bytes!("../../tests/data/progressive.jpg")),
        ("four colours", include_bytes!("../../tests/data/cmyk.jpg")),
    ];

    fn file(name: &str) -> Vec<u8> {
        FILES.iter().find(|(found, _)| *found == name).unwrap().1.to_vec()
    }

    /// Checks a file as one of 41x29 pixels.
    fn check_small(bytes: &[u8]) -> Result<(), Fault> {
        check(bytes, Expected { width: 41, heights: [29, 29] })
    }

    /// Returns the place behind the header of the first scan.
    fn first_scan(bytes: &[u8]) -> usize {
        let place = bytes.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap() + 2;
        place + usize::from(u16::from_be_bytes([bytes[place], bytes[place + 1]]))
    }

    fn restart_places(bytes: &[u8]) -> Vec<usize> {
        (0..bytes.len() - 1)
            .filter(|place| bytes[*place] == 0xff && (0xd0..=0xd7).contains(&bytes[place + 1]))
            .collect()
    }

    #[test]
    fn whole_files_of_every_kind_are_not_damaged() {
        let [end, fill, padded, stray] = ["trailing bytes", "fill bytes", "zeros before the end", "a last restart"];
        let inserted = |name: &str, bytes: &[u8]| {
            let file = file(name);
            let (content, end) = file.split_at(file.len() - 2);
            [content, bytes, end].concat()
        };
        let mut rows: Vec<_> = FILES.iter().map(|(name, bytes)| (*name, bytes.to_vec())).collect();
        rows.push((end, [file("4:2:0"), b"\xff\xd8\xff\xda trailing".to_vec()].concat()));
        rows.push((fill, inserted("4:2:0", &[0xff; 5])));
        rows.push((padded, inserted("4:2:0", &[0; 7])));
        rows.push((stray, inserted("restarts", &[0xff, 0xd0 + (restart_places(&file("restarts")).len() % 8) as u8])));
        for (name, bytes) in rows {
            assert_eq!(check_small(&bytes), Ok(()), "{name}");
            let image = decode(Path::new("a.jpg"), &bytes).unwrap();
            assert_eq!((image.width(), image.height()), (41, 29), "{name}");
        }
    }

    #[test]
    fn damage_is_named_with_its_place() {
        let sampled = file("4:2:0");
        let start = first_scan(&sampled);
        let middle = start + (sampled.len() - start) / 3;
        let restarts = file("restarts");
        let places = restart_places(&restarts);
        let mut swapped = restarts.clone();
        swapped.swap(places[0] + 1, places[1] + 1);
        let without = [&restarts[..places[1]], &restarts[places[1] + 2..]].concat();
        let lacks_one = [&restarts[..places[0]], &restarts[places[1]..]].concat();
        let progressive = file("progressive");
        let scans: Vec<_> = progressive.windows(2).enumerate().filter(|(_, pair)| *pair == [0xff, 0xda]).collect();
        let last = scans.last().unwrap().0;
        let last = last + (progressive.len() - last) / 2;
        let half = [&progressive[..last], &progressive[progressive.len() - 2..]].concat();
        let next = progressive[scans[0].0..].windows(2).position(|pair| pair == [0xff, 0xc4]).unwrap();
        let first = [&progressive[..scans[0].0], &progressive[scans[0].0 + next..]].concat();
        let gone = [&sampled[..middle], &sampled[sampled.len() - 2..]].concat();
        let end = sampled.len() - 2..sampled.len() - 2;
        let [mut longer, mut one_more] = [(); 2].map(|()| sampled.clone());
        longer.splice(end.clone(), [0x12, 0x34, 0x56]);
        one_more.splice(end, [0x12]);
        let rows: [(&str, Vec<u8>, &str); 9] = [
            ("data gone before the end", gone, "the compressed data end at row"),
            (
                "a file of the cases",
                include_bytes!("../../tests/data/middle-gone.jpg").to_vec(),
                "end at row 64 of 256",
            ),
            ("restart markers out of order", swapped, "restart marker 0 is missing"),
            ("a restart marker gone", without, "restart marker 1 is missing at row"),
            ("the data between two markers gone", lacks_one, "restart marker 0 is missing"),
            ("the last scan cut", half, "the compressed data end"),
            ("the first scan gone", first, "has no data"),
            ("more data than the image has", longer, "3 bytes are left over behind row 29 of 29"),
            ("one more byte than the image has", one_more, "1 byte is left over behind row 29 of 29"),
        ];
        for (name, bytes, part) in rows {
            let (width, height) = size(&mut Cursor::new(&bytes)).unwrap();
            match check(&bytes, Expected { width, heights: [height, height] }) {
                Err(Fault::Damaged(found)) => assert!(found.contains(part), "{name}: {found}"),
                other => panic!("{name}: {other:?}"),
            }
            let message = decode(Path::new("a.jpg"), &bytes).unwrap_err().to_string();
            assert!(message.contains("the JPEG file is damaged ("), "{name}: {message}");
        }
    }

    #[test]
    fn an_image_of_another_size_is_refused_before_memory_is_taken_for_it() {
        for (name, width, heights, found) in [
            ("its size", 41, [29, 29], None),
            ("the least height", 41, [29, 40], None),
            ("the largest height", 41, [8, 29], None),
            ("wider", 40, [29, 29], Some("its image is 41x29, expected 40x29")),
            ("narrower", 42, [29, 29], Some("its image is 41x29, expected 42x29")),
            ("higher", 41, [8, 28], Some("its image is 41x29, expected 41x8 to 28")),
            ("lower", 41, [30, 30], Some("its image is 41x29, expected 41x30")),
        ] {
            for (kind, bytes) in FILES {
                assert_eq!(check(bytes, Expected { width, heights }).err(), found.map(damaged), "{kind}, {name}");
            }
        }
    }

    #[test]
    fn memory_that_the_system_refuses_is_a_fault() {
        for (name, count, is_granted) in
            [("no block", 0, true), ("some", 64, true), ("more than addresses reach", 1 << 59, false)]
        {
            match zeros(count) {
                Ok(zeros) => assert!(is_granted && zeros == vec![0; count], "{name}"),
                Err(fault) => assert!(!is_granted && fault == Fault::Memory(1 << 62), "{name}: {fault:?}"),
            }
        }
    }

    #[test]
    fn most_overwritten_bytes_are_noticed_and_none_panics() {
        for (name, whole) in FILES {
            let start = first_scan(whole);
            let (mut noticed, mut all) = (0, 0);
            for place in 2..whole.len() - 10 {
                for value in [0x00, 0x7f, 0xff] {
                    let mut bytes = whole.to_vec();
                    bytes[place..place + 8].fill(value);
                    let found = check_small(&bytes);
                    if place >= start {
                        all += 1;
                        noticed += usize::from(found.is_err());
                    }
                }
            }
            assert!(4 * noticed >= 3 * all, "{name}: {noticed} of {all}");
        }
    }

    #[test]
    fn kinds_that_are_not_read_are_named() {
        let sampled = file("4:2:0");
        let frame = sampled.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        for (marker, bits, kind) in [
            (0xc9, 8, "arithmetic coding"),
            (0xca, 8, "arithmetic coding"),
            (0xc3, 8, "lossless JPEG"),
            (0xc5, 8, "hierarchical JPEG"),
            (0xc1, 12, "12 bits per value"),
        ] {
            let mut bytes = sampled.clone();
            bytes[frame + 1] = marker;
            bytes[frame + 4] = bits;
            assert_eq!(unread_kind(&bytes), Some(kind));
            let message = decode(Path::new("a.jpg"), &bytes).unwrap_err().to_string();
            assert_eq!(message, format!("cannot read {kind} in JPEG files, as `a.jpg` has; save it again as PNG"));
        }
        assert_eq!(unread_kind(&sampled), None);
    }
}
