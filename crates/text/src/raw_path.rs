//! Paths that are not UTF-8, written as text without loss.

use std::fmt::Write;
use std::path::Path;

/// Returns the lossless text of a path that is not UTF-8, and `None` for one that is, which is its
/// own text.
///
/// A byte that is not part of UTF-8 is written as `\x` with two hexadecimal digits, a backslash as
/// two; all else is as in the path.
pub fn raw_path(path: &Path) -> Option<String> {
    if path.to_str().is_some() {
        return None;
    }
    let mut text = String::new();
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        text.push_str(&chunk.valid().replace('\\', r"\\"));
        for byte in chunk.invalid() {
            write!(text, "\\x{byte:02x}").expect("a String takes any text");
        }
    }
    Some(text)
}

#[cfg(all(test, unix))]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    /// Returns the bytes of a path that [`raw_path`] wrote.
    fn bytes_of(text: &str) -> Vec<u8> {
        let mut parts = text.split('\\');
        let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
        while let Some(part) = parts.next() {
            match part.strip_prefix('x') {
                Some(digits) => {
                    bytes.push(u8::from_str_radix(&digits[..2], 16).expect("two digits"));
                    bytes.extend(&digits.as_bytes()[2..]);
                }
                None => {
                    assert_eq!(part, "", "a backslash is doubled");
                    bytes.push(b'\\');
                    bytes.extend(parts.next().expect("a backslash is doubled").as_bytes());
                }
            }
        }
        bytes
    }

    #[test]
    fn a_path_that_is_not_utf8_comes_back_from_its_text() {
        for (name, path, text) in [
            ("UTF-8", "größe.png".as_bytes(), None),
            ("a backslash in UTF-8", br"a\xff", None),
            ("a byte", b"a\xff.png", Some(r"a\xff.png")),
            ("text that looks like a byte", b"\\xff\xff1", Some(r"\\xff\xff1")),
            ("a cut character", b"\xe6\x96/\xc3", Some(r"\xe6\x96/\xc3")),
        ] {
            let found = raw_path(Path::new(OsStr::from_bytes(path)));
            assert_eq!(found.as_deref(), text, "{name}");
            if let Some(text) = found {
                assert_eq!(bytes_of(&text), path, "{name}");
            }
        }
    }
}
