//! A list of numbers as one text in configurations and on the command line, for example
//! `8-16-32`.

use std::fmt;
use std::str::FromStr;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Numbers that are written as one text with dashes between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dashed<const N: usize>(pub [usize; N]);

/// Returns the text of a list.
pub(crate) fn text<const N: usize>(numbers: &[usize; N]) -> String {
    Dashed(*numbers).to_string()
}

/// Writes a list.
pub(crate) fn serialize<S: Serializer, const N: usize>(numbers: &[usize; N], serializer: S) -> Result<S::Ok, S::Error> {
    Dashed(*numbers).serialize(serializer)
}

/// Reads a list of `N` numbers.
pub(crate) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(deserializer: D) -> Result<[usize; N], D::Error> {
    Dashed::deserialize(deserializer).map(|Dashed(numbers)| numbers)
}

impl<const N: usize> fmt::Display for Dashed<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.map(|number| number.to_string()).join("-"))
    }
}

impl<const N: usize> FromStr for Dashed<N> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split('-').map(str::parse).collect::<Result<Vec<usize>, _>>();
        let numbers = numbers.ok().and_then(|numbers| numbers.try_into().ok());
        numbers.map(Self).ok_or_else(|| format!("`{text}` is not a list of {N} numbers, as 8-16-32"))
    }
}

impl<const N: usize> Serialize for Dashed<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_string())
    }
}

impl<'de, const N: usize> Deserialize<'de> for Dashed<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Holder {
        #[serde(with = "crate::numbers")]
        widths: [usize; 3],
        strips: Dashed<2>,
    }

    #[test]
    fn a_list_is_one_text() {
        let holder = Holder { widths: [8, 16, 32], strips: Dashed([5, 7]) };
        let text = serde_json::to_string(&holder).unwrap();
        assert_eq!(text, r#"{"widths":"8-16-32","strips":"5-7"}"#);
        assert_eq!(serde_json::from_str::<Holder>(&text).unwrap(), holder);
        for text in ["8-16", "8-16-x", "8-16-32-64", "", "8--16"] {
            let json = format!(r#"{{"widths":"{text}","strips":"5-7"}}"#);
            let error = serde_json::from_str::<Holder>(&json).unwrap_err().to_string();
            assert!(error.contains("is not a list of 3 numbers"), "{text}: {error}");
        }
    }
}
