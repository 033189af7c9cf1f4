//! The structure of a data set, which is checked before it is read: the reader takes the memory
//! that an element declares, and memory of the stack for each level of sequences.
//!
//! DICOM PS3.5, 6.2.2, 7.1 and 7.5.

use std::ops::Range;
use std::path::Path;

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, uids};

use super::{BIG_ENDIAN, DICOM};
use crate::formats::error::ReadError;

/// The most levels of sequences; segmentations and structured reports have fewer than twenty.
const DEPTH_MAX: usize = 100;

/// The group of pixels, and the pixels.
const PIXELS: u16 = 0x7fe0;
const PIXEL_DATA: u16 = 0x0010;
/// The group of items and of the ends of items and sequences.
const ITEMS: u16 = 0xfffe;
const ITEM: u16 = 0xe000;
/// The length of what ends at a mark.
const UNDEFINED: u32 = u32::MAX;

/// The part of a data set that is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The elements of the meta group.
    Meta,
    /// All elements before the pixels.
    Head,
    /// All elements.
    All,
}

/// A sequence or an item that is open.
struct Open {
    /// The place of its end; `None` for one that ends at a mark.
    end: Option<usize>,
    is_implicit: bool,
    /// True for the fragments of pixels, whose items hold no elements.
    is_fragments: bool,
    /// The place at which a sequence of unknown kind begins, unless it lies within another one.
    unknown: Option<usize>,
}

impl Open {
    fn item(end: Option<usize>, is_implicit: bool) -> Self {
        Self { end, is_implicit, is_fragments: false, unknown: None }
    }
}

/// A sequence in the explicit form whose representation is unknown (UN) and which ends at a mark:
/// its items are in the implicit form (PS3.5, 6.2.2, note 2). dicom-rs 0.10.1 reads them as
/// explicit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UnknownSequence {
    pub(super) tag: Tag,
    /// The bytes from its tag to the end of its mark.
    pub(super) bytes: Range<usize>,
    /// False if it lies in another sequence.
    pub(super) is_outermost: bool,
}

impl UnknownSequence {
    /// The bytes of tag, representation and length.
    pub(super) const HEAD_BYTES: usize = 12;

    /// Gives the sequence a length in place of its mark, so that its items are read as mere bytes.
    pub(super) fn close(&self, data: &mut [u8]) {
        let length = (self.bytes.len() - Self::HEAD_BYTES) as u32;
        let end = self.bytes.start + Self::HEAD_BYTES;
        data[end - size_of::<u32>()..end].copy_from_slice(&length.to_le_bytes());
    }
}

/// Checks that every element ends within the file, and that sequences are not nested deeper than is
/// read. Returns the sequences of unknown kind, which are not to be read as they are.
///
/// # Errors
/// When an element is longer than the file, or sequences lie too deep.
pub(super) fn check_structure(
    path: &Path,
    data: &[u8],
    syntax: &str,
    part: Part,
) -> Result<Vec<UnknownSequence>, ReadError> {
    let cut_off = || ReadError::CutOff { path: path.into(), format: DICOM };
    let is_big_endian = syntax == BIG_ENDIAN;
    let is_implicit = syntax == uids::IMPLICIT_VR_LITTLE_ENDIAN;
    let two = |at: usize| {
        let bytes = [data[at], data[at + 1]];
        if is_big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    };
    let four = |at: usize| {
        let bytes = [data[at], data[at + 1], data[at + 2], data[at + 3]];
        if is_big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    };
    let mut open: Vec<Open> = Vec::new();
    let mut unknown = Vec::new();
    let mut at = 0_usize;
    while at + 8 <= data.len() {
        while open.last().is_some_and(|open| open.end.is_some_and(|end| end <= at)) {
            open.pop();
        }
        let tag = Tag(two(at), two(at + 2));
        if open.is_empty()
            && (part == Part::Meta && tag.0 > 2 || part == Part::Head && tag.0 >= PIXELS && tag.0 != ITEMS)
        {
            return Ok(unknown);
        }
        let (is_implicit, is_fragments) =
            open.last().map_or((is_implicit, false), |open| (open.is_implicit, open.is_fragments));
        if tag.0 == ITEMS {
            let length = four(at + 4);
            at += 8;
            match tag.1 {
                ITEM if length == UNDEFINED && !is_fragments => open.push(Open::item(None, is_implicit)),
                ITEM => {
                    let end = at.saturating_add(length as usize);
                    if end > data.len() {
                        return Err(cut_off());
                    }
                    if is_fragments {
                        at = end;
                    } else {
                        open.push(Open::item(Some(end), is_implicit));
                    }
                }
                // The end of an item, or of a sequence.
                _ => {
                    let closed = open.pop_if(|open| open.end.is_none());
                    if let Some(start) = closed.and_then(|open| open.unknown) {
                        let tag = Tag(two(start), two(start + 2));
                        unknown.push(UnknownSequence { tag, bytes: start..at, is_outermost: open.is_empty() });
                    }
                }
            }
        } else {
            let dictionary = || StandardDataDictionary.by_tag(tag).map_or(VR::UN, |entry| entry.vr().relaxed());
            let (vr, length, start) = if is_implicit {
                (dictionary(), four(at + 4), at + 8)
            } else {
                let vr = VR::from_binary([data[at + 4], data[at + 5]]).unwrap_or(VR::UN);
                if is_short(vr) {
                    (vr, two(at + 6).into(), at + 8)
                } else if at + 12 <= data.len() {
                    (vr, four(at + 8), at + 12)
                } else {
                    break;
                }
            };
            let head = std::mem::replace(&mut at, start);
            if length == UNDEFINED {
                let is_fragments = tag == Tag(PIXELS, PIXEL_DATA);
                let is_unknown = vr == VR::UN && !is_implicit && !is_big_endian && !is_fragments;
                open.push(Open {
                    end: None,
                    is_implicit: is_implicit || is_unknown,
                    is_fragments,
                    unknown: is_unknown.then_some(head),
                });
            } else {
                let end = at.saturating_add(length as usize);
                if end > data.len() {
                    return Err(cut_off());
                }
                if vr == VR::SQ {
                    open.push(Open::item(Some(end), is_implicit));
                } else {
                    at = end;
                }
            }
        }
        // A sequence and its item are two.
        if open.len() > 2 * DEPTH_MAX {
            let found = format!("its sequences lie more than {DEPTH_MAX} levels deep");
            return Err(ReadError::Damaged { path: path.into(), format: DICOM, found });
        }
    }
    if open.iter().any(|open| open.unknown.is_some()) {
        return Err(cut_off());
    }
    Ok(unknown)
}

