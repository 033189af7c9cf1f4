//! Look-up tables: of modalities, windows and palettes.

use std::path::Path;

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use super::DICOM;
use super::file::numbers;
use crate::formats::error::ReadError;

/// A table from stored values to others.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Table {
    /// The value of the first entry.
    pub(crate) first: f64,
    /// The bits of an entry.
    pub(crate) bits: u32,
    pub(crate) entries: Vec<u16>,
}

impl Table {
    /// Reads a table from its descriptor and its data. `is_signed` says whether values are signed.
    ///
    /// # Errors
    /// When it is damaged.
    pub(crate) fn read(
        path: &Path,
        object: &InMemDicomObject,
        [descriptor, data]: [Tag; 2],
        is_signed: bool,
    ) -> Result<Self, ReadError> {
        let damaged = |found: String| ReadError::Damaged { path: path.into(), format: DICOM, found };
        let described = object.get(descriptor).map(numbers).unwrap_or_default();
        let [count, first, bits] = described[..] else {
            return Err(damaged(format!("the table {descriptor} has {} numbers, expected 3", described.len())));
        };
        // Zero stands for 65536; the numbers may have been read with a sign.
        let word = |number: f64| (number as i64 & 0xffff) as u32;
        let count = if word(count) == 0 { 1 << 16 } else { word(count) as usize };
        let first = word(first);
        let first = if is_signed && first >= 1 << 15 { f64::from(first) - 65536.0 } else { f64::from(first) };
        let element = object.get(data).ok_or_else(|| damaged(format!("the table {data} is missing")))?;
        let bytes = element.to_bytes().map_err(|_| damaged(format!("the table {data} holds no numbers")))?;
        let entries: Vec<u16> = if bytes.len() >= 2 * count {
            bytes.chunks_exact(2).take(count).map(|word| u16::from_le_bytes([word[0], word[1]])).collect()
        } else if bytes.len() >= count {
            // Entries of 8 bits, two in a word.
            bytes.iter().take(count).map(|byte| u16::from(*byte)).collect()
        } else {
            return Err(damaged(format!("the table {data} has {} bytes, expected {count} entries", bytes.len())));
        };
        Ok(Self { first, bits: (bits as u32).clamp(1, 16), entries })
    }

    /// Returns the entry of a value: the first one for those below, the last one for those above.
    pub(crate) fn at(&self, value: f64) -> u16 {
        let place = (value - self.first).clamp(0.0, self.entries.len() as f64 - 1.0);
        self.entries.get(place as usize).copied().unwrap_or(0)
    }

    /// Returns the largest value that its bits hold, or that occurs, as some tables declare more
    /// or fewer bits than they use.
    pub(crate) fn largest(&self) -> f64 {
        let declared = f64::from((1_u32 << self.bits) - 1);
        declared.max(f64::from(self.entries.iter().max().copied().unwrap_or(0)))
    }
}

/// The tags of a table's descriptor and data in a sequence.
pub(crate) const LUT: [Tag; 2] = [tags::LUT_DESCRIPTOR, tags::LUT_DATA];
