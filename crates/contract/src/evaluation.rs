//! Metrics from a confusion matrix, by which training validates and a deployment is evaluated.

use std::collections::BTreeMap;

use image::GrayImage;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Class, IGNORE_LABEL};

/// Counts of pixels by true and predicted class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfusionMatrix {
    /// `counts[truth][prediction]`, in pixels.
    counts: Vec<Vec<u64>>,
}

/// An error in counting a mask.
#[derive(Debug, Error)]
pub enum EvaluationError {
    /// Prediction and truth differ in size.
    #[error("the predicted mask is {}x{}, the true one {}x{}", predicted.0, predicted.1, truth.0, truth.1)]
    Size {
        /// Width and height of the prediction.
        predicted: (u32, u32),
        /// Width and height of the truth.
        truth: (u32, u32),
    },
    /// A label exceeds the classes of the model.
    #[error("label {label} is not one of the {classes} classes (0 to {}) and not {IGNORE_LABEL} (ignored)", classes - 1)]
    Label {
        /// The label found.
        label: u8,
        /// The number of classes.
        classes: usize,
    },
}

impl ConfusionMatrix {
    /// Creates an empty matrix.
    pub fn new(classes: usize) -> Self {
        Self { counts: vec![vec![0; classes]; classes] }
    }

    /// Returns the number of classes.
    pub fn classes(&self) -> usize {
        self.counts.len()
    }

    /// Counts the pixels of one image; pixels whose true label is [`IGNORE_LABEL`] are left out.
    ///
    /// # Errors
    /// When the sizes differ or a label exceeds the classes.
    pub fn add(&mut self, predicted: &GrayImage, truth: &GrayImage) -> Result<(), EvaluationError> {
        if predicted.dimensions() != truth.dimensions() {
            return Err(EvaluationError::Size { predicted: predicted.dimensions(), truth: truth.dimensions() });
        }
        let classes = self.counts.len();
        for (&predicted, &truth) in predicted.as_raw().iter().zip(truth.as_raw()) {
            if truth == IGNORE_LABEL {
                continue;
            }
            let label = if usize::from(truth) < classes { predicted } else { truth };
            match self.counts.get_mut(usize::from(truth)).and_then(|row| row.get_mut(usize::from(predicted))) {
                Some(count) => *count += 1,
                None => return Err(EvaluationError::Label { label, classes }),
            }
        }
        Ok(())
    }

    /// Adds the counts of another matrix with the same number of classes.
    pub fn merge(&mut self, other: &Self) {
        for (row, other) in self.counts.iter_mut().zip(&other.counts) {
            for (count, other) in row.iter_mut().zip(other) {
                *count += other;
            }
        }
    }

    /// Returns `counts[truth][prediction]`, in pixels.
    pub fn counts(&self) -> &[Vec<u64>] {
        &self.counts
    }

    /// Returns the true positives, false positives and false negatives of a class, in pixels.
    fn outcomes(&self, class: usize) -> (u64, u64, u64) {
        let hit = self.counts[class][class];
        let predicted: u64 = self.counts.iter().map(|row| row[class]).sum();
        let truth: u64 = self.counts[class].iter().sum();
        (hit, predicted - hit, truth - hit)
    }

    /// Returns `2 tp / (2 tp + fp + fn)`; 1 if the class is in neither mask.
    pub fn dice(&self, class: usize) -> f64 {
        let (hit, extra, missed) = self.outcomes(class);
        ratio(2 * hit, 2 * hit + extra + missed)
    }

    /// Returns `tp / (tp + fp + fn)`; 1 if the class is in neither mask.
    pub fn iou(&self, class: usize) -> f64 {
        let (hit, extra, missed) = self.outcomes(class);
        ratio(hit, hit + extra + missed)
    }

    /// Returns `tp / (tp + fp)`, the share of the class's predicted pixels that are right; `None`
    /// if none was predicted.
    pub fn precision(&self, class: usize) -> Option<f64> {
        let (hit, extra, _) = self.outcomes(class);
        (hit + extra > 0).then(|| ratio(hit, hit + extra))
    }

    /// Returns `tp / (tp + fn)`, the share of the class's true pixels that were found; `None` if
    /// there are none.
    pub fn recall(&self, class: usize) -> Option<f64> {
        let (hit, _, missed) = self.outcomes(class);
        (hit + missed > 0).then(|| ratio(hit, hit + missed))
    }

    /// Returns `tn / (tn + fp)`, the share of the other classes' true pixels that were not
    /// predicted as this one; `None` if there are none.
    pub fn specificity(&self, class: usize) -> Option<f64> {
        let (hit, extra, missed) = self.outcomes(class);
        let others = self.counts.iter().flatten().sum::<u64>() - hit - missed;
        (others > 0).then(|| ratio(others - extra, others))
    }

    /// Returns a metric of each class, by the names of `classes`.
    fn by_name(&self, classes: &[Class], metric: fn(&Self, usize) -> f64) -> BTreeMap<String, f64> {
        classes.iter().enumerate().map(|(index, class)| (class.name.clone(), metric(self, index))).collect()
    }

    /// Returns the mean of [`iou`](Self::iou) over all classes, including the background.
    pub fn mean_iou(&self) -> f64 {
        (0..self.counts.len()).map(|class| self.iou(class)).sum::<f64>() / self.counts.len() as f64
    }

    /// Returns the mean Dice over the classes without the background.
    pub fn target_dice(&self) -> f64 {
        let targets = self.counts.len() - 1;
        (1..=targets).map(|class| self.dice(class)).sum::<f64>() / targets as f64
    }

