//! A TIFF file under other tags, so that its strips or tiles can be decoded as numbers alone.
//!
//! The decoder refuses what it cannot turn into colours: palettes, YCbCr, most depths. The view
//! puts a header of its own before the file, whose tags describe the same strips or tiles as grey
//! values, and so leaves the decoder only to decompress them.

use std::io::{self, Read, Seek, SeekFrom};

use super::tiff_layout::{JPEG, Layout, OLD_JPEG};

/// A header, and behind it a file.
pub(super) struct View<R> {
    head: Vec<u8>,
    file: R,
    /// The position in the view.
    place: u64,
    /// The position in the file.
    file_place: u64,
    /// True if the bits of each of the file's bytes are in reverse order.
    is_reversed: bool,
}

impl<R: Read + Seek> View<R> {
    /// Describes the strips or tiles of a file by their layout.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn new(layout: &Layout, mut file: R) -> io::Result<Self> {
        let file_place = file.stream_position()?;
        // As libtiff does: JPEG has an order of bits of its own.
        let is_reversed = layout.is_reversed && !matches!(layout.compression, JPEG | OLD_JPEG);
        Ok(Self { head: header(layout), file, place: 0, file_place, is_reversed })
    }
}

impl<R: Read + Seek> View<R> {
    /// Moves to a place of the file.
    pub(super) fn seek_file(&mut self, place: u64) -> io::Result<()> {
        self.place = (self.head.len() as u64).checked_add(place).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(())
    }
}

impl<R: Read + Seek> Read for View<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let length = self.head.len() as u64;
        if self.place < length {
            let count = (&self.head[self.place as usize..]).read(target)?;
            self.place += count as u64;
            return Ok(count);
        }
        let wanted = self.place - length;
        if wanted != self.file_place {
            self.file_place = self.file.seek(SeekFrom::Start(wanted))?;
        }
        let count = self.file.read(target)?;
        if self.is_reversed {
            target[..count].iter_mut().for_each(|byte| *byte = byte.reverse_bits());
        }
        self.place += count as u64;
        self.file_place += count as u64;
        Ok(count)
    }
}

impl<R: Read + Seek> Seek for View<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = match to {
            SeekFrom::Start(place) => Some(place),
            SeekFrom::Current(offset) => self.place.checked_add_signed(offset),
            SeekFrom::End(offset) => {
                self.file_place = self.file.seek(SeekFrom::End(0))?;
                (self.head.len() as u64).checked_add(self.file_place).and_then(|end| end.checked_add_signed(offset))
            }
        };
        self.place = place.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.place)
    }
}

/// Writes the header of a BigTIFF file of one image, whose strips or tiles lie behind it.
fn header(layout: &Layout) -> Vec<u8> {
    let Layout { width, height, chunk: [rows, columns], .. } = *layout;
    let coded = layout.coding();
    let [chunks, length] = [layout.places.len(), layout.jpeg_tables.len()];
    let is_tiled = layout.is_tiled;
    // Tiles at the right and lower border are read with their filling.
    let (width, height) = if is_tiled {
        (width.div_ceil(columns) * coded.row, u64::from(height.div_ceil(rows)) * u64::from(rows))
    } else {
        (coded.row, u64::from(height))
    };
    const SHORT: u16 = 3;
    const LONG8: u16 = 16;
    const UNDEFINED: u16 = 7;
    let is_decoded_elsewhere = layout.fax_code().is_some() || layout.codec().is_some();
    let mut tags: Vec<(u16, u16, Vec<u64>)> = vec![
        (256, LONG8, vec![width.into()]),
        (257, LONG8, vec![height]),
        (258, SHORT, vec![coded.bits.into()]),
        // What the decoder does not know is decoded elsewhere.
        (259, SHORT, vec![if is_decoded_elsewhere { 1 } else { layout.compression.into() }]),
        // Black is zero.
        (262, SHORT, vec![1]),
        (277, SHORT, vec![coded.samples.into()]),
        (284, SHORT, vec![if layout.is_planar { 2 } else { 1 }]),
        (317, SHORT, vec![coded.predictor.into()]),
        (339, SHORT, vec![coded.format.into()]),
    ];
    if length > 0 {
        tags.push((347, UNDEFINED, layout.jpeg_tables.iter().map(|byte| (*byte).into()).collect()));
    }
    let [offsets, counts] = if is_tiled {
        tags.extend([(322, LONG8, vec![coded.row.into()]), (323, LONG8, vec![rows.into()])]);
        [324, 325]
    } else {
        tags.push((278, LONG8, vec![rows.into()]));
        [273, 279]
    };
    let size = |kind: u16| match kind {
        SHORT => 2,
        UNDEFINED => 1,
        _ => 8,
    };
    let entries = tags.len() + 2;
    let values = tags.iter().map(|(_, kind, values)| (size(*kind) * values.len()).max(8).next_multiple_of(8));
    let total = 16 + 8 + 20 * entries + 8 + values.sum::<usize>() + 16 * chunks.max(1);
    tags.push((offsets, LONG8, layout.places.iter().map(|place| place.saturating_add(total as u64)).collect()));
    tags.push((counts, LONG8, layout.counts.clone()));
    tags.sort_by_key(|(tag, ..)| *tag);

    let mut bytes = Bytes { is_big_endian: layout.is_big_endian, content: Vec::with_capacity(total) };
    bytes.content.extend(if layout.is_big_endian { b"MM" } else { b"II" });
    [43, 8, 0].into_iter().for_each(|value| bytes.push(value, 2));
    bytes.push(16, 8);
    bytes.push(entries as u64, 8);
    let mut behind = Bytes { is_big_endian: layout.is_big_endian, content: Vec::new() };
    let start = 16 + 8 + 20 * entries + 8;
    for (tag, kind, values) in tags {
        bytes.push(tag.into(), 2);
        bytes.push(kind.into(), 2);
        bytes.push(values.len() as u64, 8);
        let mut inside = Bytes { is_big_endian: layout.is_big_endian, content: Vec::new() };
        values.iter().for_each(|value| inside.push(*value, size(kind)));
        inside.content.resize(inside.content.len().next_multiple_of(8).max(8), 0);
        if inside.content.len() == 8 {
            bytes.content.extend(inside.content);
        } else {
            bytes.push((start + behind.content.len()) as u64, 8);
            behind.content.extend(inside.content);
        }
    }
    // There is no further image.
    bytes.push(0, 8);
    bytes.content.extend(behind.content);
    bytes.content.resize(total, 0);
    bytes.content
}

/// Numbers in the order of bytes of a file.
struct Bytes {
    is_big_endian: bool,
    content: Vec<u8>,
}

impl Bytes {
    fn push(&mut self, value: u64, size: usize) {
        if self.is_big_endian {
            self.content.extend(&value.to_be_bytes()[8 - size..]);
        } else {
            self.content.extend(&value.to_le_bytes()[..size]);
        }
    }
}
