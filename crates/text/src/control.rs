//! Control characters: what a terminal or an editor obeys instead of showing it.

use std::fmt::Write;

/// Returns whether a character is a control character: C0, DEL, C1, a bidirectional control
/// (U+202A to U+202E, U+2066 to U+2069), or a line or paragraph separator (U+2028, U+2029).
pub fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns whether a text has a control character; a line end is one.
pub fn has_control(text: &str) -> bool {
    text.contains(is_control)
}

/// Replaces each control character by its number, as in `\u{1b}`.
pub fn escape(text: &str) -> String {
    escape_except(text, |_| false)
}

/// Replaces each control character that is not `kept`, as [`escape`] does.
pub(crate) fn escape_except(text: &str, kept: fn(char) -> bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if is_control(c) && !kept(c) {
            write!(escaped, "\\u{{{:x}}}", u32::from(c)).expect("a String takes any text");
        } else {
            escaped.push(c);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_by_their_numbers_and_all_else_stays() {
        for (name, text, shown) in [
            ("plain", "nucleus", "nucleus"),
            ("letters of any script", "Zellkern größer 细胞 خلية", "Zellkern größer 细胞 خلية"),
            ("a backslash", r"a\b", r"a\b"),
            ("an escape sequence", "\u{1b}[2J", r"\u{1b}[2J"),
            ("a line end", "a\nb\r", r"a\u{a}b\u{d}"),
            ("a zero", "\0", r"\u{0}"),
            ("DEL", "\u{7f}", r"\u{7f}"),
            ("C1", "\u{9b}2J", r"\u{9b}2J"),
            ("an override of the direction", "a\u{202e}b", r"a\u{202e}b"),
            ("an embedding", "\u{202a}", r"\u{202a}"),
            ("an isolate", "\u{2066}x\u{2069}", r"\u{2066}x\u{2069}"),
            ("a line separator", "\u{2028}", r"\u{2028}"),
            ("a paragraph separator", "\u{2029}", r"\u{2029}"),
            ("neighbours of the controls", "\u{2027}\u{202f}\u{2065}\u{206a}", "\u{2027}\u{202f}\u{2065}\u{206a}"),
        ] {
            assert_eq!(escape(text), shown, "{name}");
            assert_eq!(has_control(text), text != shown, "{name}");
        }
    }
}
