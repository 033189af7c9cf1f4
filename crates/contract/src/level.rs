//! The level of a pyramid: one of the sizes in which a slide is stored.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The level of a pyramid, in which a file holds an image in several sizes. Other images have level
/// 0 alone.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The number of the level, from 0 for the full size on, the larger one first.
    Number(u32),
    /// The size of a pixel in micrometres; the level must have it to a tenth.
    Micrometres(f64),
}

impl Level {
    /// The largest share by which the pixels of a level may differ from the size that is asked for.
    pub const TOLERANCE: f64 = 0.1;

    /// Returns whether the numbers make sense.
    pub fn is_usable(&self) -> bool {
        match *self {
            Self::Number(_) => true,
            Self::Micrometres(size) => size.is_finite() && size > 0.0,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Micrometres(size) => write!(f, "{size}um"),
        }
    }
}

impl FromStr for Level {
    type Err = &'static str;

    /// Parses the number of a level, or a size as `0.5um`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let size = ["um", "µm", "μm"].iter().find_map(|unit| text.strip_suffix(unit));
        let parsed = match size {
            Some(size) => size.trim().parse().ok().map(Self::Micrometres),
            None => text.parse().ok().map(Self::Number),
        };
        parsed
            .filter(Self::is_usable)
            .ok_or("expected a number from 0 for the full size on, or micrometres a pixel as 0.5um")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_read_as_it_is_written() {
        for (text, expected) in [
            ("0", Level::Number(0)),
            ("3", Level::Number(3)),
            ("0.5um", Level::Micrometres(0.5)),
            ("2 µm", Level::Micrometres(2.0)),
        ] {
            let found: Level = text.parse().unwrap();
            assert_eq!(found, expected, "{text}");
            assert_eq!(found.to_string().parse(), Ok(expected), "{text}");
            let json = serde_json::to_string(&found).unwrap();
            assert_eq!(serde_json::from_str::<Level>(&json).unwrap(), expected, "{json}");
        }
        for text in ["", "-1", "1.5", "um", "0um", "nanum", "20x", "0.5mm"] {
            assert!(text.parse::<Level>().is_err(), "{text}");
        }
    }
}
