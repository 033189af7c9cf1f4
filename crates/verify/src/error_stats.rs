//! Statistics of the errors of values.

use ndarray::{ArrayViewD, Zip};
use seg_metrics::nearest_rank;
use serde::{Deserialize, Serialize};

/// Statistics of the errors of 32-bit values against exact ones. All of them are finite: values
/// that are not are counted and left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ErrorStats {
    /// The number of values.
    pub elements: usize,
    /// The number of values that are infinite or not a number, on either side.
    pub not_finite: usize,
    /// The scale that errors are relative to. Of an output it is the largest exact value minus the
    /// smallest, or the largest magnitude if that is more, multiplied by the input's
    /// [amplification](super::InputReport::amplification). For intermediate values see
    /// [`ExactValues`](super::ExactValues).
    pub scale: f64,
    /// The largest error, `|found - exact|`.
    pub max: f64,
    /// The error that one value in a thousand exceeds.
    pub p999: f64,
    /// The root mean square error.
    pub rms: f64,
    /// The largest error in units in the last place of the exact value; see [`ULP_MIN`].
    pub max_ulp: f64,
    /// The median error in the same units.
    pub median_ulp: f64,
}

/// The least share of the scale from which errors are counted in units in the last place. Closer to
/// zero, a sum of large terms has few correct digits in any computation.
pub const ULP_MIN: f64 = 1e-3;

impl ErrorStats {
    /// Compares `found` with `exact`, which must have the same shape.
    pub fn compare(found: ArrayViewD<'_, f32>, exact: ArrayViewD<'_, f64>) -> Self {
        let (elements, scale) = (found.len(), scale(exact.view()));
        let (mut errors, mut ulps) = (Vec::with_capacity(exact.len()), Vec::new());
        Zip::from(found).and(exact).for_each(|&found, &exact| {
            let error = (f64::from(found) - exact).abs();
            if error.is_finite() {
                errors.push(error);
                if exact.abs() >= ULP_MIN * scale && exact != 0.0 {
                    ulps.push(error / ulp(exact));
                }
            }
        });
        let not_finite = elements - errors.len();
        let largest = errors.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        // In largest errors, because squares may be beyond what floats hold.
        let squares = errors.iter().map(|error| (error / largest).powi(2)).sum::<f64>();
        let rms = largest * (squares / errors.len().max(1) as f64).sqrt();
        let (max, p999) = (rank(&mut errors, 1.0), rank(&mut errors, 0.999));
        let (max_ulp, median_ulp) = (rank(&mut ulps, 1.0), rank(&mut ulps, 0.5));
        Self { elements, not_finite, scale, max, p999, rms, max_ulp, median_ulp }
    }

    /// Returns true if the figures fit together, as those of [`compare`](Self::compare) do.
    pub fn is_consistent(&self) -> bool {
        let Self { elements, not_finite, scale, max, p999, rms, max_ulp, median_ulp } = *self;
        // A mean of equal squares is rounded.
        let largest = max * (1.0 + f64::from(f32::EPSILON));
        elements > 0
            && not_finite <= elements
            && scale >= 0.0
            && (0.0..=max).contains(&p999)
            && (0.0..=largest).contains(&rms)
            && (0.0..=max_ulp).contains(&median_ulp)
    }

    /// Returns the same errors relative to another scale.
    pub fn with_scale(self, scale: f64) -> Self {
        Self { scale, ..self }
    }

    /// Returns the largest error relative to the scale: finite, and 0 if all values are exact.
    pub fn relative(&self) -> f64 {
        if self.max == 0.0 { 0.0 } else { (self.max / self.scale).min(f64::MAX) }
    }

    /// Returns true if all values are finite and within a share of the scale.
    pub fn is_within(&self, relative: f64) -> bool {
        self.not_finite == 0 && self.max <= relative * self.scale
    }
}

/// Returns the largest finite value minus the smallest, or the largest magnitude if that is more.
/// Rounding errors grow with either: an offset that all values share is rounded too.
pub(crate) fn scale(values: ArrayViewD<'_, f64>) -> f64 {
    let finite = values.iter().copied().filter(|value| value.is_finite());
    // Starts at 0, so that the result is at least the largest magnitude.
    let (smallest, largest) = finite.fold((0.0_f64, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
    largest - smallest
}

/// Returns the distance between neighbouring 32-bit floats at a value.
fn ulp(value: f64) -> f64 {
    let exponent = value.abs().max(f64::from(f32::MIN_POSITIVE)).log2().floor();
    (exponent - f64::from(f32::MANTISSA_DIGITS - 1)).exp2()
}

/// Returns the value at a rank, 0 for no values.
fn rank(values: &mut [f64], q: f64) -> f64 {
    nearest_rank(values, q).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use ndarray::ArrayD;

    use super::*;

    fn figures(found: &[f32], exact: &[f64]) -> ErrorStats {
        let array = |len| vec![len];
        ErrorStats::compare(
            ArrayD::from_shape_vec(array(found.len()), found.to_vec()).unwrap().view(),
            ArrayD::from_shape_vec(array(exact.len()), exact.to_vec()).unwrap().view(),
        )
    }

    #[test]
    fn errors_are_measured_against_the_scale_and_the_last_place() {
        let step = f64::from(f32::EPSILON);
        let found = figures(&[1.0, -1.0, 0.5, 1.0], &[1.0, -1.0, 0.5 + step, 1.0 - step]);
        assert_eq!((found.elements, found.not_finite, found.scale, found.max), (4, 0, 2.0, step));
        // Below 1 the last place is half of epsilon.
        assert_eq!((found.max_ulp, found.median_ulp), (2.0, 0.0));
        assert!(found.is_within(step / 2.0) && !found.is_within(step / 2.1));
        let thousand: Vec<f32> = (0..2000).map(|i| if i < 3 { 1.0 } else { 0.0 }).collect();
        let found = figures(&thousand, &[0.0; 2000]);
        assert_eq!(
            (found.max, found.p999, found.scale),
            (1.0, 1.0, 0.0),
            "three of two thousand are more than one in a thousand"
        );
        assert!(!found.is_within(1.0), "an error where nothing is expected");
        assert_eq!(figures(&[0.0; 2], &[1e300, 0.0]).rms, 1e300 * 0.5_f64.sqrt(), "squares beyond 64-bit floats");
    }

    #[test]
    fn what_is_not_finite_is_counted_and_never_within() {
        for (name, found, exact) in [
            ("found not a number", f32::NAN, 1.0),
            ("found infinite", f32::INFINITY, 1.0),
            ("exact not a number", 1.0, f64::NAN),
            ("both infinite", f32::INFINITY, f64::INFINITY),
        ] {
            let figures = figures(&[0.0, 1.0, found], &[0.0, 1.0, exact]);
            assert_eq!((figures.not_finite, figures.max, figures.scale), (1, 0.0, 1.0), "{name}");
            assert!(!figures.is_within(f64::INFINITY), "{name}");
        }
    }
}
