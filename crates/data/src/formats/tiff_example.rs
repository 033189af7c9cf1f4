//! TIFF files of a few pixels, for tests.

use std::path::Path;

use super::decode;
use super::error::ReadError;
use crate::picture::Picture;

/// The numbers of tags and their short values.
pub(super) type Tags<'a> = Vec<(u16, &'a [u16])>;

/// Writes a file of one strip or tile from its tags and their short values.
pub(super) fn file(is_big_endian: bool, tags: &[(u16, &[u16])], data: &[u8]) -> Vec<u8> {
    let short = |value: u16| if is_big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
    let long = |value: usize| {
        if is_big_endian { (value as u32).to_be_bytes() } else { (value as u32).to_le_bytes() }
    };
    let mut tags = tags.to_vec();
    let is_tiled = tags.iter().any(|(tag, _)| *tag == 322);
    let [places, counts] = if is_tiled { [324, 325] } else { [273, 279] };
    // The planes lie one behind the other.
    let planes = tags.iter().find(|(tag, _)| *tag == 284).map_or(1, |_| 3);
    let sizes = vec![0; planes];
    tags.extend([(places, sizes.as_slice()), (counts, sizes.as_slice())]);
    tags.sort_by_key(|(tag, _)| *tag);
    let mut bytes = if is_big_endian { b"MM\0*".to_vec() } else { b"II*\0".to_vec() };
    bytes.extend(long(8));
    bytes.extend(short(tags.len() as u16));
    let mut behind = Vec::new();
    let start = 8 + 2 + 12 * tags.len() + 4;
    let values: usize = tags.iter().map(|(_, values)| if values.len() > 2 { 2 * values.len() } else { 0 }).sum();
    let data_place = start + values + if planes > 1 { 4 * 2 * planes - 2 * 2 * planes } else { 0 };
    for (tag, values) in tags {
        bytes.extend(short(tag));
        if tag == places || tag == counts {
            let length = data.len() / planes;
            let value = |plane: usize| if tag == places { data_place + plane * length } else { length };
            bytes.extend(short(4));
            bytes.extend(long(planes));
            if planes == 1 {
                bytes.extend(long(value(0)));
            } else {
                bytes.extend(long(start + behind.len()));
                (0..planes).for_each(|plane| behind.extend(long(value(plane))));
            }
            continue;
        }
        bytes.extend(short(3));
        bytes.extend(long(values.len()));
        let mut content: Vec<u8> = values.iter().flat_map(|value| short(*value)).collect();
        if content.len() > 4 {
            bytes.extend(long(start + behind.len()));
            behind.extend(content);
        } else {
            content.resize(4, 0);
            bytes.extend(content);
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(behind);
    assert_eq!(bytes.len(), data_place);
    bytes.extend(data);
    bytes
}

/// The tags of 5x2 pixels.
pub(super) fn tags<'a>(more: &[(u16, &'a [u16])]) -> Tags<'a> {
    let mut tags: Tags<'a> = vec![(256, &[5]), (257, &[2]), (259, &[1]), (278, &[2])];
    tags.retain(|(tag, _)| more.iter().all(|(other, _)| other != tag));
    tags.extend(more);
    tags
}

/// Decodes a file.
pub(super) fn read(bytes: &[u8]) -> Result<Picture, ReadError> {
    Ok(decode(Path::new("a.tif"), bytes)?.into())
}

/// Packs values of a few bits into rows of whole bytes.
pub(super) fn packed(bits: usize, row: usize, values: &[u16]) -> Vec<u8> {
    values
        .chunks(row)
        .flat_map(|row| {
            let mut bytes = vec![0; (row.len() * bits).div_ceil(8)];
            for (index, value) in row.iter().enumerate() {
                for bit in 0..bits {
                    let place = index * bits + bit;
                    bytes[place / 8] |= ((value >> (bits - 1 - bit) & 1) as u8) << (7 - place % 8);
                }
            }
            bytes
        })
        .collect()
}

/// Values of two bits.
pub(super) const VALUES: [u16; 10] = [0, 1, 2, 3, 1, 3, 2, 0, 0, 3];
