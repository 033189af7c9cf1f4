//! A part of a cross-validation.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// One of the equal parts of a cross-validation; it is written as `2/5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fold {
    /// The part that validates, counted from 1.
    pub(super) index: usize,
    /// The number of parts.
    pub(super) count: usize,
}

impl Fold {
    /// Lists the folds of a cross-validation of `count` parts, of which there are at least two.
    pub fn all(count: usize) -> impl Iterator<Item = Self> {
        (1..=count).map(move |index| Self { index, count })
    }

    /// Returns the part that validates, counted from 1.
    pub fn index(self) -> usize {
        self.index
    }

    /// Returns the number of parts.
    pub fn count(self) -> usize {
        self.count
    }
}

/// A text that is not a fold.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is not a fold; expected one of at least two parts, counted from 1, as 2/5")]
pub struct UnknownFold(String);

impl FromStr for Fold {
    type Err = UnknownFold;

    fn from_str(text: &str) -> Result<Self, UnknownFold> {
        let numbers = text.split_once('/').and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        match numbers {
            Some((index, count)) if count >= 2 && (1..=count).contains(&index) => Ok(Self { index, count }),
            _ => Err(UnknownFold(text.into())),
        }
    }
}

impl fmt::Display for Fold {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.index, self.count)
    }
}

impl TryFrom<String> for Fold {
    type Error = UnknownFold;

    fn try_from(text: String) -> Result<Self, UnknownFold> {
        text.parse()
    }
}

impl From<Fold> for String {
    fn from(fold: Fold) -> Self {
        fold.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folds_of_a_cross_validation_are_counted_from_one() {
        let folds: Vec<_> = Fold::all(3).map(|fold| fold.to_string()).collect();
        assert_eq!(folds, ["1/3", "2/3", "3/3"]);
        assert!(Fold::all(3).all(|fold| fold.count() == 3 && fold.to_string().starts_with(&fold.index().to_string())));
    }

    #[test]
    fn a_fold_is_read_as_it_is_written() {
        for text in ["1/2", "5/5", "2/10"] {
            let fold: Fold = text.parse().unwrap();
            assert_eq!(fold.to_string(), text);
            assert_eq!(serde_json::from_str::<Fold>(&serde_json::to_string(&fold).unwrap()).unwrap(), fold);
        }
        for text in ["", "1", "0/5", "6/5", "1/1", "a/b", "1/5/2"] {
            assert!(text.parse::<Fold>().unwrap_err().to_string().contains("as 2/5"), "{text}");
        }
    }
}
