//! All metrics of one image.

use std::collections::BTreeMap;

use image::GrayImage;
use rayon::prelude::*;
use seg_contract::{ConfusionMatrix, EvaluationError};
use serde::Serialize;

use crate::centerline::centerline_dice;
use crate::metric::Metric;
use crate::objects::ObjectCounts;
use crate::region::Region;
use crate::surface::SurfaceDistances;

/// The values of metrics; `None` for an undefined one.
pub type Values = BTreeMap<Metric, Option<f64>>;

/// All metrics of one image.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ImageScores {
    /// The pixels by true and predicted class.
    pub confusion: ConfusionMatrix,
    /// Mean IoU and accuracy; of every other metric the mean over the classes without the
    /// background.
    pub overall: Values,
    /// The metrics of each class except the background, in their order.
    pub classes: Vec<Values>,
    /// The objects of each class except the background, in their order.
    pub objects: Vec<ObjectCounts>,
}

impl ImageScores {
    /// Compares a predicted mask with the true one, with `tolerance_px` as the tolerance of
    /// surfaces.
    ///
    /// # Errors
    /// When the masks differ in size or a label exceeds the classes.
    pub fn compare(
        predicted: &GrayImage,
        truth: &GrayImage,
        classes: usize,
        tolerance_px: f64,
    ) -> Result<Self, EvaluationError> {
        let mut confusion = ConfusionMatrix::new(classes);
        confusion.add(predicted, truth)?;
        let diagonal = f64::from(truth.width()).hypot(f64::from(truth.height()));
        let measured: Vec<(Values, ObjectCounts)> = (1..classes)
            .into_par_iter()
            .map(|class| {
                let [prediction, truth] =
                    [predicted, truth].map(|labels| Region::from_labels(labels, class as u8, truth));
                let mut values = counted(&confusion, class);
                values.extend(shaped(&prediction, &truth, diagonal, tolerance_px));
                (values, ObjectCounts::compare(&prediction, &truth))
            })
            .collect();
        let (classes, objects): (Vec<_>, _) = measured.into_iter().unzip();
        Ok(Self { overall: overall(&confusion, &classes), confusion, classes, objects })
    }
}

/// Returns the metrics of a class that follow from counts of pixels.
pub(crate) fn counted(confusion: &ConfusionMatrix, class: usize) -> Values {
    BTreeMap::from([
        (Metric::Dice, Some(confusion.dice(class))),
        (Metric::Iou, Some(confusion.iou(class))),
        (Metric::Sensitivity, confusion.recall(class)),
        (Metric::Specificity, confusion.specificity(class)),
        (Metric::Precision, confusion.precision(class)),
    ])
}

/// Returns the metrics of a class that follow from the shape of its region.
fn shaped(prediction: &Region, truth: &Region, diagonal: f64, tolerance_px: f64) -> [(Metric, Option<f64>); 6] {
    let (distances, centerline_dice) =
        rayon::join(|| SurfaceDistances::between(prediction, truth), || centerline_dice(prediction, truth));
    let distances = distances.as_ref();
    let both_empty = prediction.is_empty() && truth.is_empty();
    let (no_share, no_distance) = if both_empty { (1.0, 0.0) } else { (0.0, diagonal) };
    let share = |of: &dyn Fn(&SurfaceDistances) -> f64| distances.map_or(no_share, of);
    let distance = |of: &dyn Fn(&SurfaceDistances) -> f64| distances.map_or(no_distance, of);
    [
        (Metric::SurfaceDice, Some(share(&|distances| distances.surface_dice(tolerance_px)))),
        (Metric::BoundaryF1, Some(share(&|distances| distances.boundary_f1(tolerance_px)))),
        (Metric::CenterlineDice, Some(centerline_dice)),
        (Metric::Hausdorff, Some(distance(&SurfaceDistances::hausdorff))),
        (Metric::Hausdorff95, Some(distance(&|distances| distances.hausdorff_quantile(0.95)))),
        (Metric::AverageSurfaceDistance, Some(distance(&SurfaceDistances::average))),
    ]
}

/// Averages the values of the classes without the background, and adds the metrics of all classes
/// at once.
pub(crate) fn overall(confusion: &ConfusionMatrix, classes: &[Values]) -> Values {
    let metrics = classes.first().map(|values| values.keys().copied().collect::<Vec<_>>()).unwrap_or_default();
    let value = |metric: Metric| (metric, mean(classes.iter().map(|values| values[&metric])));
    let mut overall: Values = metrics.into_iter().map(value).collect();
    overall.insert(Metric::MeanIou, Some(confusion.mean_iou()));
    overall.insert(Metric::Accuracy, Some(confusion.accuracy()));
    overall
}

