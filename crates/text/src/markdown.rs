//! Text for Markdown (CommonMark with the tables of GitHub), within a line or a cell.

use crate::control;

/// Escapes a text so that Markdown shows it as it is: it neither ends a cell, nor begins a list or
/// a heading, nor becomes HTML.
pub fn text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let first = text.trim_start().chars().next();
    // `1.` and `1)` begin a list.
    let digits = text.trim_start().bytes().take_while(u8::is_ascii_digit).count();
    let marks_list = |index: usize| digits > 0 && index == text.len() - text.trim_start().len() + digits;
    let mut before = ' ';
    let mut chars = text.char_indices().peekable();
    let mut is_first = true;
    while let Some((index, c)) = chars.next() {
        let after = chars.peek().map_or(' ', |(_, c)| *c);
        match c {
            '\n' | '\r' | '\t' => escaped.push(' '),
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\\' | '`' | '*' | '[' | ']' | '|' | '~' | '$' => escaped.extend(['\\', c]),
            // Within a word it marks nothing.
            '_' if before.is_alphanumeric() && after.is_alphanumeric() => escaped.push(c),
            '_' => escaped.extend(['\\', c]),
            '#' | '-' | '+' | '=' if is_first && Some(c) == first => escaped.extend(['\\', c]),
            '.' | ')' if marks_list(index) => escaped.extend(['\\', c]),
            _ if control::is_control(c) => {
                escaped.push('\\');
                escaped.push_str(&control::escape(c.encode_utf8(&mut [0; 4])));
            }
            _ => escaped.push(c),
        }
        is_first &= c.is_whitespace();
        before = c;
    }
    escaped
}

/// Returns a text as code, fit for a cell of a table too.
pub fn code(text: &str) -> String {
    let text = control::escape(&text.replace(['\n', '\r'], " ")).replace('|', "\\|");
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    // One space on each side is not part of the code.
    let space = if longest > 0 || text.starts_with(' ') || text.is_empty() { " " } else { "" };
    format!("{fence}{space}{text}{space}{fence}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_shown_as_it_is() {
        for (name, given, escaped) in [
            ("plain", "DRIVE, 16 training images (v1.0)", "DRIVE, 16 training images (v1.0)"),
            ("an underscore within a word", "validation dice_per_image", "validation dice_per_image"),
            ("emphasis", "_a_ *b* ~c~", r"\_a\_ \*b\* \~c\~"),
            ("HTML", "<img src=x> &lt;", "&lt;img src=x&gt; &amp;lt;"),
            ("a cell's end", "a | b", r"a \| b"),
            ("a cell's end, escaped already", r"a \| b", r"a \\\| b"),
            ("code", "`rm`", r"\`rm\`"),
            ("a link", "[x](http://y)", r"\[x\](http://y)"),
            ("a line end", "a\n# b", "a # b"),
            ("a heading", "# b", r"\# b"),
            ("a list", "- b-c", r"\- b-c"),
            ("a numbered list", "12. b", r"12\. b"),
            ("a number", "1.5 mm", r"1\.5 mm"),
            ("a formula", "$x$", r"\$x\$"),
            ("an escape sequence", "a\u{1b}[2J", r"a\\u{1b}\[2J"),
        ] {
            assert_eq!(text(given), escaped, "{name}");
        }
    }

    #[test]
    fn a_text_stays_one_code() {
        for (name, given, escaped) in [
            ("plain", "input", "`input`"),
            ("backquotes", "a`b``c", "``` a`b``c ```"),
            ("a cell's end", "a|b", r"`a\|b`"),
            ("a line end", "a\n```\nb", "```` a ``` b ````"),
            ("an escape sequence", "\u{1b}", r"`\u{1b}`"),
            ("nothing", "", "`  `"),
        ] {
            assert_eq!(code(given), escaped, "{name}");
        }
    }
}
