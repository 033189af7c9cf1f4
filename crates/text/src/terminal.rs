//! Text for a terminal, which obeys control characters.

use std::fmt::{self, Display, Formatter, Write};
use std::path::Path;

use crate::control;

/// Escapes the control characters of what a program prints, except line ends and tabs.
pub fn lines(text: &str) -> String {
    control::escape_except(text, |c| matches!(c, '\n' | '\t'))
}

/// Escapes the control characters of JSON text in the way of JSON, so that it keeps its meaning:
/// outside of strings JSON has none but white space.
pub fn json(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if control::is_control(c) && !matches!(c, '\n' | '\r' | '\t') {
            write!(escaped, "\\u{:04x}", u32::from(c)).expect("a String takes any text");
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// A path as programs print it, on one line: control characters by their numbers, as in `\u{1b}`,
/// and bytes that are not UTF-8 as in `\xff`.
#[derive(Clone, Copy, Debug)]
pub struct ShownPath<'a>(&'a Path);

/// The printed form of a path.
pub trait Shown {
    /// Returns the form in which programs print the path.
    fn shown(&self) -> ShownPath<'_>;
}

impl Shown for Path {
    fn shown(&self) -> ShownPath<'_> {
        ShownPath(self)
    }
}

impl Display for ShownPath<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for chunk in self.0.as_os_str().as_encoded_bytes().utf8_chunks() {
            f.write_str(&control::escape(chunk.valid()))?;
            chunk.invalid().iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_no_control_character_but_line_ends_and_tabs() {
        for (name, text, printed) in [
            ("lines", "a\n\tb\n", "a\n\tb\n"),
            ("an escape sequence", "a\u{1b}[31mb", r"a\u{1b}[31mb"),
            ("a return to the start of the line", "hidden\rshown", r"hidden\u{d}shown"),
            ("C1", "\u{9b}2J", r"\u{9b}2J"),
            ("a bidirectional control", "\u{202e}gnp.exe", r"\u{202e}gnp.exe"),
        ] {
            assert_eq!(lines(text), printed, "{name}");
        }
    }

    #[test]
    fn json_keeps_its_meaning() {
        for (name, text, printed) in [
            ("white space", "{\r\n\t\"a\": 1\n}", "{\r\n\t\"a\": 1\n}"),
            ("DEL", "\"a\u{7f}\"", r#""a\u007f""#),
            ("a bidirectional control", "\"\u{202e}\"", r#""\u202e""#),
        ] {
            assert_eq!(json(text), printed, "{name}");
        }
    }

    #[test]
    fn a_path_is_shown_on_one_line() {
        for (path, shown) in [
            ("a/b c.png", "a/b c.png"),
            ("a\nwritten  b.onnx", r"a\u{a}written  b.onnx"),
            ("\u{1b}]0;x\u{7}", r"\u{1b}]0;x\u{7}"),
        ] {
            assert_eq!(Path::new(path).shown().to_string(), shown);
        }
    }

    #[cfg(unix)]
    #[test]
    fn bytes_that_are_not_utf8_are_shown_by_their_values() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;
        let path = Path::new(OsStr::from_bytes(b"a\xff\xc3.png"));
        assert_eq!(path.shown().to_string(), r"a\xff\xc3.png");
    }
}
