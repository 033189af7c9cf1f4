//! Comparison of a mask with the exact one: pixels of another class, those that rounding explains,
//! and the overlap of each class.

use ndarray::{Array3, Array4, ArrayView3, ArrayView4, Axis};
use serde::{Deserialize, Serialize};

/// The differences between the mask of an exported model and the exact one. All numbers are finite.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MaskReport {
    /// The number of pixels; 0 if the model gave no mask of the input's size.
    pub pixels: usize,
    /// The number of pixels whose class differs from the exact mask's.
    pub flipped: usize,
    /// The widest exact margin that rounding explains. A pixel may flip if the exact logits of the
    /// two classes are as close as that.
    pub margin: f64,
    /// The number of flipped pixels whose margin is too wide for rounding.
    pub unexplained: usize,
    /// The widest exact margin of a flipped pixel; 0 if there is none.
    pub widest: f64,
    /// The number of pixels whose margin is so narrow that rounding could flip them, flipped or
    /// not.
    pub could_flip: usize,
    /// The number of pixels whose class differs from the training framework's mask, if that is
    /// known.
    pub differing_from_trained: Option<usize>,
    /// The overlap of each class, in the contract's order.
    pub classes: Vec<Overlap>,
}

/// The pixels of a class in two masks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Overlap {
    /// Pixels of the class in the exact mask.
    pub exact: usize,
    /// Pixels of the class in the exported model's mask.
    pub exported: usize,
    /// Pixels of the class in both.
    pub both: usize,
}

impl Overlap {
    /// Adds the pixels of other masks.
    pub fn and(self, other: Self) -> Self {
        let [exact, exported, both] =
            [(self.exact, other.exact), (self.exported, other.exported), (self.both, other.both)]
                .map(|(one, other)| one.saturating_add(other));
        Self { exact, exported, both }
    }

    /// Returns twice the pixels in both, divided by the sum of those in each: 1 for equal masks, 0
    /// if the class is lost or invented, `None` if it is in neither.
    pub fn dice(self) -> Option<f64> {
        let each = self.exact.saturating_add(self.exported);
        (each > 0).then(|| 2.0 * self.both as f64 / each as f64)
    }
}

impl MaskReport {
    /// Compares a mask `[n, h, w]` with the exact logits `[n, classes, h, w]`. A flip is explained
    /// if the exact logits of the two classes are at most `margin` apart.
    pub fn compare(found: ArrayView3<'_, u8>, exact: ArrayView4<'_, f64>, margin: f64) -> Self {
        let mut report = Self {
            pixels: found.len(),
            margin: margin.min(f64::MAX),
            classes: vec![Overlap::default(); exact.len_of(Axis(1))],
            ..Self::default()
        };
        for (logits, &class) in exact.lanes(Axis(1)).into_iter().zip(found) {
            let best = largest(logits.iter().copied());
            let behind = |class: usize| logits.get(class).map_or(f64::INFINITY, |logit| logits[best] - logit);
            let next = (0..logits.len()).filter(|class| *class != best).map(behind).fold(f64::INFINITY, f64::min);
            // A margin that is not a number could flip, and nothing explains it.
            report.could_flip += usize::from(next.is_nan() || next <= margin);
            let is_same = usize::from(class) == best;
            if let Some(overlap) = report.classes.get_mut(best) {
                overlap.exact += 1;
                overlap.both += usize::from(is_same);
            }
            // A label may exceed the classes.
            if let Some(overlap) = report.classes.get_mut(usize::from(class)) {
                overlap.exported += 1;
            }
            if !is_same {
                let crossed = behind(class.into());
                report.flipped += 1;
                report.unexplained += usize::from(crossed.is_nan() || crossed > margin);
                report.widest = report.widest.max(crossed.min(f64::MAX));
            }
        }
        report
    }

    /// Returns the share of pixels that have the exact mask's class.
    pub fn identity(&self) -> f64 {
        1.0 - self.flipped as f64 / self.pixels.max(1) as f64
    }
}

