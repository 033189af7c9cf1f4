//! From what the network is given to what its answer means, apart from the network itself.

use std::time::Instant;

use image::GrayImage;
use ndarray::{Array2, Array3, ArrayView3, Axis, s};
use seg_contract::{
    Contract, Geometry, OutputKind, Pixels, Placement, PreprocessError, Preprocessed, most_probable, softmax,
};

use super::segmenter::SegmentError;
use super::settings::{Settings, Uncertainty};
use super::tiles::Tiling;
use crate::provider::Shapes;

/// What a contract and settings make of images and answers; it knows no network, so that each stage can have its own.
#[derive(Clone, Debug)]
pub struct SegmentSteps {
    /// The contract of the model.
    pub contract: Contract,
    /// The settings of the run.
    pub settings: Settings,
    /// What TensorRT's engines take, where there are any.
    pub engines: Vec<Shapes>,
}

/// What the network says of one image, at the network's size.
#[derive(Clone, Debug)]
pub enum RawOutput {
    /// One network's own scores of one view, whatever its contract says they are.
    Scores(Array3<f32>),
    /// One network's own mask.
    Mask(Array2<u8>),
    /// Probabilities, averaged over views and models, and their variance as one more plane where it was asked for.
    Probabilities(Array3<f32>),
}

/// What is known of some rows of an image.
pub struct Prediction {
    /// The index of each pixel's class.
    pub mask: GrayImage,
    /// `[classes, height, width]`.
    pub probabilities: Option<Array3<f32>>,
    /// `[height, width]`.
    pub uncertainty: Option<Array2<f32>>,
}

impl SegmentSteps {
    /// The network's input for an image that is not cut.
    pub fn prepare(&self, image: Pixels<'_>) -> Result<Preprocessed, PreprocessError> {
        self.contract.preprocess(image)
    }

    /// How an image of the given height and width is cut, if it is.
    pub fn tiling(&self, image: [usize; 2]) -> Option<Tiling> {
        self.settings.tiling(&self.contract, &self.engines, image)
    }

    /// How many maps of `f32` are asked for besides the mask.
    pub fn maps(&self) -> usize {
        let Settings { probabilities, uncertainty, .. } = &self.settings;
        self.contract.classes.len() * usize::from(*probabilities) + usize::from(uncertainty.is_some())
    }

    /// Whether more is asked for than which class is the most probable one.
    fn wants_probabilities(&self) -> bool {
        let Settings { threshold, probabilities, uncertainty, .. } = &self.settings;
        threshold.is_some() || *probabilities || uncertainty.is_some()
    }

    /// The probabilities of one network's scores at its own size.
    pub fn probabilities(&self, scores: ArrayView3<'_, f32>) -> Array3<f32> {
        match self.contract.output.kind {
            OutputKind::Probabilities => scores.to_owned(),
            OutputKind::Logits | OutputKind::Mask => softmax(scores),
        }
    }

    /// What an answer means for the image.
    pub fn interpret(&self, reply: RawOutput, geometry: &Geometry) -> Result<Prediction, SegmentError> {
        match reply {
            RawOutput::Mask(mask) => {
                let mask = self.contract.postprocess_mask(mask.view(), geometry)?;
                Ok(Prediction { mask, probabilities: None, uncertainty: None })
            }
            RawOutput::Scores(scores) if !self.wants_probabilities() => {
                let mask = self.contract.postprocess(scores.view(), geometry)?;
                Ok(Prediction { mask, probabilities: None, uncertainty: None })
            }
            RawOutput::Scores(scores) => {
                let mut known = self.decide(self.contract.probabilities(scores.view(), geometry)?);
                if self.settings.threshold.is_none() && geometry.placement == Placement::Extended {
                    // Two scores that differ may have equal probabilities: the mask must not depend on what is saved.
                    known.mask = self.contract.postprocess(scores.view(), geometry)?;
                }
                Ok(known)
            }
            RawOutput::Probabilities(planes) => Ok(self.decide(geometry.restore(planes.view()))),
        }
    }

    /// What probabilities mean, with their variance as one more plane where it was asked for.
    pub fn decide(&self, planes: Array3<f32>) -> Prediction {
        let classes = self.contract.classes.len();
        let probabilities = planes.slice(s![..classes, .., ..]);
        let mask = match self.settings.threshold {
            None => most_probable(probabilities),
            Some(threshold) => at_least(probabilities, threshold),
        };
        let uncertainty = self.settings.uncertainty.map(|kind| match kind {
            Uncertainty::Entropy => entropy(probabilities),
            Uncertainty::Variance => planes.index_axis(Axis(0), classes).to_owned(),
        });
        let probabilities = self.settings.probabilities.then(|| probabilities.to_owned());
        Prediction { mask, probabilities, uncertainty }
    }

    /// Cleans a whole mask.
    pub fn clean(&self, mask: &mut GrayImage) {
        for (class, label) in self.contract.classes.iter().zip(0..=u8::MAX) {
            if let Some(cleanup) = self.settings.cleanup.get(&class.name) {
                cleanup.apply(mask, label);
            }
        }
    }
}

/// Class 1 where its probability is at least the threshold.
fn at_least(probabilities: ArrayView3<'_, f32>, threshold: f32) -> GrayImage {
    let (_, height, width) = probabilities.dim();
    let labels = probabilities.index_axis(Axis(0), 1).iter().map(|value| u8::from(*value >= threshold)).collect();
    GrayImage::from_raw(width as u32, height as u32, labels).expect("there is one label per pixel")
}

/// `-sum p ln p / ln classes` at each pixel.
fn entropy(probabilities: ArrayView3<'_, f32>) -> Array2<f32> {
    let (classes, height, width) = probabilities.dim();
    let mut entropy = Array2::zeros((height, width));
    for plane in probabilities.outer_iter() {
        entropy.zip_mut_with(&plane, |sum: &mut f32, value| {
            if *value > 0.0 {
                *sum -= value * value.ln();
            }
        });
    }
    entropy /= (classes as f32).ln();
    entropy
}

/// A duration since a moment, in milliseconds, to the microsecond.
pub fn milliseconds_since(start: Instant) -> f64 {
    start.elapsed().as_micros() as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn thresholds_and_entropy_follow_their_definitions() {
        let probabilities = array![[[0.5_f32, 1.0, 0.7, 0.25]], [[0.5, 0.0, 0.3, 0.75]]];
        assert_eq!(at_least(probabilities.view(), 0.3).into_raw(), [1, 0, 1, 1]);
        assert_eq!(at_least(probabilities.view(), 0.5).into_raw(), [1, 0, 0, 1]);
        let found = entropy(probabilities.view());
        for (found, expected) in found.iter().zip([1.0, 0.0, 0.881_290_9, 0.811_278_1]) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }
}
