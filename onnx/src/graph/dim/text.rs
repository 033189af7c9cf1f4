//! Dimensions as text: `2*floor(height/4) + 1`.

use std::fmt;
use std::str::FromStr;

use super::{Atom, Dim, DimError};

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.terms.is_empty() {
            return write!(f, "{}", self.constant);
        }
        for (position, (atom, coefficient)) in self.terms.iter().enumerate() {
            f.write_str(match (position, *coefficient < 0) {
                (0, false) => "",
                (0, true) => "-",
                (_, false) => " + ",
                (_, true) => " - ",
            })?;
            if coefficient.unsigned_abs() != 1 {
                write!(f, "{}*", coefficient.unsigned_abs())?;
            }
            write!(f, "{atom}")?;
        }
        match self.constant {
            0 => Ok(()),
            constant if constant < 0 => write!(f, " - {}", constant.unsigned_abs()),
            constant => write!(f, " + {constant}"),
        }
    }
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { symbol, divisor, offset } = self;
        match (divisor, offset) {
            (1, _) => f.write_str(symbol),
            (_, 0) => write!(f, "floor({symbol}/{divisor})"),
            _ => write!(f, "floor(({symbol} + {offset})/{divisor})"),
        }
    }
}

/// Reads the text that [`Display`](fmt::Display) writes; spaces do not matter.
impl FromStr for Dim {
    type Err = DimError;

    fn from_str(text: &str) -> Result<Self, DimError> {
        let mut parser = Parser { text, at: 0 };
        let mut dim = if parser.accept('-') { parser.term()?.scale(-1)? } else { parser.term()? };
        loop {
            dim = if parser.accept('+') {
                dim.add(&parser.term()?)?
            } else if parser.accept('-') {
                dim.sub(&parser.term()?)?
            } else {
                break;
            };
        }
        if parser.at < text.len() { Err(parser.expected("`+`, `-` or the end")) } else { Ok(dim) }
    }
}

/// `dim = ["-"] term {("+" | "-") term}`, `term = integer ["*" atom] | atom`,
/// `atom = symbol | "floor(" (symbol | "(" symbol "+" integer ")") "/" integer ")"`.
struct Parser<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Parser<'t> {
    fn term(&mut self) -> Result<Dim, DimError> {
        if !self.rest().starts_with(|c: char| c.is_ascii_digit()) {
            return self.atom();
        }
        let integer = self.integer()?;
        if self.accept('*') { self.atom()?.scale(integer) } else { Ok(Dim::from(integer)) }
    }

    fn atom(&mut self) -> Result<Dim, DimError> {
        let word = self.symbol()?;
        if word != "floor" {
            return Ok(Dim::symbol(word));
        }
        self.require('(', "`(`")?;
        let dividend = if self.accept('(') {
            let symbol = self.symbol()?;
            self.require('+', "`+`")?;
            let offset = self.integer()?;
            self.require(')', "`)`")?;
            Dim::symbol(symbol).add(&Dim::from(offset))?
        } else {
            Dim::symbol(self.symbol()?)
        };
        self.require('/', "`/`")?;
        let divisor = self.integer()?;
        self.require(')', "`)`")?;
        dividend.floor_div(divisor)
    }

    fn symbol(&mut self) -> Result<&'t str, DimError> {
        if !self.rest().starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            return Err(self.expected("a symbol or a number"));
        }
        Ok(self.word(|c| c.is_ascii_alphanumeric() || c == '_'))
    }

    fn integer(&mut self) -> Result<i64, DimError> {
        let digits = self.word(|c| c.is_ascii_digit());
        if digits.is_empty() {
            return Err(self.expected("a number"));
        }
        digits.parse().map_err(|_| DimError::Overflow)
    }

    fn word(&mut self, belongs: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|c| !belongs(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn accept(&mut self, token: char) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len_utf8();
        }
        found
    }

    fn require(&mut self, token: char, expected: &'static str) -> Result<(), DimError> {
        if self.accept(token) { Ok(()) } else { Err(self.expected(expected)) }
    }

    fn rest(&mut self) -> &'t str {
        let rest = self.text[self.at..].trim_start();
        self.at = self.text.len() - rest.len();
        rest
    }

    fn expected(&self, expected: &'static str) -> DimError {
        DimError::Parse { text: self.text.to_owned(), expected, at: self.at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dimension_is_read_as_it_was_written() {
        for text in [
            "0",
            "7",
            "height",
            "-height",
            "2*height",
            "floor(height/2)",
            "floor((height + 1)/2)",
            "batch + 2*floor(width/4) - 1",
            "-3*floor((width + 4)/16) + 12",
        ] {
            assert_eq!(text.parse::<Dim>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn other_spellings_are_read_in_canonical_form() {
        for (text, canonical) in [
            (" floor( height /2 ) ", "floor(height/2)"),
            ("width+batch", "batch + width"),
            ("height - height", "0"),
            ("floor((height + 5)/2)", "floor((height + 1)/2) + 2"),
            ("1 + height + 1", "height + 2"),
        ] {
            assert_eq!(text.parse::<Dim>().unwrap().to_string(), canonical, "{text}");
        }
    }

    #[test]
    fn what_is_not_a_dimension_is_refused() {
        for (text, message) in [
            ("", "`` is not a dimension: expected a symbol or a number at byte 0"),
            ("height +", "`height +` is not a dimension: expected a symbol or a number at byte 8"),
            ("height width", "`height width` is not a dimension: expected `+`, `-` or the end at byte 7"),
            ("floor(floor(height/2)/3)", "`floor(floor(height/2)/3)` is not a dimension: expected `/` at byte 11"),
            ("floor(height)", "`floor(height)` is not a dimension: expected `/` at byte 12"),
            ("höhe", "`höhe` is not a dimension: expected `+`, `-` or the end at byte 1"),
            ("floor(height/0)", "`height` divided by 0 and rounded down has no exact linear form"),
            ("99999999999999999999", "a dimension leaves the range of 64-bit integers"),
        ] {
            assert_eq!(text.parse::<Dim>().unwrap_err().to_string(), message);
        }
    }
}
