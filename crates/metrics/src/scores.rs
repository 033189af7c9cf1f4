//! All metrics of one image.

use std::collections::BTreeMap;

use image::GrayImage;
use rayon::prelude::*;
use seg_contract::{ConfusionMatrix, EvaluationError};
use serde::Serialize;

use crate::centerline::centerline_dice;
use crate::metric::{Metric, Tolerance};
use crate::objects::ObjectCounts;
use crate::region::Region;
use crate::surface::SurfaceDistances;

/// The values of metrics; `None` for an undefined one. Those that
/// [need](Metric::needs_spacing) the size of a pixel are missing where it is unknown.
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
    /// Compares a predicted mask with the true one, with a tolerance of surfaces; `spacing` are the
    /// millimetres between rows and between columns where they are known.
    ///
    /// # Errors
    /// When the masks differ in size or a label exceeds the classes.
    pub fn compare(
        predicted: &GrayImage,
        truth: &GrayImage,
        classes: usize,
        tolerance: Tolerance,
        spacing: Option<[f64; 2]>,
    ) -> Result<Self, EvaluationError> {
        let mut confusion = ConfusionMatrix::new(classes);
        confusion.add(predicted, truth)?;
        let measured: Vec<(Values, ObjectCounts)> = (1..classes)
            .into_par_iter()
            .map(|class| {
                let [prediction, truth] =
                    [predicted, truth].map(|labels| Region::from_labels(labels, class as u8, truth));
                let mut values = counted(&confusion, class);
                values.extend(shaped(&prediction, &truth, tolerance.px));
                if let Some(spacing) = spacing {
                    values.extend(sized(&prediction, &truth, tolerance.mm, spacing));
                }
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
fn shaped(prediction: &Region, truth: &Region, tolerance_px: f64) -> [(Metric, Option<f64>); 6] {
    let (surfaces, centerline_dice) = rayon::join(
        || Surfaces::compare(prediction, truth, tolerance_px, [1.0, 1.0]),
        || centerline_dice(prediction, truth),
    );
    [
        (Metric::SurfaceDice, Some(surfaces.dice)),
        (Metric::BoundaryF1, Some(surfaces.f1)),
        (Metric::CenterlineDice, Some(centerline_dice)),
        (Metric::Hausdorff, Some(surfaces.hausdorff)),
        (Metric::Hausdorff95, Some(surfaces.hausdorff95)),
        (Metric::AverageSurfaceDistance, Some(surfaces.average)),
    ]
}

/// Returns the metrics of a class that follow from the shape of its region and the size of a pixel.
fn sized(prediction: &Region, truth: &Region, tolerance_mm: f64, spacing: [f64; 2]) -> [(Metric, Option<f64>); 4] {
    // Three pixels of 0.7 mm are within 2.1 mm, although their product is rounded.
    let tolerance = tolerance_mm * (1.0 + 1e-9);
    let surfaces = Surfaces::compare(prediction, truth, tolerance, spacing);
    [
        (Metric::SurfaceDiceMm, Some(surfaces.dice)),
        (Metric::HausdorffMm, Some(surfaces.hausdorff)),
        (Metric::Hausdorff95Mm, Some(surfaces.hausdorff95)),
        (Metric::AverageSurfaceDistanceMm, Some(surfaces.average)),
    ]
}

/// The metrics of two surfaces in one unit.
struct Surfaces {
    dice: f64,
    f1: f64,
    hausdorff: f64,
    hausdorff95: f64,
    average: f64,
}

impl Surfaces {
    /// Compares the surfaces of two regions, by the distances between rows and between columns. A
    /// class in neither is perfect, one that is missed or invented as far away as the image is
    /// large.
    fn compare(prediction: &Region, truth: &Region, tolerance: f64, spacing: [f64; 2]) -> Self {
        let distances = SurfaceDistances::between(prediction, truth, spacing);
        let Some(distances) = distances else {
            let both_empty = prediction.is_empty() && truth.is_empty();
            let diagonal = (truth.width() as f64 * spacing[1]).hypot(truth.height() as f64 * spacing[0]);
            let (share, distance) = if both_empty { (1.0, 0.0) } else { (0.0, diagonal) };
            return Self { dice: share, f1: share, hausdorff: distance, hausdorff95: distance, average: distance };
        };
        Self {
            dice: distances.surface_dice(tolerance),
            f1: distances.boundary_f1(tolerance),
            hausdorff: distances.hausdorff(),
            hausdorff95: distances.hausdorff_quantile(0.95),
            average: distances.average(),
        }
    }
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

    const TOLERANCE: Tolerance = Tolerance { px: 1.0, mm: 1.0 };

    /// The spacing, the tolerance, and what SciPy finds: surface Dice, Hausdorff distance, its 95th
    /// percentile, and the average distance.
    const SCIPY: [([f64; 2], f64, f64, f64, f64, f64); 5] = [
        ([1.0, 1.0], 2.0, 0.6337209302325582, 15.231546211727817, 13.790603271199775, 3.3994344443384232),
        ([0.7, 0.7], 1.0, 0.5406976744186046, 10.66208234820947, 9.653422289839842, 2.379604111036896),
        ([3.0, 0.5], 3.0, 0.7383720930232558, 17.240939649566666, 13.906900020230982, 2.6641877961524973),
        ([0.25, 4.0], 1.0, 0.6569767441860465, 12.002603884157804, 8.035079339994098, 1.7273221577566995),
        ([0.001, 0.0005], 0.002, 0.7616279069767442, 0.009219544457292887, 0.008499999999999999, 0.0020657736252700943),
    ];

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
            let scores = ImageScores::compare(&predicted, &truth, 2, TOLERANCE, Some([1.5, 2.0])).unwrap();
            let diagonal = diagonal * 2.0_f64.sqrt();
            for (metric, value) in &scores.classes[0] {
                let expected = match metric {
                    metric if undefined.contains(metric) => None,
                    Metric::Specificity if name == "invented" => Some(0.5),
                    Metric::Specificity => Some(1.0),
                    Metric::Hausdorff | Metric::Hausdorff95 | Metric::AverageSurfaceDistance => {
                        Some(if distance > 0.0 { diagonal } else { 0.0 })
                    }
                    // Two rows of 1.5 mm and two columns of 2 mm.
                    Metric::HausdorffMm | Metric::Hausdorff95Mm | Metric::AverageSurfaceDistanceMm => {
                        Some(if distance > 0.0 { 5.0 } else { 0.0 })
                    }
                    _ => Some(share),
                };
                assert_eq!(*value, expected, "{name}: {metric:?}");
            }
        }
    }

    #[test]
    fn overall_is_the_mean_over_the_targets_and_undefined_values_are_left_out() {
        let scores =
            ImageScores::compare(&mask(&[0, 1, 1, 0, 0]), &mask(&[0, 1, 0, 0, 2]), 3, TOLERANCE, Some([1.0; 2]))
                .unwrap();
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
    fn distances_in_millimetres_are_those_of_scipy() {
        // SciPy 1.17.1: surfaces as `mask ^ binary_erosion(mask)`, distances by
        // `distance_transform_edt(~surface, sampling=spacing)`, percentiles by `numpy.percentile`.
        let ring = |x: f64, y: f64, [left, top, outer, inner]: [f64; 4]| {
            let distance = ((x - left).powi(2) + (y - top).powi(2)).sqrt();
            distance <= outer && distance > inner
        };
        let drawn = |rings: &[[f64; 4]]| {
            GrayImage::from_fn(41, 29, |x, y| {
                [u8::from(rings.iter().any(|place| ring(f64::from(x), f64::from(y), *place)))].into()
            })
        };
        let predicted = drawn(&[[15.0, 12.0, 9.0, 3.5], [34.0, 22.0, 4.0, -1.0]]);
        let truth = drawn(&[[17.0, 13.0, 8.0, 4.0], [33.0, 5.0, 3.0, -1.0]]);
        for (spacing, tolerance, dice, hausdorff, hausdorff95, average) in SCIPY {
            let tolerance = Tolerance { px: 2.0, mm: tolerance };
            let scores = ImageScores::compare(&predicted, &truth, 2, tolerance, Some(spacing)).unwrap();
            for (metric, expected) in [
                (Metric::SurfaceDiceMm, dice),
                (Metric::HausdorffMm, hausdorff),
                (Metric::Hausdorff95Mm, hausdorff95),
                (Metric::AverageSurfaceDistanceMm, average),
            ] {
                let found = scores.classes[0][&metric].unwrap();
                assert!((found - expected).abs() < 1e-12, "{spacing:?}: {metric:?}: {found}, expected {expected}");
            }
        }
        let unknown = ImageScores::compare(&predicted, &truth, 2, TOLERANCE, None).unwrap();
        assert!(!unknown.overall.keys().any(|metric| metric.needs_spacing()));
    }

    #[test]
    fn masks_that_do_not_fit_are_refused() {
        for (name, predicted, truth, part) in
            [("size", mask(&[0]), mask(&[0, 0]), "1x1"), ("label", mask(&[0]), mask(&[7]), "label 7")]
        {
            let message = ImageScores::compare(&predicted, &truth, 2, TOLERANCE, None).unwrap_err().to_string();
            assert!(message.contains(part), "{name}: {message}");
        }
    }
}
