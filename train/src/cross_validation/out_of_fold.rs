//! Predictions of every image by the network that has not learned from it, on disk, with their
//! scores.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use image::{GrayImage, Luma};
use ndarray::{ArrayView2, Axis};
use rayon::prelude::*;
use seg_contract::{Class, ConfusionMatrix, EvaluationError, IGNORE_LABEL, Pixels, most_probable};
use seg_data::{
    EncodeError, MaskCoding, MaskError, PngKind, ReadError, Sample, SampleError, WriteError, encode_png, read_image,
    read_mask, write_atomic, write_mask_png,
};
use seg_nets::checkpoint::{Checkpoint, ReadCheckpointError};
use seg_nets::weights::FitError;
use thiserror::Error;

use super::CrossValidation;
use crate::data::split::SplitError;
use crate::evaluate::{EvaluateError, Evaluator};

/// The folder of the predictions, in that of the cross-validation.
pub const FOLDER: &str = "out-of-fold";

/// The thresholds that are tried where there are two classes.
pub const THRESHOLDS: [f32; 19] = {
    let mut thresholds = [0.0; 19];
    let mut index = 0;
    while index < 19 {
        thresholds[index] = (index + 1) as f32 / 20.0;
        index += 1;
    }
    thresholds
};

/// The largest value of a 16-bit map of probabilities, which stands for 1.
const WHITE: f32 = 65_535.0;

/// An image with the prediction of the network that has not learned from it.
#[derive(Clone, Debug)]
pub struct Predicted {
    /// The image with its true mask.
    pub sample: Sample,
    /// The fold in which it validates, counted from 1.
    pub fold: usize,
    /// The pixels by true and by most probable class.
    pub confusion: ConfusionMatrix,
    /// The Dice at each of the [`THRESHOLDS`]; empty unless there are two classes.
    pub at_thresholds: Vec<f64>,
    /// The file of the prediction: the target's probability as 16-bit grey if there are two
    /// classes, else the mask.
    pub file: PathBuf,
}

/// The predictions of all images.
#[derive(Clone, Debug)]
pub struct OutOfFold {
    /// The classes.
    pub classes: Vec<Class>,
    /// The images, fold by fold.
    pub images: Vec<Predicted>,
}

