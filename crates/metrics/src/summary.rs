//! The scores of many images, averaged and pooled.

use std::collections::{BTreeMap, BTreeSet};

use seg_contract::{Class, ConfusionMatrix};
use serde::Serialize;

use crate::bootstrap::Bootstrap;
use crate::metric::Metric;
use crate::scores::{ImageScores, Values, counted, mean, overall};

/// The scores of many images.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The mean over images of each image's own value.
    pub per_image: Level,
    /// The values of all images' pixels together, for the metrics that follow from counts.
    pub pooled: Level,
    /// The pixels of all images by true and predicted class.
    pub confusion: ConfusionMatrix,
}

/// The metrics per image or pooled.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Level {
    /// Mean IoU and accuracy; of every other metric the mean over the classes without the
    /// background.
    pub overall: BTreeMap<Metric, Estimate>,
    /// The metrics of each class by its name; per image without the background.
    pub classes: BTreeMap<String, BTreeMap<Metric, Estimate>>,
}

/// A value with its confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// The value; `None` if no image defines one.
    pub value: Option<f64>,
    /// The confidence interval; `None` for fewer than two images.
    pub interval: Option<[f64; 2]>,
    /// The number of images that define a value of their own; a mean is over these.
    pub images: usize,
}

impl Summary {
    /// Summarises the scores of images, with confidence intervals.
    pub fn new(images: &[ImageScores], classes: &[Class], bootstrap: &Bootstrap) -> Self {
        let confusion = pool(images, 0..images.len(), classes.len());
        Self { per_image: per_image(images, classes, bootstrap), pooled: pooled(images, classes, bootstrap), confusion }
    }
}

/// Averages the values of the images.
fn per_image(images: &[ImageScores], classes: &[Class], bootstrap: &Bootstrap) -> Level {
    let targets = classes.iter().skip(1).enumerate().map(|(index, class)| {
        let values: Vec<_> = images.iter().map(|image| &image.classes[index]).collect();
        (class.name.clone(), mean_estimates(&values, bootstrap))
    });
    let overall: Vec<_> = images.iter().map(|image| &image.overall).collect();
    Level { classes: targets.collect(), overall: mean_estimates(&overall, bootstrap) }
}

/// Estimates the mean over images of each metric that any image has.
fn mean_estimates(images: &[&Values], bootstrap: &Bootstrap) -> BTreeMap<Metric, Estimate> {
    let metrics: BTreeSet<_> = images.iter().flat_map(|values| values.keys().copied()).collect();
    metrics.into_iter().map(|metric| (metric, mean_estimate(images, metric, bootstrap))).collect()
}

fn mean_estimate(images: &[&Values], metric: Metric, bootstrap: &Bootstrap) -> Estimate {
    let values: Vec<Option<f64>> = images.iter().map(|values| values.get(&metric).copied().flatten()).collect();
    Estimate {
        value: mean(values.iter().copied()),
        interval: bootstrap.interval(values.len(), |drawn| mean(drawn.iter().map(|image| values[*image]))),
        images: values.iter().flatten().count(),
    }
}

/// Computes the metrics from the pixels of all images together.
fn pooled(images: &[ImageScores], classes: &[Class], bootstrap: &Bootstrap) -> Level {
    let of_classes = classes.iter().enumerate().map(|(index, class)| {
        let metrics = |confusion: &ConfusionMatrix| counted(confusion, index);
        (class.name.clone(), pooled_estimates(images, classes.len(), bootstrap, metrics))
    });
    Level {
        classes: of_classes.collect(),
        overall: pooled_estimates(images, classes.len(), bootstrap, overall_of_counts),
    }
}

fn overall_of_counts(confusion: &ConfusionMatrix) -> Values {
    let targets: Vec<Values> = (1..confusion.classes()).map(|class| counted(confusion, class)).collect();
    overall(confusion, &targets)
}

/// Estimates `metrics` of the pooled confusion matrix, drawing images for the intervals.
fn pooled_estimates(
    images: &[ImageScores],
    classes: usize,
    bootstrap: &Bootstrap,
    metrics: impl Fn(&ConfusionMatrix) -> Values + Sync,
) -> BTreeMap<Metric, Estimate> {
    let values = metrics(&pool(images, 0..images.len(), classes));
    let mut estimates = BTreeMap::new();
    for (metric, value) in values {
        let drawn_value = |drawn: &[usize]| metrics(&pool(images, drawn.iter().copied(), classes))[&metric];
        let interval = bootstrap.interval(images.len(), drawn_value);
        estimates.insert(metric, Estimate { value, interval, images: images.len() });
    }
    estimates
}

/// Adds the pixels of the images with the given indices.
fn pool(images: &[ImageScores], drawn: impl Iterator<Item = usize>, classes: usize) -> ConfusionMatrix {
    let mut pooled = ConfusionMatrix::new(classes);
    for image in drawn {
        pooled.merge(&images[image].confusion);
    }
    pooled
}

