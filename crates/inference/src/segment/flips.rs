//! The views of an image over which a prediction is averaged.

use ndarray::{Array3, ArrayView3, s};
use serde::{Deserialize, Serialize};

/// The views of an image over which a prediction is averaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Views {
    /// The image as it is.
    #[default]
    None,
    /// The image, mirrored left to right, upside down, and both.
    Flips,
}

impl Views {
    pub(crate) fn all(self) -> &'static [Flip] {
        const PLAIN: Flip = Flip { horizontal: false, vertical: false };
        const FLIPS: [Flip; 4] = [
            PLAIN,
            Flip { horizontal: true, vertical: false },
            Flip { horizontal: false, vertical: true },
            Flip { horizontal: true, vertical: true },
        ];
        match self {
            Self::None => &FLIPS[..1],
            Self::Flips => &FLIPS,
        }
    }
}

/// The axes along which an image is mirrored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flip {
    horizontal: bool,
    vertical: bool,
}

impl Flip {
    /// Mirrors `[planes, height, width]`; a second time restores it.
    pub(crate) fn apply<'a>(self, planes: ArrayView3<'a, f32>) -> ArrayView3<'a, f32> {
        let step = |is_flipped: bool| if is_flipped { -1 } else { 1 };
        planes.slice_move(s![.., ..;step(self.vertical), ..;step(self.horizontal)])
    }
}

/// The mean of predictions, and their distance from it.
#[derive(Debug, Default)]
pub(crate) struct Average {
    count: usize,
    mean: Array3<f32>,
    /// The sum of squared distances from the mean.
    spread: Option<Array3<f32>>,
}

impl Average {
    pub(crate) fn new(with_variance: bool) -> Self {
        Self { spread: with_variance.then(|| Array3::zeros((0, 0, 0))), ..Self::default() }
    }

    /// Adds a prediction, by Welford's recurrence: equal predictions have themselves as their mean,
    /// exactly.
    pub(crate) fn add(&mut self, prediction: ArrayView3<'_, f32>) {
        self.count += 1;
        if self.count == 1 {
            self.mean = prediction.to_owned();
            self.spread = self.spread.take().map(|_| Array3::zeros(prediction.dim()));
            return;
        }
        let count = self.count as f32;
        match &mut self.spread {
            None => self.mean.zip_mut_with(&prediction, |mean, value| *mean += (value - *mean) / count),
            Some(spread) => {
                ndarray::Zip::from(&mut self.mean).and(spread).and(&prediction).for_each(|mean, spread, value| {
                    let before = value - *mean;
                    *mean += before / count;
                    *spread += before * (value - *mean);
                });
            }
        }
    }

    /// Returns the mean, followed by one plane with the variance if it was asked for: its mean over
    /// the planes.
    pub(crate) fn finish(self) -> Array3<f32> {
        let Some(spread) = self.spread else { return self.mean };
        let (planes, height, width) = self.mean.dim();
        let variance = spread.sum_axis(ndarray::Axis(0)) / (self.count * planes) as f32;
        let mut all = Array3::zeros((planes + 1, height, width));
        all.slice_mut(s![..planes, .., ..]).assign(&self.mean);
        all.slice_mut(s![planes, .., ..]).assign(&variance);
        all
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn flips_are_four_and_their_own_inverse() {
        let image = array![[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]];
        let mut seen = Vec::new();
        for flip in Views::Flips.all() {
            let flipped = flip.apply(image.view()).to_owned();
            assert_eq!(flip.apply(flipped.view()), image, "{flip:?}");
            assert!(!seen.contains(&flipped), "{flip:?}");
            seen.push(flipped);
        }
        assert_eq!(seen[3], array![[[6.0, 5.0, 4.0], [3.0, 2.0, 1.0]]]);
        assert_eq!(Views::None.all().len(), 1);
    }

    #[test]
    fn mean_and_variance_follow_their_definitions() {
        let predictions = [array![[[0.1_f32]], [[0.9]]], array![[[0.4]], [[0.6]]], array![[[0.7]], [[0.3]]]];
        let mut average = Average::new(true);
        predictions.iter().for_each(|prediction| average.add(prediction.view()));
        let found = average.finish();
        for (plane, expected) in [0.4, 0.6, 0.06].into_iter().enumerate() {
            assert!((found[[plane, 0, 0]] - expected).abs() < 1e-6, "{found}");
        }
        let mut average = Average::new(false);
        (0..7).for_each(|_| average.add(predictions[0].view()));
        assert_eq!(average.finish(), predictions[0]);
    }
}
