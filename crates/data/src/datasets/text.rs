//! Text files of other programs, as text.

use std::fs;
use std::path::Path;

use unicode_normalization::UnicodeNormalization;

use super::DatasetError;

/// Reads a text file: UTF-8, or UTF-16 as Windows' shell writes it; a byte order mark is dropped.
pub(super) fn read_text(path: &Path) -> Result<String, DatasetError> {
    let bytes = fs::read(path).map_err(|source| DatasetError::Read { path: path.into(), source })?;
    decode(&bytes).ok_or_else(|| DatasetError::Text { path: path.into() })
}

/// Decodes UTF-8 or UTF-16; `None` for other bytes. UTF-16 is known by its mark or, without one, by
/// the zeros that every second byte of common names is.
pub(super) fn decode(bytes: &[u8]) -> Option<String> {
    let wide = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
        if bytes.len().is_multiple_of(2) { String::from_utf16(&units).ok() } else { None }
    };
    match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8(rest.to_vec()).ok(),
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        [first, 0, ..] if *first != 0 => wide(bytes, u16::from_le_bytes),
        [0, second, ..] if *second != 0 => wide(bytes, u16::from_be_bytes),
        _ => String::from_utf8(bytes.to_vec()).ok(),
    }
}

/// Returns a name in Unicode's composed form: some systems store `é` as one character, others as
/// two, and the same name must be found again.
pub(super) fn composed(name: &str) -> String {
    if name.is_ascii() { name.to_owned() } else { name.nfc().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_several_encodings_is_read() {
        let wide = |text: &str, unit: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(unit).collect::<Vec<u8>>();
        for (name, bytes) in [
            ("UTF-8", "zähler\n".as_bytes().to_vec()),
            ("UTF-8 with a mark", "\u{feff}zähler\n".as_bytes().to_vec()),
            ("UTF-16, little-endian", wide("\u{feff}zähler\n", u16::to_le_bytes)),
            ("UTF-16, big-endian", wide("\u{feff}zähler\n", u16::to_be_bytes)),
            ("UTF-16 without a mark", wide("zähler\n", u16::to_le_bytes)),
        ] {
            assert_eq!(decode(&bytes).as_deref(), Some("zähler\n"), "{name}");
        }
        assert_eq!(decode(&[0x80, 0x81]), None);
        assert_eq!(decode(&[0xff, 0xfe, 0x41]), None, "half a unit");
    }

    #[test]
    fn names_are_the_same_in_either_form() {
        assert_ne!("Zelle_\u{e4}", "Zelle_a\u{308}");
        assert_eq!(composed("Zelle_a\u{308}"), "Zelle_\u{e4}");
    }
}
