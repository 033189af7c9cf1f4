//! Text for a shell: commands that a person copies.

use std::fmt::Write;
use std::path::Path;

use crate::control;

/// Returns a path as one word of a command. A path that begins with `-` is written as `./-`, so
/// that no program takes it for a flag.
///
/// Control characters and bytes that are not UTF-8 are written in bash's `$'...'`.
pub fn path(path: &Path) -> String {
    let bytes = path.as_os_str().as_encoded_bytes();
    let start = if bytes.starts_with(b"-") { "./" } else { "" };
    match path.to_str() {
        Some(text) if !control::has_control(text) => word(&format!("{start}{text}")),
        _ => {
            let mut quoted = format!("$'{start}");
            for chunk in bytes.utf8_chunks() {
                for c in chunk.valid().chars() {
                    match c {
                        '\'' | '\\' => quoted.extend(['\\', c]),
                        _ if control::is_control(c) => push_bytes(&mut quoted, c.encode_utf8(&mut [0; 4]).as_bytes()),
                        _ => quoted.push(c),
                    }
                }
                push_bytes(&mut quoted, chunk.invalid());
            }
            quoted + "'"
        }
    }
}

/// Quotes a text without control characters where a shell would not take it as it is.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Writes bytes with three octal digits each, so that a digit behind them belongs to the text.
fn push_bytes(quoted: &mut String, bytes: &[u8]) {
    for byte in bytes {
        write!(quoted, "\\{byte:03o}").expect("a String takes any text");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word() {
        for (name, path, word) in [
            ("plain", "runs/drive-2", "runs/drive-2"),
            ("a space", "my runs", "'my runs'"),
            ("a quote", "it's", r"'it'\''s'"),
            ("nothing", "", "''"),
            ("a command", "a; rm -r $HOME `b`", "'a; rm -r $HOME `b`'"),
            ("a flag", "-v.onnx", "./-v.onnx"),
            ("a flag to be quoted", "-v 1", "'./-v 1'"),
            ("a line end", "a\n```\nit's", r"$'a\012```\012it\'s'"),
            ("an escape sequence before a digit", "\u{1b}7", r"$'\0337'"),
        ] {
            assert_eq!(super::path(Path::new(path)), word, "{name}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn bytes_that_are_not_utf8_stay_the_same_bytes() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;
        assert_eq!(path(Path::new(OsStr::from_bytes(b"-a\xff.png"))), r"$'./-a\377.png'");
    }
}
