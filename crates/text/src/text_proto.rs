//! Text for protobuf's text format, in which Triton's `config.pbtxt` is written.

use std::fmt::Write;

/// Returns a text as a string of the format, with its quotes.
pub fn string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '\\' | '"' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            _ if crate::control::is_control(c) => {
                // Three octal digits a byte: a digit behind them belongs to the text.
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    write!(quoted, "\\{byte:03o}").expect("a String takes any text");
                }
            }
            _ => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_text_stays_one_string() {
        for (name, text, string) in [
            ("plain", "/srv/größe", r#""/srv/größe""#),
            ("quotes and backslashes", r#"/srv/a "b" \c"#, r#""/srv/a \"b\" \\c""#),
            ("a field", "x\" } ]\nversion_policy", r#""x\" } ]\nversion_policy""#),
            ("a control before a digit", "\u{1b}7", r#""\0337""#),
            ("a control of several bytes", "\u{202e}", r#""\342\200\256""#),
        ] {
            assert_eq!(super::string(text), string, "{name}");
        }
    }
}
