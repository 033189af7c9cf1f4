//! The size of a pixel to which images are resampled before the network sees them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The largest number of pixels of an image that resampling makes larger, 2^27: that of an image
/// that is decoded whole.
const PIXELS_MAX: usize = 1 << 27;

/// The millimetres between the rows and between the columns of a resampled image.
///
/// A side of `n` pixels becomes `round(n * own / spacing)` pixels, at least one, over the same
/// length, so that the edges of the image stay where they are. Pixels differ from the spacing by as
/// much as the rounding asks for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Spacing(pub [f64; 2]);

impl Spacing {
    /// Returns whether the numbers make sense: a nanometre to a metre.
    pub fn is_usable(&self) -> bool {
        self.0.iter().all(|length| (1e-6..=1e3).contains(length))
    }

    /// Returns the height and width to which an image is resampled whose rows and columns are `own`
    /// millimetres apart; `None` where that is no size that can be computed.
    pub fn size(&self, image: [usize; 2], own: [f64; 2]) -> Option<[usize; 2]> {
        let side = |axis: usize| (image[axis] as f64 * own[axis] / self.0[axis]).round().max(1.0);
        let [height, width] = [side(0), side(1)];
        // An image that grows is held to what an image may have, one that shrinks is smaller
        // anyway.
        let most = PIXELS_MAX.max(image[0].saturating_mul(image[1])) as f64;
        let is_possible = own.iter().all(|length| length.is_finite() && *length > 0.0) && height * width <= most;
        is_possible.then_some([height as usize, width as usize])
    }
}

impl fmt::Display for Spacing {
    /// Writes one number if rows and columns are as far apart, else `ROWSxCOLUMNS`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [rows, columns] if rows == columns => write!(f, "{rows}"),
            [rows, columns] => write!(f, "{rows}x{columns}"),
        }
    }
}

impl FromStr for Spacing {
    type Err = &'static str;

    /// Parses millimetres, as `0.5`, or `ROWSxCOLUMNS`, as `0.5x0.8`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str =
            "expected millimetres a pixel, such as 0.5, or ROWSxCOLUMNS, such as 0.5x0.8, from 0.000001 to 1000";
        let number = |text: &str| text.trim().parse::<f64>().ok();
        let parsed = match text.split_once('x') {
            Some((rows, columns)) => number(rows).zip(number(columns)).map(|(rows, columns)| Self([rows, columns])),
            None => number(text).map(|both| Self([both; 2])),
        };
        parsed.filter(Self::is_usable).ok_or(EXPECTED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spacing_is_read_as_it_is_written() {
        for (text, expected) in [("0.5", [0.5, 0.5]), ("0.5x0.8", [0.5, 0.8]), ("1", [1.0, 1.0]), ("2 x 3", [2.0, 3.0])]
        {
            let found: Spacing = text.parse().unwrap();
            assert_eq!(found, Spacing(expected), "{text}");
            assert_eq!(found.to_string().parse(), Ok(found), "{text}");
            let json = serde_json::to_string(&found).unwrap();
            assert_eq!(serde_json::from_str::<Spacing>(&json).unwrap(), found, "{json}");
        }
        for text in ["", "0", "-1", "nan", "inf", "1x", "x1", "1x2x3", "0.5mm", "1e-9", "5000"] {
            assert!(text.parse::<Spacing>().is_err(), "{text}");
        }
    }

    #[test]
    fn sides_keep_their_length_to_half_a_pixel() {
        for (name, image, own, spacing, expected) in [
            ("as it is", [12, 20], [0.5, 0.5], [0.5, 0.5], Some([12, 20])),
            ("columns twice as far apart", [12, 20], [0.5, 1.0], [0.5, 0.5], Some([12, 40])),
            ("rounded", [7, 7], [0.7, 0.3], [1.0, 1.0], Some([5, 2])),
            ("at least a pixel", [3, 3], [0.1, 0.1], [1.0, 1.0], Some([1, 1])),
            ("too large", [100, 100], [100.0, 100.0], [0.001, 0.001], None),
            ("a slide that shrinks", [100_000, 100_000], [0.25, 0.25], [0.5, 0.5], Some([50_000, 50_000])),
            ("no length", [5, 5], [0.0, 1.0], [1.0, 1.0], None),
            ("not a number", [5, 5], [f64::NAN, 1.0], [1.0, 1.0], None),
        ] {
            assert_eq!(Spacing(spacing).size(image, own), expected, "{name}");
        }
    }
}
