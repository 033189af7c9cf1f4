//! The results of the best weights on the validation part, image by image.

use burn::tensor::Device;
use seg_contract::{ConfusionMatrix, Contract, LearnedFrom, Pixels, Scores};
use seg_data::{OverlayError, Sample, SampleError, image_digests};
use seg_nets::checkpoint::{Checkpoint, ReadCheckpointError};
use seg_nets::weights::FitError;
use seg_report::{Exhibit, Rated};
use thiserror::Error;

use crate::data::split::SplitError;
use crate::evaluate::{EvaluateError, Evaluator};
use crate::run::Run;
use crate::run::record::EpochRecord;
use crate::view::verdict::{Evidence, Sentence};

/// The number of the best images that are shown, and of the worst.
const EXHIBITS: usize = 3;

/// The results of the best weights on the validation part.
#[derive(Clone, Debug)]
pub struct Findings {
    /// The contract of the weights.
    pub contract: Contract,
    /// The metrics.
    pub scores: Scores,
    /// The pixels that they were counted from, over all images.
    pub confusion: ConfusionMatrix,
    /// Every image with its Dice, in the validation part's order.
    pub images: Vec<Rated>,
    /// The worst images, the worst first.
    pub worst: Vec<Exhibit>,
    /// The best images, the best first.
    pub best: Vec<Exhibit>,
    /// The warnings about the masks.
    pub warnings: Vec<String>,
    /// The validation images that the network has learned from, also before this run.
    pub learned: usize,
}

/// An error in reporting on a run.
#[derive(Debug, Error)]
pub enum ReportError {
    /// The best weights cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] ReadCheckpointError),
    /// The best weights carry no contract.
    #[error("cannot report on the run: its best weights carry no contract; they are not of this run")]
    NoContract,
    /// The best weights make no network.
    #[error("cannot report on the run with its best weights")]
    Fit(#[from] FitError),
    /// The validation part is not there any more.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// An image cannot be evaluated.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// An image cannot be loaded.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// An image cannot be drawn.
    #[error("cannot draw the masks of `{name}`")]
    Overlay {
        /// The sample.
        name: String,
        /// The cause.
        source: OverlayError,
    },
}

impl Findings {
    /// Runs the best weights of a run over its validation part on a device without autodiff;
    /// `observe` hears of each image done.
    ///
    /// # Errors
    /// When there are no best weights, or an image cannot be loaded, segmented or drawn.
    pub fn measure(run: &Run, device: &Device, mut observe: impl FnMut()) -> Result<Self, ReportError> {
        let checkpoint = Checkpoint::read(&run.folder)?;
        let contract = checkpoint.contract.ok_or(ReportError::NoContract)?;
        let net = checkpoint.weights.to_network(device)?;
        let evaluator = Evaluator { net: &net, contract: &contract, device };
        let (_, samples) = run.split.apply(&run.dataset.train)?;
        let evaluation = evaluator.run(&samples, |_, _| observe())?;

        let pairs = samples.iter().zip(evaluation.per_image());
        let images: Vec<_> =
            pairs.map(|(sample, matrix)| Rated { name: sample.name.clone(), dice: matrix.target_dice() }).collect();
        let exhibit = |index: &usize| exhibit(&evaluator, &samples[*index], images[*index].dice);
        let (worst, best) = picks(&images);
        let worst = worst.iter().map(exhibit).collect::<Result<_, _>>()?;
        let best = best.iter().map(exhibit).collect::<Result<_, _>>()?;
        let learned = match LearnedFrom::read(&contract.provenance) {
            Some(learned) => {
                let digests = image_digests(&samples).map_err(SampleError::from)?;
                digests.iter().filter(|digest| learned.training.contains(*digest)).count()
            }
            None => 0,
        };
        let warnings = run.quick_check()?.into_iter().map(|finding| finding.message).collect();
        let (scores, confusion) = (evaluation.scores(&contract.classes), evaluation.pooled().clone());
        Ok(Self { scores, confusion, images, worst, best, contract, warnings, learned })
    }

    /// Returns the verdict on the run, whose log is given.
    pub fn verdict(&self, log: &[EpochRecord]) -> Vec<Sentence> {
        let Self { contract, confusion, scores, learned, .. } = self;
        let evidence =
            Evidence { log, classes: &contract.classes, confusion, images: scores.images, learned: *learned };
        evidence.verdict()
    }
}

/// Returns the indices of the worst images, the worst first, and of the best, the best first; no
/// image is among both.
fn picks(images: &[Rated]) -> (Vec<usize>, Vec<usize>) {
    let mut order: Vec<usize> = (0..images.len()).collect();
    // The sort is stable, so equal scores keep the order of the names.
    order.sort_by(|a, b| images[*a].dice.total_cmp(&images[*b].dice));
    let worst = EXHIBITS.min(images.len() / 2);
    let best = EXHIBITS.min(images.len() - worst);
    (order[..worst].to_vec(), order[images.len() - best..].iter().rev().copied().collect())
}

/// Segments an image again and draws it: keeping all masks of a pass would need the memory of them
/// all.
fn exhibit(evaluator: &Evaluator<'_>, sample: &Sample, dice: f64) -> Result<Exhibit, ReportError> {
    let (image, truth, spacing) = sample.load_sized()?;
    let prediction = evaluator.segment(&sample.name, Pixels::from(&image).with_spacing(spacing))?;
    let words = (sample.name.clone(), format!("Dice {dice:.4}"));
    Exhibit::draw(words, &image, &truth, &prediction, &evaluator.contract.classes)
        .map_err(|source| ReportError::Overlay { name: sample.name.clone(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picks_are_the_extremes_and_no_image_is_shown_twice() {
        for (name, dice, worst, best) in [
            ("one image", vec![0.5], vec![], vec![0]),
            ("two", vec![0.5, 0.4], vec![1], vec![0]),
            ("five", vec![0.1, 0.5, 0.3, 0.2, 0.4], vec![0, 3], vec![1, 4, 2]),
            ("many", vec![0.1, 0.9, 0.3, 0.2, 0.4, 0.8, 0.7], vec![0, 3, 2], vec![1, 5, 6]),
            ("all alike", vec![0.5; 4], vec![0, 1], vec![3, 2]),
        ] {
            let images: Vec<_> = dice.iter().map(|dice| Rated { name: String::new(), dice: *dice }).collect();
            assert_eq!(picks(&images), (worst, best), "{name}");
        }
    }
}
