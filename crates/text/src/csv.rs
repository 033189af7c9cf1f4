//! Text for a table of comma-separated values (RFC 4180), which spreadsheets open.
//!
//! A spreadsheet takes a cell that begins with `=`, `+`, `-`, `@`, a tab or a line end for a
//! formula (<https://owasp.org/www-community/attacks/CSV_Injection>). Such a text gets an
//! apostrophe in front. Numbers are written as they are, signs included.

/// A cell of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    /// A text; it is never a formula.
    Text(String),
    /// A number as text, or nothing.
    Number(String),
}

/// Formats cells as a line.
pub fn row(cells: impl IntoIterator<Item = Cell>) -> String {
    cells.into_iter().map(field).collect::<Vec<_>>().join(",") + "\r\n"
}

fn field(cell: Cell) -> String {
    match cell {
        Cell::Text(text) if text.starts_with(begins_formula) => quoted(format!("'{text}")),
        Cell::Text(text) | Cell::Number(text) => quoted(text),
    }
}

/// Returns whether a spreadsheet takes a text that begins with a character for a formula. Those of
/// full width are taken by some in East Asian languages.
fn begins_formula(c: char) -> bool {
    matches!(c, '=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '＝' | '＋' | '－' | '＠')
}

/// Quotes a field if it needs quotes.
fn quoted(field: String) -> String {
    if field.contains([',', '"', '\n', '\r']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_a_field_and_no_formula() {
        let text = |text: &str| Cell::Text(text.into());
        for (name, cell, line) in [
            ("plain", text("a-1"), "a-1\r\n"),
            ("a comma and quotes", text("a, \"b\""), "\"a, \"\"b\"\"\"\r\n"),
            ("a formula", text("=1+1"), "'=1+1\r\n"),
            ("a formula with quotes", text("=HYPERLINK(\"x\",1)"), "\"'=HYPERLINK(\"\"x\"\",1)\"\r\n"),
            ("plus", text("+1"), "'+1\r\n"),
            ("minus", text("-a"), "'-a\r\n"),
            ("at", text("@SUM(1)"), "'@SUM(1)\r\n"),
            ("a tab", text("\t=1"), "'\t=1\r\n"),
            ("a return", text("\r=1"), "\"'\r=1\"\r\n"),
            ("an equals sign of full width", text("＝1"), "'＝1\r\n"),
            ("a negative number", Cell::Number("-0.5".into()), "-0.5\r\n"),
            ("nothing", Cell::Number(String::new()), "\r\n"),
        ] {
            assert_eq!(row([cell]), line, "{name}");
        }
        assert_eq!(row([text("a"), Cell::Number("1".into())]), "a,1\r\n");
    }
}
