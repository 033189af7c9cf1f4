//! The depth of a data set's sequences, which is limited before they are read: reading them takes
//! memory of the stack for each level.

use std::path::Path;

use super::DICOM;
use crate::formats::error::ReadError;

/// The most items at which a data set is not looked at: each level needs one.
const ITEMS_UNCHECKED: usize = 256;
/// The most levels of sequences; segmentations and structured reports have fewer than twenty.
const DEPTH_MAX: usize = 200;

/// The tags of an item, and of the ends of items and sequences, as they are stored in little-endian
/// order. The last two bytes of the ends are the same in either order.
const ITEM: [u8; 4] = [0xfe, 0xff, 0x00, 0xe0];
const ITEM_BIG: [u8; 4] = [0xff, 0xfe, 0xe0, 0x00];

/// Checks that sequences are not nested deeper than is read.
///
/// An item that lies in another begins before the other ends, so that the number of items which are
/// open at any byte is at least the depth. Items of undefined length are open until the mark of
/// their end, and items of a known length as long as it says; bytes that merely look like an item
/// only raise the number.
///
/// # Errors
/// When more items are open at some byte than a data set has.
pub(super) fn check_depth(path: &Path, data: &[u8]) -> Result<(), ReadError> {
    let is_item = |at: usize| matches!(data.get(at..at + 4), Some(tag) if tag == ITEM || tag == ITEM_BIG);
    let mut starts = (0..data.len().saturating_sub(7)).filter(|at| matches!(data[*at], 0xfe | 0xff) && is_item(*at));
    let first: Vec<usize> = starts.by_ref().take(ITEMS_UNCHECKED).collect();
    if first.len() < ITEMS_UNCHECKED {
        return Ok(());
    }
    // The ends of open items; those of undefined length end at the mark, wherever it is.
    let mut open: Vec<usize> = Vec::new();
    let mut undefined = 0_usize;
    let mut at = 0;
    while at + 8 <= data.len() {
        let tag = &data[at..at + 4];
        let is_little = tag == ITEM;
        if is_little || tag == ITEM_BIG {
            let bytes = [data[at + 4], data[at + 5], data[at + 6], data[at + 7]];
            let length = if is_little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) };
            while open.last().is_some_and(|end| *end <= at) {
                open.pop();
            }
            if length == u32::MAX {
                undefined += 1;
            } else {
                open.push((at + 8).saturating_add(length as usize));
            }
            if open.len() + undefined > DEPTH_MAX {
                let found = format!("its sequences lie more than {DEPTH_MAX} levels deep");
                return Err(ReadError::Damaged { path: path.into(), format: DICOM, found });
            }
            at += 8;
        } else if tag == [0xfe, 0xff, 0x0d, 0xe0] || tag == [0xff, 0xfe, 0xe0, 0x0d] {
            undefined = undefined.saturating_sub(1);
            at += 8;
        } else {
            at += 1;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes items of undefined length inside of each other, or one behind the other.
    fn items(count: usize, is_nested: bool, is_defined: bool) -> Vec<u8> {
        let end = [0xfe, 0xff, 0x0d, 0xe0, 0, 0, 0, 0];
        let mut bytes = Vec::new();
        for number in 0..count {
            bytes.extend(ITEM);
            let inside = if is_nested { 12 * (count - number - 1) as u32 + 4 } else { 4 };
            bytes.extend(if is_defined { inside } else { u32::MAX }.to_le_bytes());
            bytes.extend([1, 2, 3, 4]);
            if !is_nested && !is_defined {
                bytes.extend(end);
            }
        }
        bytes
    }

    #[test]
    fn only_items_inside_of_each_other_count() {
        for (name, bytes, is_fine) in [
            ("few", items(150, true, false), true),
            ("many behind each other", items(5000, false, false), true),
            ("many behind each other, with lengths", items(5000, false, true), true),
            ("many inside of each other", items(5000, true, false), false),
            ("many inside of each other, with lengths", items(5000, true, true), false),
        ] {
            assert_eq!(check_depth(Path::new("a.dcm"), &bytes).is_ok(), is_fine, "{name}");
        }
    }
}
