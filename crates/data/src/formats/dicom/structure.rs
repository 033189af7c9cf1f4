//! The structure of a data set, which is checked before it is read: the reader takes the memory
//! that an element declares, and memory of the stack for each level of sequences.
//!
//! DICOM PS3.5, 7.1 and 7.5.

use std::path::Path;

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, uids};

use super::{BIG_ENDIAN, DICOM};
use crate::formats::error::ReadError;

/// The most levels of sequences; segmentations and structured reports have fewer than twenty.
const DEPTH_MAX: usize = 100;

/// The group of pixels.
const PIXELS: u16 = 0x7fe0;
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
}

/// Checks that every element ends within the file, and that sequences are not nested deeper than is
/// read.
///
/// # Errors
/// When an element is longer than the file, or sequences lie too deep.
pub(super) fn check_structure(path: &Path, data: &[u8], syntax: &str, part: Part) -> Result<(), ReadError> {
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
    let mut at = 0_usize;
    while at + 8 <= data.len() {
        while open.last().is_some_and(|open| open.end.is_some_and(|end| end <= at)) {
            open.pop();
        }
        let tag = Tag(two(at), two(at + 2));
        if open.is_empty()
            && (part == Part::Meta && tag.0 > 2 || part == Part::Head && tag.0 >= PIXELS && tag.0 != ITEMS)
        {
            return Ok(());
        }
        let (is_implicit, is_fragments) =
            open.last().map_or((is_implicit, false), |open| (open.is_implicit, open.is_fragments));
        if tag.0 == ITEMS {
            let length = four(at + 4);
            at += 8;
            match tag.1 {
                ITEM if is_fragments => at = at.saturating_add(length as usize),
                ITEM if length == UNDEFINED => open.push(Open { end: None, is_implicit, is_fragments: false }),
                ITEM => {
                    let end = at.saturating_add(length as usize);
                    open.push(Open { end: Some(end), is_implicit, is_fragments: false });
                    if end > data.len() {
                        return Err(ReadError::CutOff { path: path.into(), format: DICOM });
                    }
                }
                // The end of an item, or of a sequence.
                _ => drop(open.pop_if(|open| open.end.is_none())),
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
            at = start;
            if length == UNDEFINED {
                let is_fragments = tag.0 == PIXELS;
                // What is unknown and has no length is a sequence in the implicit form.
                open.push(Open { end: None, is_implicit: is_implicit || vr == VR::UN, is_fragments });
            } else {
                let end = at.saturating_add(length as usize);
                if end > data.len() {
                    return Err(ReadError::CutOff { path: path.into(), format: DICOM });
                }
                if vr == VR::SQ {
                    open.push(Open { end: Some(end), is_implicit, is_fragments: false });
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
    Ok(())
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
        // In the implicit form the dictionary says what is a sequence: (0008,1140).
        let mut implicit = vec![0x08, 0, 0x40, 0x11, 16, 0, 0, 0, 0xfe, 0xff, 0x00, 0xe0, 8, 0, 0, 0];
        implicit.extend([0x09, 0, 0x10, 0x10, 0xff, 0xff, 0xff, 0x7f]);
        assert!(check_structure(Path::new("a"), &implicit, uids::IMPLICIT_VR_LITTLE_ENDIAN, Part::All).is_err());
    }
}
