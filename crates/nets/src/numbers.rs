//! A list of numbers as one text in configurations and on the command line, for example
//! `8-16-32`.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};

/// Returns the text of a list.
pub(crate) fn text(numbers: &[usize]) -> String {
    numbers.iter().map(usize::to_string).collect::<Vec<_>>().join("-")
}

/// Writes a list.
pub(crate) fn serialize<S: Serializer>(numbers: &[usize], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&text(numbers))
}

/// Reads a list of `N` numbers.
pub(crate) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(deserializer: D) -> Result<[usize; N], D::Error> {
    let text = String::deserialize(deserializer)?;
    let numbers = text.split('-').map(str::parse).collect::<Result<Vec<usize>, _>>();
    let numbers = numbers.ok().and_then(|numbers| numbers.try_into().ok());
    numbers.ok_or_else(|| D::Error::custom(format!("`{text}` is not a list of {N} numbers, as 8-16-32")))
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Holder {
        #[serde(with = "crate::numbers")]
        widths: [usize; 3],
    }

    #[test]
    fn a_list_is_one_text() {
        let holder = Holder { widths: [8, 16, 32] };
        let text = serde_json::to_string(&holder).unwrap();
        assert_eq!(text, r#"{"widths":"8-16-32"}"#);
        assert_eq!(serde_json::from_str::<Holder>(&text).unwrap(), holder);
        for text in ["8-16", "8-16-x", "8-16-32-64", "", "8--16"] {
            let error = serde_json::from_str::<Holder>(&format!(r#"{{"widths":"{text}"}}"#)).unwrap_err().to_string();
            assert!(error.contains("is not a list of 3 numbers"), "{text}: {error}");
        }
    }
}