/// Computes the softmax over the classes of logits `[n, classes, h, w]`, shifted by the largest
/// logit so that it cannot overflow.
pub fn probabilities(logits: ArrayView4<'_, f64>) -> Array4<f64> {
    let mut probabilities = logits.to_owned();
    for mut pixel in probabilities.lanes_mut(Axis(1)) {
        let largest = pixel.fold(f64::NEG_INFINITY, |largest, logit| largest.max(*logit));
        pixel.mapv_inplace(|logit| (logit - largest).exp());
        let sum = pixel.sum();
        pixel.mapv_inplace(|exponential| exponential / sum);
    }
    probabilities
}

/// Returns the class of each pixel, `[n, h, w]`, of logits `[n, classes, h, w]`: the largest logit,
/// the lowest class on a tie.
pub fn classes<T: Copy + PartialOrd>(logits: ArrayView4<'_, T>) -> Array3<u8> {
    logits.map_axis(Axis(1), |logits| largest(logits.iter().copied()) as u8)
}

fn largest<T: Copy + PartialOrd>(logits: impl Iterator<Item = T>) -> usize {
    let mut best: Option<(usize, T)> = None;
    for (class, logit) in logits.enumerate() {
        if best.is_none_or(|(_, largest)| logit > largest) {
            best = Some((class, logit));
        }
    }
    best.map_or(0, |(class, _)| class)
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn narrow_flips_are_explained_and_wide_ones_are_not() {
        // Four pixels of three classes: margins 0.1, 0.001, 0.001 and 5.
        let exact =
            Array4::from_shape_vec((1, 3, 1, 4), vec![1.1, 2.0, 0.0, 5.0, 1.0, 2.001, 0.0, 0.0, 0.0, 0.0, 0.001, 0.0])
                .unwrap();
        assert_eq!(classes(exact.view()), array![[[0, 1, 2, 0]]]);
        for (name, mask, expected) in [
            ("the same", [0, 1, 2, 0], (0, 0, 0.0)),
            ("narrow", [0, 0, 2, 0], (1, 0, 0.001)),
            ("to a class that was far off", [0, 2, 2, 0], (1, 1, 2.001)),
            ("wide", [1, 1, 2, 0], (1, 1, 0.1)),
            ("two", [1, 0, 2, 0], (2, 1, 0.1)),
        ] {
            let mask = Array3::from_shape_vec((1, 1, 4), mask.to_vec()).unwrap();
            let report = MaskReport::compare(mask.view(), exact.view(), 0.002);
            assert_eq!((report.pixels, report.could_flip), (4, 2), "{name}");
            assert_eq!((report.flipped, report.unexplained), (expected.0, expected.1), "{name}");
            assert!((report.widest - expected.2).abs() < 1e-12, "{name}: {}", report.widest);
        }
    }

    #[test]
    fn every_class_has_its_pixels_and_a_label_that_is_none_has_no_place() {
        // The classes 0, 1, 1 and 2.
        let exact = Array4::from_shape_fn((1, 3, 1, 4), |(_, class, _, x)| f64::from([0, 1, 1, 2][x] == class as u8));
        let overlap = |exact, exported, both| Overlap { exact, exported, both };
        for (name, mask, expected, widest) in [
            ("the same", [0, 1, 1, 2], [overlap(1, 1, 1), overlap(2, 2, 2), overlap(1, 1, 1)], 0.0),
            ("one lost", [0, 1, 1, 0], [overlap(1, 2, 1), overlap(2, 2, 2), overlap(1, 0, 0)], 1.0),
            ("no class", [0, 1, 7, 2], [overlap(1, 1, 1), overlap(2, 1, 1), overlap(1, 1, 1)], f64::MAX),
        ] {
            let mask = Array3::from_shape_vec((1, 1, 4), mask.to_vec()).unwrap();
            let report = MaskReport::compare(mask.view(), exact.view(), 0.5);
            assert_eq!((report.classes.as_slice(), report.widest), (&expected[..], widest), "{name}");
        }
        let dice = [overlap(4, 2, 2), overlap(3, 0, 0), overlap(0, 5, 0), overlap(0, 0, 0)].map(Overlap::dice);
        assert_eq!(dice, [Some(4.0 / 6.0), Some(0.0), Some(0.0), None]);
    }

    #[test]
    fn ties_go_to_the_lowest_class() {
        let logits = Array4::from_shape_vec((1, 2, 1, 2), vec![1.0_f32, 0.0, 1.0, -0.0]).unwrap();
        assert_eq!(classes(logits.view()), array![[[0, 0]]]);
    }
}