/// An error in predicting images, or in reading predictions.
#[derive(Debug, Error)]
pub enum OutOfFoldError {
    /// The weights of a fold cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] ReadCheckpointError),
    /// The weights of a fold carry no contract.
    #[error("the best weights in `{}` carry no contract; they are not of this run", folder.display())]
    NoContract {
        /// The run.
        folder: PathBuf,
    },
    /// The weights of a fold make no network.
    #[error("cannot make a network of the best weights in `{}`", folder.display())]
    Fit {
        /// The run.
        folder: PathBuf,
        /// The reason.
        source: FitError,
    },
    /// A fold's images are not there any more.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// An image cannot be loaded.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// An image cannot be segmented.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// A mask cannot be compared with the truth.
    #[error("cannot score `{name}`")]
    Score {
        /// The image.
        name: String,
        /// The reason.
        source: EvaluationError,
    },
    /// The folder of the predictions cannot be made.
    #[error("cannot create the folder `{}`", folder.display())]
    Create {
        /// The folder.
        folder: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A map of probabilities cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A mask cannot be written.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// A map of probabilities cannot be read.
    #[error(transparent)]
    Map(#[from] ReadError),
    /// A mask cannot be read.
    #[error(transparent)]
    Mask(#[from] MaskError),
}

impl OutOfFold {
    /// Runs each fold's best weights over the images that it has not learned from, on a device
    /// without autodiff, and keeps the predictions; `observe` hears of each image.
    ///
    /// # Errors
    /// When weights cannot be read, or an image cannot be loaded, segmented or saved.
    pub fn measure(
        series: &CrossValidation,
        device: &Device,
        mut observe: impl FnMut(),
    ) -> Result<Self, OutOfFoldError> {
        let folder = series.folder.join(FOLDER);
        fs::create_dir_all(&folder).map_err(|source| OutOfFoldError::Create { folder: folder.clone(), source })?;
        let (mut classes, mut images) = (Vec::new(), Vec::new());
        for (fold, run) in (1..).zip(&series.runs) {
            let checkpoint = Checkpoint::read(&run.folder)?;
            let no_contract = || OutOfFoldError::NoContract { folder: run.folder.clone() };
            let contract = checkpoint.contract.as_ref().ok_or_else(no_contract)?;
            let fit = |source| OutOfFoldError::Fit { folder: run.folder.clone(), source };
            let net = checkpoint.weights.to_network(device).map_err(fit)?;
            let evaluator = Evaluator { net: &net, contract, device };
            let (_, samples) = run.split.apply(&run.dataset.train)?;
            for sample in samples {
                images.push(predict(&evaluator, sample, fold, &folder)?);
                observe();
            }
            classes.clone_from(&contract.classes);
        }
        Ok(Self { classes, images })
    }

    /// Returns the Dice of each image as the network answers, over the classes without the
    /// background.
    pub fn dice(&self) -> Vec<f64> {
        self.images.iter().map(|image| image.confusion.target_dice()).collect()
    }

    /// Scores changed masks: `change` makes several of each image's mask at a threshold (or of the
    /// most probable classes), and their Dice are returned, image by image.
    ///
    /// # Errors
    /// When a prediction or an image cannot be read.
    pub(super) fn rescore(
        &self,
        threshold: Option<f32>,
        change: impl Fn(&GrayImage) -> Vec<GrayImage> + Sync,
    ) -> Result<Vec<Vec<f64>>, OutOfFoldError> {
        let rescore = |image: &Predicted| {
            let (_, truth) = image.sample.load()?;
            let masks = change(&self.mask(image, threshold)?);
            masks.iter().map(|mask| Ok(score(self.classes.len(), &image.sample, mask, &truth)?.target_dice())).collect()
        };
        self.images.par_iter().map(rescore).collect()
    }

    /// Returns the true mask of each image.
    pub(super) fn truths<T: Send>(&self, see: impl Fn(&GrayImage) -> T + Sync) -> Result<Vec<T>, OutOfFoldError> {
        self.images.par_iter().map(|image| Ok(see(&image.sample.load()?.1))).collect()
    }

    /// Reads the mask of a prediction.
    fn mask(&self, image: &Predicted, threshold: Option<f32>) -> Result<GrayImage, OutOfFoldError> {
        if image.at_thresholds.is_empty() {
            let classes = self.classes.len() as u8;
            return Ok(read_mask(&image.file, &MaskCoding::Index { classes })?);
        }
        let map = read_image(&image.file)?;
        // Values are rounded to a step of the map, so that those on the threshold may lie below.
        let least = threshold.map_or(0.5, |threshold| threshold - 0.5 / WHITE);
        Ok(GrayImage::from_fn(map.width(), map.height(), |x, y| Luma([u8::from(map.get_pixel(x, y)[0] >= least)])))
    }
}

/// Predicts an image and keeps the prediction in a folder.
fn predict(evaluator: &Evaluator<'_>, sample: Sample, fold: usize, folder: &Path) -> Result<Predicted, OutOfFoldError> {
    let (image, truth, spacing) = sample.load_sized()?;
    let probabilities = evaluator.probabilities(&sample.name, Pixels::from(&image).with_spacing(spacing))?;
    let mask = most_probable(probabilities.view());
    let classes = &evaluator.contract.classes;
    let confusion = score(classes.len(), &sample, &mask, &truth)?;
    let file = folder.join(format!("{}.png", sample.name));
    let at_thresholds = if classes.len() == 2 {
        let target = probabilities.index_axis(Axis(0), 1);
        write_map(&file, target)?;
        dice_at_thresholds(target, &truth)
    } else {
        let palette: Vec<_> = classes.iter().map(|class| class.color).collect();
        write_mask_png(&file, &mask, &palette)?;
        Vec::new()
    };
    Ok(Predicted { sample, fold, confusion, at_thresholds, file })
}

fn score(
    classes: usize,
    sample: &Sample,
    mask: &GrayImage,
    truth: &GrayImage,
) -> Result<ConfusionMatrix, OutOfFoldError> {
    let mut confusion = ConfusionMatrix::new(classes);
    let name = || sample.name.clone();
    confusion.add(mask, truth).map_err(|source| OutOfFoldError::Score { name: name(), source })?;
    Ok(confusion)
}

/// Computes the Dice of the target at each of the [`THRESHOLDS`]; 1 where it neither occurs nor is
/// predicted.
fn dice_at_thresholds(target: ArrayView2<'_, f32>, truth: &GrayImage) -> Vec<f64> {
    // The pixels of the background and of the target by the number of thresholds that they reach.
    let mut reached = [[0_u64; 2]; THRESHOLDS.len() + 1];
    for (probability, label) in target.iter().zip(truth.iter()).filter(|(_, label)| **label != IGNORE_LABEL) {
        let count = THRESHOLDS.partition_point(|threshold| probability >= threshold);
        reached[count][usize::from(*label)] += 1;
    }
    let truth: u64 = reached.iter().map(|pixels| pixels[1]).sum();
    let dice = |first: usize| {
        let [extra, hit] = reached[first..].iter().fold([0; 2], |sum, pixels| [sum[0] + pixels[0], sum[1] + pixels[1]]);
        let size = extra + hit + truth;
        if size == 0 { 1.0 } else { 2.0 * hit as f64 / size as f64 }
    };
    (1..=THRESHOLDS.len()).map(dice).collect()
}

/// Writes probabilities as 16-bit grey, 65535 for 1, as `infer --save probabilities` does.
fn write_map(path: &Path, target: ArrayView2<'_, f32>) -> Result<(), WriteError> {
    let (height, width) = target.dim();
    write_atomic(path, |out| {
        encode_png(out, PngKind::Gray16, (width as u32, height as u32), &mut |rows| {
            let rows = target.slice(ndarray::s![rows.start as usize..rows.end as usize, ..]);
            let bytes = rows.iter().flat_map(|probability| ((probability * WHITE).round() as u16).to_be_bytes());
            Ok(bytes.collect::<Vec<_>>().into())
        })
    })
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use seg_contract::Reading;

    use super::*;

    #[test]
    fn the_dice_at_a_threshold_counts_what_is_at_least_as_probable() {
        let target = array![[0.0_f32, 0.05, 0.35, 0.5, 0.95, 1.0]];
        let truth = GrayImage::from_raw(6, 1, vec![0, 1, 0, 1, 1, IGNORE_LABEL]).unwrap();
        let found = dice_at_thresholds(target.view(), &truth);
        for (threshold, hits, predicted) in [(0.05, 3, 4), (0.35, 2, 3), (0.4, 2, 2), (0.5, 2, 2), (0.95, 1, 1)] {
            let index = THRESHOLDS.iter().position(|known| *known == threshold).unwrap();
            let expected = 2.0 * f64::from(hits) / f64::from(predicted + 3);
            assert!((found[index] - expected).abs() < 1e-12, "{threshold}: {} {expected}", found[index]);
        }
        let nothing = GrayImage::new(6, 1);
        assert_eq!(dice_at_thresholds(array![[0.0_f32; 6]].view(), &nothing), vec![1.0; THRESHOLDS.len()]);
    }

    #[test]
    fn a_kept_prediction_gives_the_masks_of_its_probabilities() {
        let folder = tempfile::tempdir().unwrap();
        let target = array![[0.0_f32, 0.05, 0.349_9], [0.35, 0.500_1, 1.0]];
        let file = folder.path().join("a.png");
        write_map(&file, target.view()).unwrap();
        let sample = Sample {
            name: "a".into(),
            image: "a".into(),
            mask: "a".into(),
            coding: MaskCoding::Binary,
            field_of_view: None,
            reading: Reading::default(),
        };
        let at_thresholds = vec![0.0; THRESHOLDS.len()];
        let image = Predicted { sample, fold: 1, confusion: ConfusionMatrix::new(2), at_thresholds, file };
        let predictions = OutOfFold { classes: vec![Class::new("a", 0), Class::new("b", 1)], images: Vec::new() };
        let mask = |threshold| predictions.mask(&image, threshold).unwrap().into_raw();
        assert_eq!(mask(None), [0, 0, 0, 0, 1, 1]);
        assert_eq!(mask(Some(0.35)), [0, 0, 0, 1, 1, 1]);
        assert_eq!(mask(Some(0.05)), [0, 1, 1, 1, 1, 1]);
    }
}
