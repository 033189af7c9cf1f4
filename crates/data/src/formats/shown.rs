//! The window through which values of a medical image become shares of white.

use image::Rgb;
use seg_contract::Rgb16Image;
use serde::{Deserialize, Serialize};

use crate::picture::Picture;

/// The window through which the values of an image were shown, as a record names it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ShownWindow {
    /// The value that is black, in the image's unit.
    pub low: f64,
    /// The value that is white.
    pub high: f64,
    /// The origin of the window.
    pub source: WindowSource,
}

/// The origin of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum WindowSource {
    /// The contract or a flag.
    Given,
    /// The first window of the file.
    FileWindow,
    /// The table of the file.
    FileTable,
    /// The range of the type of the values, as the file names no window.
    TypeRange,
    /// Percentiles of the volume or series.
    Percentiles,
}

/// A function from values to [0, 1].
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Curve {
    /// DICOM's LINEAR: center and width.
    Linear(f64, f64),
    /// DICOM's `LINEAR_EXACT`.
    LinearExact(f64, f64),
    /// DICOM's SIGMOID.
    Sigmoid(f64, f64),
    /// From one value to another.
    Range(f64, f64),
    /// The first input of a table and its shares.
    Table(f64, Vec<f64>),
}

impl Curve {
    /// Returns the share of white of a value, 0 to 1; 0 for one that is not a number.
    pub(crate) fn share(&self, value: f64) -> f64 {
        let share = match self {
            // A width of 1 is a threshold.
            Self::Linear(center, width) => {
                let (middle, half) = (center - 0.5, (width - 1.0) / 2.0);
                if value <= middle - half {
                    0.0
                } else if value > middle + half {
                    1.0
                } else {
                    (value - middle) / (width - 1.0) + 0.5
                }
            }
            Self::LinearExact(center, width) => (value - center) / width + 0.5,
            Self::Sigmoid(center, width) => 1.0 / (1.0 + (-4.0 * (value - center) / width).exp()),
            Self::Range(low, high) if high > low => (value - low) / (high - low),
            // A volume of one value.
            Self::Range(low, _) => f64::from(u8::from(value > *low)),
            Self::Table(first, shares) => {
                let place = (value - first).clamp(0.0, shares.len().saturating_sub(1) as f64);
                shares.get(place as usize).copied().unwrap_or(0.0)
            }
        };
        // NaN becomes 0.
        if share > 0.0 { share.min(1.0) } else { 0.0 }
    }

    /// Returns the values that are black and white.
    pub(crate) fn ends(&self) -> (f64, f64) {
        match self {
            Self::Linear(center, width) => {
                let (middle, half) = (center - 0.5, (width - 1.0) / 2.0);
                (middle - half, middle + half)
            }
            Self::LinearExact(center, width) | Self::Sigmoid(center, width) => {
                (center - width / 2.0, center + width / 2.0)
            }
            Self::Range(low, high) => (*low, *high),
            Self::Table(first, shares) => (*first, first + shares.len().saturating_sub(1) as f64),
        }
    }

    /// Makes a picture of values, row by row; with 16 bits, so that training, which keeps pictures
    /// in at most 16, and deployment see the same.
    pub(crate) fn picture(&self, width: u32, height: u32, values: &[f64], is_inverted: bool) -> Picture {
        let word = |value: f64| {
            let share = self.share(value);
            ((if is_inverted { 1.0 - share } else { share }) * 65535.0).round() as u16
        };
        let mut image = Rgb16Image::new(width, height);
        for (pixel, value) in image.pixels_mut().zip(values) {
            *pixel = Rgb([word(*value); 3]);
        }
        Picture::Bits16(image)
    }
}

/// Returns percentiles as NumPy computes them by default, between the two nearest values; `None` of
/// no value. The order of the values changes.
pub(crate) fn percentiles(values: &mut [f32], shares: [f64; 2]) -> Option<[f64; 2]> {
    let last = values.len().checked_sub(1)?;
    Some(shares.map(|share| {
        let place = (share / 100.0).clamp(0.0, 1.0) * last as f64;
        let below = place.floor() as usize;
        let (_, low, above) = values.select_nth_unstable_by(below, f32::total_cmp);
        let low = f64::from(*low);
        match above.iter().copied().min_by(f32::total_cmp) {
            Some(high) => low + (f64::from(high) - low) * (place - below as f64),
            None => low,
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_follow_the_formulas_of_dicom() {
        // From DICOM PS3.3 C.11.2.1.2: `pydicom.pixels.apply_windowing` gives the same.
        for (name, curve, value, expected) in [
            ("below", Curve::Linear(40.0, 400.0), -160.0, 0.0),
            ("middle", Curve::Linear(40.0, 400.0), 39.5, 0.5),
            ("above", Curve::Linear(40.0, 400.0), 240.0, 1.0),
            ("inside", Curve::Linear(40.0, 400.0), 100.0, (100.0 - 39.5) / 399.0 + 0.5),
            ("a threshold, at it", Curve::Linear(10.0, 1.0), 9.5, 0.0),
            ("a threshold, above it", Curve::Linear(10.0, 1.0), 9.6, 1.0),
            ("exact", Curve::LinearExact(90.0, 20.0), 95.0, 0.75),
            ("exact, clamped", Curve::LinearExact(90.0, 20.0), 190.0, 1.0),
            ("sigmoid", Curve::Sigmoid(90.0, 20.0), 95.0, 1.0 / (1.0 + (-1.0_f64).exp())),
            ("range", Curve::Range(-10.0, 30.0), 0.0, 0.25),
            ("a range of one value", Curve::Range(3.0, 3.0), 3.0, 0.0),
            ("table, below", Curve::Table(5.0, vec![0.1, 0.4, 0.9]), -9.0, 0.1),
            ("table, inside", Curve::Table(5.0, vec![0.1, 0.4, 0.9]), 6.0, 0.4),
            ("table, above", Curve::Table(5.0, vec![0.1, 0.4, 0.9]), 90.0, 0.9),
            ("not a number", Curve::Range(-10.0, 30.0), f64::NAN, 0.0),
        ] {
            assert!((curve.share(value) - expected).abs() < 1e-12, "{name}: {}", curve.share(value));
        }
    }

    #[test]
    fn percentiles_are_those_of_numpy() {
        // numpy.percentile([3, 1, 4, 1, 5, 9, 2, 6, 5, 3.5], [2.5, 90]) and of one value.
        let mut values = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0, 5.0, 3.5];
        let [low, high] = percentiles(&mut values, [2.5, 90.0]).unwrap();
        assert!((low - 1.0).abs() < 1e-9 && (high - 6.3).abs() < 1e-9, "{low} {high}");
        assert_eq!(percentiles(&mut [7.0], [0.5, 99.5]), Some([7.0, 7.0]));
        assert_eq!(percentiles(&mut [], [0.5, 99.5]), None);
    }
}