    /// Returns the share of pixels whose class was found.
    pub fn accuracy(&self) -> f64 {
        let hits = (0..self.counts.len()).map(|class| self.counts[class][class]).sum();
        ratio(hits, self.counts.iter().flatten().sum())
    }
}

/// Divides a part by the whole; 0 of 0 is 1.
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

/// The metrics over a set of images, added image by image.
#[derive(Clone, Debug)]
pub struct Evaluation {
    pooled: ConfusionMatrix,
    per_image: Vec<ConfusionMatrix>,
}

/// The metrics of an [`Evaluation`], each named with its definition.
///
/// *Pooled* metrics come from one confusion matrix summed over all images, *per image* ones are the
/// mean of each image's own value. Pixels labelled [`IGNORE_LABEL`], such as those outside a field
/// of view, are not counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Scores {
    /// The number of images.
    pub images: usize,
    /// Per-image Dice of the target: the mean over images of the mean Dice over the classes without
    /// the background.
    pub dice_per_image: f64,
    /// Pooled Dice by class name.
    pub dice_pooled: BTreeMap<String, f64>,
    /// Pooled IoU by class name.
    pub iou_pooled: BTreeMap<String, f64>,
    /// Mean of the pooled IoU over all classes, including the background.
    pub mean_iou_pooled: f64,
    /// Pooled share of pixels whose class was found.
    pub accuracy_pooled: f64,
}

impl Evaluation {
    /// Creates an evaluation without images.
    pub fn new(classes: usize) -> Self {
        Self { pooled: ConfusionMatrix::new(classes), per_image: Vec::new() }
    }

    /// Counts one image and returns its own matrix.
    ///
    /// # Errors
    /// As [`ConfusionMatrix::add`]; the evaluation is unchanged then.
    pub fn add(&mut self, predicted: &GrayImage, truth: &GrayImage) -> Result<&ConfusionMatrix, EvaluationError> {
        let mut matrix = ConfusionMatrix::new(self.pooled.counts.len());
        matrix.add(predicted, truth)?;
        self.pooled.merge(&matrix);
        self.per_image.push(matrix);
        Ok(&self.per_image[self.per_image.len() - 1])
    }

    /// Returns the matrix summed over all images.
    pub fn pooled(&self) -> &ConfusionMatrix {
        &self.pooled
    }

    /// Returns the matrices of the images, in the order in which they were added.
    pub fn per_image(&self) -> &[ConfusionMatrix] {
        &self.per_image
    }

    /// Returns the metrics over the images so far, by the names of `classes`.
    pub fn scores(&self, classes: &[Class]) -> Scores {
        let images = self.per_image.len();
        let dice = self.per_image.iter().map(ConfusionMatrix::target_dice).sum::<f64>();
        Scores {
            images,
            dice_per_image: dice / images.max(1) as f64,
            dice_pooled: self.pooled.by_name(classes, ConfusionMatrix::dice),
            iou_pooled: self.pooled.by_name(classes, ConfusionMatrix::iou),
            mean_iou_pooled: self.pooled.mean_iou(),
            accuracy_pooled: self.pooled.accuracy(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(labels: &[u8]) -> GrayImage {
        GrayImage::from_raw(labels.len() as u32, 1, labels.to_vec()).unwrap()
    }

    fn classes() -> Vec<Class> {
        vec![Class::new("background", 0), Class::new("vessel", 1)]
    }

    #[test]
    fn metrics_follow_their_definitions() {
        let mut evaluation = Evaluation::new(2);
        // tp 2, fp 1, fn 1, tn 2; one pixel ignored.
        evaluation.add(&mask(&[1, 1, 1, 0, 0, 0, 1]), &mask(&[1, 1, 0, 1, 0, 0, 255])).unwrap();
        // The class is in neither mask: Dice 1.
        evaluation.add(&mask(&[0, 0]), &mask(&[0, 0])).unwrap();
        let scores = evaluation.scores(&classes());
        assert_eq!(scores.images, 2);
        assert_eq!(scores.dice_per_image, (2.0 / 3.0 + 1.0) / 2.0);
        assert_eq!(scores.dice_pooled["vessel"], 4.0 / 6.0);
        assert_eq!(scores.iou_pooled["vessel"], 2.0 / 4.0);
        assert_eq!(scores.iou_pooled["background"], 4.0 / 6.0);
        assert_eq!(scores.mean_iou_pooled, (2.0 / 4.0 + 4.0 / 6.0) / 2.0);
        assert_eq!(scores.accuracy_pooled, 6.0 / 8.0);
        let [first, second] = evaluation.per_image() else { panic!("two images") };
        assert_eq!((first.precision(1), first.recall(1)), (Some(2.0 / 3.0), Some(2.0 / 3.0)));
        assert_eq!((first.specificity(1), second.specificity(1)), (Some(2.0 / 3.0), Some(1.0)));
        assert_eq!((second.precision(1), second.recall(1), second.recall(0)), (None, None, Some(1.0)));
        assert_eq!(second.specificity(0), None);
    }

    #[test]
    fn masks_that_cannot_be_counted_leave_the_evaluation_unchanged() {
        for (name, predicted, truth, part) in [
            ("size", mask(&[0, 1]), mask(&[0]), "2x1"),
            ("true label", mask(&[0]), mask(&[7]), "label 7"),
            ("predicted label", mask(&[5]), mask(&[1]), "label 5"),
        ] {
            let mut evaluation = Evaluation::new(2);
            let message = evaluation.add(&predicted, &truth).unwrap_err().to_string();
            assert!(message.contains(part), "{name}: {message}");
            assert_eq!(evaluation.scores(&classes()).images, 0, "{name}");
        }
    }
}