/// Returns the mean of the values that are defined; `None` if none is.
pub(crate) fn mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let (count, sum) = values.flatten().fold((0_usize, 0.0), |(count, sum), value| (count + 1, sum + value));
    (count > 0).then(|| sum / count as f64)
}

#[cfg(test)]
mod tests {
    use seg_contract::IGNORE_LABEL;

    use super::*;

    /// Creates a mask of one row of labels.
    fn mask(labels: &[u8]) -> GrayImage {
        GrayImage::from_raw(labels.len() as u32, 1, labels.to_vec()).unwrap()
    }

    #[test]
    fn an_absent_class_is_perfect_and_a_missed_one_as_bad_as_can_be() {
        let diagonal = 2.0;
        for (name, predicted, truth, share, distance, undefined) in [
            ("in neither", [0, 0], [0, 0], 1.0, 0.0, vec![Metric::Sensitivity, Metric::Precision]),
            ("missed", [0, 0], [1, 0], 0.0, diagonal, vec![Metric::Precision]),
            ("invented", [1, 0], [0, 0], 0.0, diagonal, vec![Metric::Sensitivity]),
            ("everywhere", [1, 1], [1, 1], 1.0, 0.0, vec![Metric::Specificity]),
            (
                "found only where it does not count",
                [0, 1],
                [0, IGNORE_LABEL],
                1.0,
                0.0,
                vec![Metric::Sensitivity, Metric::Precision],
            ),
        ] {
            let [predicted, truth] = [predicted, truth].map(|labels| {
                GrayImage::from_fn(2, 2, |x, y| [if y == 0 { labels[x as usize] } else { IGNORE_LABEL }].into())
            });
            // A prediction where nothing counts is not a mistake.
            let predicted =
                GrayImage::from_fn(2, 2, |x, y| if y == 0 { *predicted.get_pixel(x, y) } else { [1].into() });
            let scores = ImageScores::compare(&predicted, &truth, 2, 1.0).unwrap();
            let diagonal = diagonal * 2.0_f64.sqrt();
            for (metric, value) in &scores.classes[0] {
                let expected = match metric {
                    metric if undefined.contains(metric) => None,
                    Metric::Specificity if name == "invented" => Some(0.5),
                    Metric::Specificity => Some(1.0),
                    Metric::Hausdorff | Metric::Hausdorff95 | Metric::AverageSurfaceDistance => {
                        Some(if distance > 0.0 { diagonal } else { 0.0 })
                    }
                    _ => Some(share),
                };
                assert_eq!(*value, expected, "{name}: {metric:?}");
            }
        }
    }

    #[test]
    fn overall_is_the_mean_over_the_targets_and_undefined_values_are_left_out() {
        let scores = ImageScores::compare(&mask(&[0, 1, 1, 0, 0]), &mask(&[0, 1, 0, 0, 2]), 3, 1.0).unwrap();
        let [first, second] = &scores.classes[..] else { panic!("two targets") };
        assert_eq!((first[&Metric::Dice], second[&Metric::Dice]), (Some(2.0 / 3.0), Some(0.0)));
        assert_eq!(scores.overall[&Metric::Dice], Some(1.0 / 3.0));
        assert_eq!(scores.overall[&Metric::Dice], Some(scores.confusion.target_dice()));
        assert_eq!((first[&Metric::Precision], second[&Metric::Precision]), (Some(0.5), None));
        assert_eq!(scores.overall[&Metric::Precision], Some(0.5));
        assert_eq!(scores.overall[&Metric::Accuracy], Some(0.6));
        assert_eq!(scores.objects[1], ObjectCounts { truth: 1, missed: 1, predicted: 0, invented: 0 });
        assert!(Metric::ALL.iter().all(|metric| scores.overall.contains_key(metric)));
        assert!(Metric::ALL.iter().all(|metric| first.contains_key(metric) == metric.is_of_a_class()));
    }

    #[test]
    fn masks_that_do_not_fit_are_refused() {
        for (name, predicted, truth, part) in
            [("size", mask(&[0]), mask(&[0, 0]), "1x1"), ("label", mask(&[0]), mask(&[7]), "label 7")]
        {
            let message = ImageScores::compare(&predicted, &truth, 2, 1.0).unwrap_err().to_string();
            assert!(message.contains(part), "{name}: {message}");
        }
    }
}
