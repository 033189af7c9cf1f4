//! The terms of the loss, as a person chooses them: `cross-entropy+dice`, `focal=2+tversky=0.3`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The focusing exponent of its authors.
const GAMMA: f64 = 2.0;
/// The weight of false positives that the authors of the Tversky loss found best.
const ALPHA: f64 = 0.3;
/// The weight of the boundary term at the start of its authors' schedule.
const BOUNDARY: f64 = 0.01;

/// The terms of the loss, which are added.
///
/// | text | term |
/// |---|---|
/// | `cross-entropy` | the mean of `-ln p` of the true class |
/// | `focal`, `focal=G` | the mean of `-(1 - p)^G ln p` (Lin et al., "Focal Loss", 2017); 2 by default |
/// | `dice` | one minus the mean Dice of images and classes |
/// | `tversky`, `tversky=A` | the same with false positives weighted by `A` and false negatives by `1 - A` (Salehi et al., 2017); 0.3 by default |
/// | `boundary`, `boundary=W` | `W` times the mean of `p` times the signed distance to the true boundary (Kervadec et al., 2019); 0.01 by default |
///
/// There is one of the first two; of the others each may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LossTerms {
    /// The term of each pixel alone.
    pub pixels: PixelTerm,
    /// The term of the overlap of areas.
    pub overlap: Option<OverlapTerm>,
    /// The weight of the boundary term.
    pub boundary: Option<f64>,
}

/// A term of each pixel alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PixelTerm {
    /// Cross entropy.
    CrossEntropy,
    /// Cross entropy in which pixels that are well classified count less.
    Focal {
        /// The exponent of `1 - p`.
        gamma: f64,
    },
}

/// A term of the overlap of areas.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OverlapTerm {
    /// The Dice loss.
    Dice,
    /// The Tversky loss.
    Tversky {
        /// The weight of false positives; that of false negatives is one minus this.
        alpha: f64,
    },
}

/// A text that names no loss.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "`{0}` is no loss; expected cross-entropy or focal[=GAMMA], and with `+` dice or tversky[=ALPHA], and boundary[=WEIGHT], as \
     focal=2+tversky=0.3"
)]
pub struct UnknownLoss(String);

impl Default for LossTerms {
    /// Returns the recipe: cross entropy plus Dice loss.
    fn default() -> Self {
        Self { pixels: PixelTerm::CrossEntropy, overlap: Some(OverlapTerm::Dice), boundary: None }
    }
}

impl LossTerms {
    /// Returns the names of the terms of pixels and of overlap, for people.
    pub fn names(&self) -> [&'static str; 2] {
        let pixels = match self.pixels {
            PixelTerm::CrossEntropy => "cross entropy",
            PixelTerm::Focal { .. } => "focal loss",
        };
        let overlap = match self.overlap {
            Some(OverlapTerm::Dice) | None => "Dice loss",
            Some(OverlapTerm::Tversky { .. }) => "Tversky loss",
        };
        [pixels, overlap]
    }
}

impl fmt::Display for LossTerms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pixels {
            PixelTerm::CrossEntropy => f.write_str("cross-entropy")?,
            PixelTerm::Focal { gamma } => write!(f, "focal={gamma}")?,
        }
        match self.overlap {
            Some(OverlapTerm::Dice) => f.write_str("+dice")?,
            Some(OverlapTerm::Tversky { alpha }) => write!(f, "+tversky={alpha}")?,
            None => {}
        }
        self.boundary.map_or(Ok(()), |weight| write!(f, "+boundary={weight}"))
    }
}

impl FromStr for LossTerms {
    type Err = UnknownLoss;

    fn from_str(text: &str) -> Result<Self, UnknownLoss> {
        let unknown = || UnknownLoss(text.into());
        let (mut pixels, mut overlap, mut boundary) = (None, None, None);
        for term in text.split('+') {
            let (name, value) = term.split_once('=').map_or((term, None), |(name, value)| (name, Some(value)));
            let number = |default: f64, range: std::ops::RangeInclusive<f64>| {
                let number = value.map_or(Some(default), |value| value.parse().ok());
                number.filter(|number| range.contains(number)).ok_or_else(unknown)
            };
            let is_new = match name {
                "cross-entropy" if value.is_none() => pixels.replace(PixelTerm::CrossEntropy).is_none(),
                "focal" => pixels.replace(PixelTerm::Focal { gamma: number(GAMMA, 0.0..=10.0)? }).is_none(),
                "dice" if value.is_none() => overlap.replace(OverlapTerm::Dice).is_none(),
                "tversky" => overlap.replace(OverlapTerm::Tversky { alpha: number(ALPHA, 0.0..=1.0)? }).is_none(),
                "boundary" => boundary.replace(number(BOUNDARY, f64::MIN_POSITIVE..=1e3)?).is_none(),
                _ => false,
            };
            if !is_new {
                return Err(unknown());
            }
        }
        Ok(Self { pixels: pixels.ok_or_else(unknown)?, overlap, boundary })
    }
}

impl TryFrom<String> for LossTerms {
    type Error = UnknownLoss;

    fn try_from(text: String) -> Result<Self, UnknownLoss> {
        text.parse()
    }
}

impl From<LossTerms> for String {
    fn from(terms: LossTerms) -> Self {
        terms.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_read_as_it_is_written() {
        for (text, written) in [
            ("cross-entropy+dice", "cross-entropy+dice"),
            ("dice+cross-entropy", "cross-entropy+dice"),
            ("cross-entropy", "cross-entropy"),
            ("focal", "focal=2"),
            ("focal=1.5+tversky+boundary", "focal=1.5+tversky=0.3+boundary=0.01"),
            ("cross-entropy+boundary=0.1", "cross-entropy+boundary=0.1"),
        ] {
            let terms: LossTerms = text.parse().unwrap();
            assert_eq!(terms.to_string(), written);
            assert_eq!(serde_json::from_str::<LossTerms>(&serde_json::to_string(&terms).unwrap()).unwrap(), terms);
        }
        assert_eq!("cross-entropy+dice".parse(), Ok(LossTerms::default()));
        for text in [
            "",
            "dice",
            "focal+cross-entropy",
            "dice+dice+focal",
            "tversky=2+focal",
            "focal=x",
            "hinge+dice",
            "cross-entropy=2",
            "focal=-1",
        ] {
            assert!(text.parse::<LossTerms>().unwrap_err().to_string().contains("is no loss"), "{text}");
        }
    }
}
