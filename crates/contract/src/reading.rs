//! The way in which medical images become pictures: the window of their values, the slices of their
//! volumes, the level of their pyramids, and the size of their pixels.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::level::Level;
use crate::spacing::Spacing;

/// The way in which medical images become pictures of values in [0, 1]. Windows, slices and levels
/// do not concern images whose values are colours or shares of white already, such as PNG.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Reading {
    /// The window of values; the [file's own](Windowing::File) where none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub windowing: Option<Windowing>,
    /// The slices of a volume; [those of the file](Slices::K) where none are named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slices: Option<Slices>,
    /// The level of a pyramid; the full size where none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// The size of a pixel to which images are resampled before the network sees them; the images'
    /// own where none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resample: Option<Spacing>,
}

/// The values of an image that become black and white; those between them become shares of white.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "from", rename_all = "lowercase", deny_unknown_fields)]
pub enum Windowing {
    /// The first window, or the table, that the file names. Where it names none: the whole range of
    /// integers of up to 8 bits without a scale, else the percentiles
    /// [`LOW`](Self::LOW) and [`HIGH`](Self::HIGH).
    #[default]
    File,
    /// One window for all images, by DICOM's linear function: `(v - (center - 0.5)) / (width - 1) +
    /// 0.5`, in the unit of the values, as Hounsfield units.
    Fixed {
        /// The value in the middle.
        center: f64,
        /// The distance between black and white.
        width: f64,
    },
    /// Percentiles of all values of a series or a volume, padding excluded.
    Percentiles {
        /// The percentile that becomes black.
        low: f64,
        /// The percentile that becomes white.
        high: f64,
    },
}

/// The slices of a volume in which pictures are taken from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Slices {
    /// Along the third axis of the file: rows are the second axis, columns the first.
    #[default]
    K,
    /// Along the second axis: rows are the third axis, columns the first.
    J,
    /// Along the first axis: rows are the third axis, columns the second.
    I,
    /// From the feet up, turned as in a DICOM series: rows run to the back, columns to the left of
    /// the patient.
    Axial,
    /// From front to back: rows run to the feet, columns to the left of the patient.
    Coronal,
    /// From right to left: rows run to the feet, columns to the back.
    Sagittal,
}

/// The windows that have a name: center and width in Hounsfield units.
const NAMED: [(&str, f64, f64); 5] = [
    ("lung", -600.0, 1500.0),
    ("bone", 300.0, 1500.0),
    ("soft-tissue", 40.0, 400.0),
    ("brain", 40.0, 80.0),
    // All values of a scanner, -1024 to 3071.
    ("hu", 1024.0, 4096.0),
];

impl Reading {
    /// Returns whether nothing is named.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the window of values.
    pub fn windowing(&self) -> Windowing {
        self.windowing.unwrap_or_default()
    }

    /// Returns the slices of a volume.
    pub fn slices(&self) -> Slices {
        self.slices.unwrap_or_default()
    }

    /// Returns the level of a pyramid.
    pub fn level(&self) -> Level {
        self.level.unwrap_or(Level::Number(0))
    }

    /// Returns this reading, completed by `other` where it names nothing.
    pub fn or(self, other: Self) -> Self {
        Self {
            windowing: self.windowing.or(other.windowing),
            slices: self.slices.or(other.slices),
            level: self.level.or(other.level),
            resample: self.resample.or(other.resample),
        }
    }
}

impl Windowing {
    /// The percentile that becomes black where neither the file nor the user names a window.
    pub const LOW: f64 = 0.5;
    /// The percentile that becomes white there.
    pub const HIGH: f64 = 99.5;

    /// Returns whether the numbers make sense.
    pub fn is_usable(&self) -> bool {
        match *self {
            Self::File => true,
            Self::Fixed { center, width } => center.is_finite() && (1.0..=1e12).contains(&width),
            Self::Percentiles { low, high } => low >= 0.0 && low < high && high <= 100.0,
        }
    }
}

impl fmt::Display for Windowing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => f.write_str("file"),
            Self::Fixed { center, width } => write!(f, "{center},{width}"),
            Self::Percentiles { low, high } => write!(f, "percentiles:{low},{high}"),
        }
    }
}

impl FromStr for Windowing {
    type Err = &'static str;

    /// Parses `file`, `CENTER,WIDTH`, the name of a window, `percentiles` or
    /// `percentiles:LOW,HIGH`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected file, CENTER,WIDTH with a width of at least 1, lung, bone, soft-tissue, brain, hu, percentiles or \
                                percentiles:LOW,HIGH";
        let pair = |text: &str| {
            let (first, second) = text.split_once(',')?;
            Some((first.trim().parse::<f64>().ok()?, second.trim().parse::<f64>().ok()?))
        };
        let named = NAMED.iter().find(|(name, ..)| *name == text);
        let parsed = match (text, named) {
            ("file", _) => Some(Self::File),
            ("percentiles", _) => Some(Self::Percentiles { low: Self::LOW, high: Self::HIGH }),
            (_, Some((_, center, width))) => Some(Self::Fixed { center: *center, width: *width }),
            _ => match text.strip_prefix("percentiles:") {
                Some(text) => pair(text).map(|(low, high)| Self::Percentiles { low, high }),
                None => pair(text).map(|(center, width)| Self::Fixed { center, width }),
            },
        };
        parsed.filter(Self::is_usable).ok_or(EXPECTED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_read_as_it_is_written() {
        for (text, expected) in [
            ("file", Windowing::File),
            ("40,400", Windowing::Fixed { center: 40.0, width: 400.0 }),
            ("-600, 1500", Windowing::Fixed { center: -600.0, width: 1500.0 }),
            ("percentiles:1,99", Windowing::Percentiles { low: 1.0, high: 99.0 }),
        ] {
            let found: Windowing = text.parse().unwrap();
            assert_eq!(found, expected, "{text}");
            assert_eq!(found.to_string().parse(), Ok(expected), "{text}");
            let json = serde_json::to_string(&found).unwrap();
            assert_eq!(serde_json::from_str::<Windowing>(&json).unwrap(), expected, "{json}");
        }
        assert_eq!("soft-tissue".parse(), Ok(Windowing::Fixed { center: 40.0, width: 400.0 }));
        assert_eq!("percentiles".parse(), Ok(Windowing::Percentiles { low: 0.5, high: 99.5 }));
        for text in ["", "40", "40,0", "40,-3", "nan,4", "percentiles:9,1", "percentiles:0,101", "liver", "1,2,3"] {
            assert!(text.parse::<Windowing>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_named_first_counts() {
        let windowing = Some(Windowing::Fixed { center: 1.0, width: 2.0 });
        let fixed = Reading { windowing, ..Reading::default() };
        let level = Some(Level::Number(2));
        let resample = Some(Spacing([0.5, 0.8]));
        let other = Reading { windowing: Some(Windowing::File), slices: Some(Slices::Axial), level, resample };
        assert_eq!(fixed.or(other), Reading { windowing, ..other });
        assert!(Reading::default().is_empty() && !fixed.is_empty());
    }
}