#[cfg(test)]
mod tests {
    use image::GrayImage;
    use seg_contract::Evaluation;

    use super::*;
    use crate::metric::Tolerance;

    const TOLERANCE: Tolerance = Tolerance { px: 1.0, mm: 1.0 };

    fn classes() -> Vec<Class> {
        ["background", "cup", "disc"].iter().enumerate().map(|(index, name)| Class::new(*name, index)).collect()
    }

    /// Pairs of prediction and truth, as rows of labels.
    const PAIRS: [([u8; 6], [u8; 6]); 3] = [
        ([0, 1, 1, 2, 2, 0], [0, 1, 1, 1, 2, 0]),
        ([0, 0, 0, 0, 0, 0], [0, 0, 2, 255, 0, 0]),
        ([0, 1, 1, 0, 0, 0], [0, 1, 1, 0, 0, 0]),
    ];

    fn images() -> Vec<(GrayImage, GrayImage)> {
        let mask = |labels: [u8; 6]| GrayImage::from_raw(3, 2, labels.to_vec()).unwrap();
        PAIRS.map(|(predicted, truth)| (mask(predicted), mask(truth))).into()
    }

    #[test]
    fn the_scores_that_training_logs_are_among_them() {
        let mut evaluation = Evaluation::new(3);
        let mut scores = Vec::new();
        for (predicted, truth) in images() {
            evaluation.add(&predicted, &truth).unwrap();
            scores.push(ImageScores::compare(&predicted, &truth, 3, TOLERANCE, None).unwrap());
        }
        let summary = Summary::new(&scores, &classes(), &Bootstrap::default());
        let logged = evaluation.scores(&classes());
        assert_eq!(summary.per_image.overall[&Metric::Dice].value, Some(logged.dice_per_image));
        assert_eq!(summary.pooled.overall[&Metric::MeanIou].value, Some(logged.mean_iou_pooled));
        assert_eq!(summary.pooled.overall[&Metric::Accuracy].value, Some(logged.accuracy_pooled));
        for (name, values) in &summary.pooled.classes {
            assert_eq!(values[&Metric::Dice].value, Some(logged.dice_pooled[name]), "{name}");
            assert_eq!(values[&Metric::Iou].value, Some(logged.iou_pooled[name]), "{name}");
        }
    }

    #[test]
    fn a_mean_in_millimetres_is_over_the_images_that_name_the_size_of_a_pixel() {
        let spacings = [None, Some([1.0, 0.5]), Some([2.0, 0.25])];
        let scores: Vec<_> = images()
            .iter()
            .zip(spacings)
            .map(|((predicted, truth), spacing)| ImageScores::compare(predicted, truth, 3, TOLERANCE, spacing).unwrap())
            .collect();
        let summary = Summary::new(&scores, &classes(), &Bootstrap::default());
        // The second image lacks the disc: its diagonal is 1.5 mm across and 2 mm down.
        let distance = summary.per_image.classes["disc"][&Metric::Hausdorff95Mm];
        assert_eq!((distance.value, distance.images), (Some(2.5 / 2.0), 2));
        assert_eq!(summary.per_image.classes["disc"][&Metric::Hausdorff95].images, 3);
        let none = Summary::new(&scores[..1], &classes(), &Bootstrap::default());
        assert!(!none.per_image.overall.keys().any(|metric| metric.needs_spacing()));
    }

    #[test]
    fn a_mean_says_over_how_many_images_it_is_and_how_far_to_trust_it() {
        let scores: Vec<_> = images()
            .iter()
            .map(|(predicted, truth)| ImageScores::compare(predicted, truth, 3, TOLERANCE, None).unwrap())
            .collect();
        let summary = Summary::new(&scores, &classes(), &Bootstrap::default());
        let dice = summary.per_image.classes["cup"][&Metric::Dice];
        assert_eq!((dice.value, dice.images), (Some((0.8 + 1.0 + 1.0) / 3.0), 3));
        let [low, high] = dice.interval.unwrap();
        assert!((0.8..0.94).contains(&low) && high == 1.0, "{low} to {high}");
        let precision = summary.per_image.classes["cup"][&Metric::Precision];
        assert_eq!((precision.value, precision.images), (Some(1.0), 2));
        assert!(!summary.per_image.classes.contains_key("background"));
        assert!(summary.pooled.classes["background"][&Metric::Dice].interval.is_some());
        assert!(summary.pooled.overall.keys().all(|metric| metric.can_be_pooled()));

        let one = Summary::new(&scores[..1], &classes(), &Bootstrap::default());
        assert_eq!(one.per_image.overall[&Metric::Dice].interval, None);
        let none = Summary::new(&[], &classes(), &Bootstrap::default());
        assert!(none.per_image.overall.is_empty());
    }
}