/// Returns whether the length of an element of this kind has two bytes.
fn is_short(vr: VR) -> bool {
    !matches!(
        vr,
        VR::OB
            | VR::OD
            | VR::OF
            | VR::OL
            | VR::OV
            | VR::OW
            | VR::SQ
            | VR::SV
            | VR::UC
            | VR::UN
            | VR::UR
            | VR::UT
            | VR::UV
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes sequences of undefined length inside of each other, or one behind the other.
    fn sequences(count: usize, is_nested: bool) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..count {
            bytes.extend([0x08, 0, 0x40, 0x11, b'S', b'Q', 0, 0, 0xff, 0xff, 0xff, 0xff]);
            bytes.extend([0xfe, 0xff, 0x00, 0xe0, 0xff, 0xff, 0xff, 0xff]);
            if !is_nested {
                bytes.extend([0xfe, 0xff, 0x0d, 0xe0, 0, 0, 0, 0, 0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0]);
            }
        }
        bytes
    }

    #[test]
    fn what_does_not_fit_is_refused_before_memory_is_taken() {
        let long = |length: u32| {
            let mut bytes = vec![0x09, 0, 0x10, 0x10, b'O', b'B', 0, 0];
            bytes.extend(length.to_le_bytes());
            bytes.extend([0; 20]);
            bytes
        };
        for (name, bytes, is_fine) in [
            ("few levels", sequences(90, true), true),
            ("many levels", sequences(101, true), false),
            ("many behind each other", sequences(5000, false), true),
            ("an element that fits", long(20), true),
            ("an element that is longer", long(21), false),
            ("an element of four gigabytes", long(u32::MAX - 1), false),
        ] {
            let found = check_structure(Path::new("a.dcm"), &bytes, uids::EXPLICIT_VR_LITTLE_ENDIAN, Part::All);
            assert_eq!(found.is_ok(), is_fine, "{name}");
        }
        // The offsets of fragments, as long as the file and longer.
        let offsets = |length: u32| {
            let mut bytes = vec![0xe0, 0x7f, 0x10, 0, b'O', b'B', 0, 0, 0xff, 0xff, 0xff, 0xff, 0xfe, 0xff, 0, 0xe0];
            bytes.extend(length.to_le_bytes());
            bytes.extend([0; 8]);
            check_structure(Path::new("a"), &bytes, uids::EXPLICIT_VR_LITTLE_ENDIAN, Part::All)
        };
        assert!(offsets(8).is_ok() && offsets(9).is_err() && offsets(u32::MAX).is_err());
        // In the implicit form the dictionary says what is a sequence: (0008,1140).
        let mut implicit = vec![0x08, 0, 0x40, 0x11, 16, 0, 0, 0, 0xfe, 0xff, 0x00, 0xe0, 8, 0, 0, 0];
        implicit.extend([0x09, 0, 0x10, 0x10, 0xff, 0xff, 0xff, 0x7f]);
        assert!(check_structure(Path::new("a"), &implicit, uids::IMPLICIT_VR_LITTLE_ENDIAN, Part::All).is_err());
    }

    #[test]
    fn a_sequence_of_unknown_kind_is_found_and_gets_a_length() {
        let element = [0x09, 0, 0x01, 0x10, 2, 0, 0, 0, b'x', b' '];
        let mut sequence = vec![0x09, 0, 0x10, 0x10, b'U', b'N', 0, 0, 0xff, 0xff, 0xff, 0xff];
        sequence.extend([0xfe, 0xff, 0x00, 0xe0, 10, 0, 0, 0]);
        sequence.extend(element);
        let open = sequence.clone();
        sequence.extend([0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0]);
        let mut data = [0x08, 0, 0x60, 0, b'C', b'S', 2, 0, b'C', b'T'].to_vec();
        data.extend(&sequence);
        let check = |data: &[u8]| check_structure(Path::new("a"), data, uids::EXPLICIT_VR_LITTLE_ENDIAN, Part::All);
        let unknown = check(&data).unwrap();
        let expected = UnknownSequence { tag: Tag(0x0009, 0x1010), bytes: 10..data.len(), is_outermost: true };
        assert_eq!(unknown, [expected]);
        unknown[0].close(&mut data);
        assert_eq!(data[18..22], 26_u32.to_le_bytes());
        assert_eq!(check(&data).unwrap(), []);
        assert!(check(&open).is_err());
    }
}
