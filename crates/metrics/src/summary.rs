//! What the scores of many images come to.

use std::collections::BTreeMap;

use seg_contract::{Class, ConfusionMatrix};
use serde::Serialize;

use crate::bootstrap::Bootstrap;
use crate::metric::Metric;
use crate::scores::{ImageScores, Values, counted, mean, overall};

/// What the scores of many images come to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The mean over images of each image's own value.
    pub per_image: Level,
    /// The values of all images' pixels together, of the metrics that can be had from counts.
    pub pooled: Level,
    /// The pixels of all images by true and predicted class.
    pub confusion: ConfusionMatrix,
}

/// The metrics at one level.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Level {
    /// Mean IoU and accuracy, and of every other metric the mean over the classes without the background.
    pub overall: BTreeMap<Metric, Estimate>,
    /// The metrics of each class by its name; per image without the background.
    pub classes: BTreeMap<String, BTreeMap<Metric, Estimate>>,
}

/// A value with its confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// The value; `None` where no image defines one.
    pub value: Option<f64>,
    /// The confidence interval; `None` for fewer than two images.
    pub interval: Option<[f64; 2]>,
    /// How many images define a value of their own; a mean is over these.
    pub images: usize,
}

impl Summary {
    /// The summary of images with their intervals.
    pub fn of(images: &[ImageScores], classes: &[Class], bootstrap: &Bootstrap) -> Self {
        let confusion = pool(images, 0..images.len(), classes.len());
        Self { per_image: per_image(images, classes, bootstrap), pooled: pooled(images, classes, bootstrap), confusion }
    }
}

fn per_image(images: &[ImageScores], classes: &[Class], bootstrap: &Bootstrap) -> Level {
    let estimates = |values: Vec<&Values>| {
        let metrics = values.first().map(|values| values.keys().copied().collect::<Vec<_>>()).unwrap_or_default();
        let estimate = |metric: Metric| {
            let values: Vec<Option<f64>> = values.iter().map(|values| values[&metric]).collect();
            let estimate = Estimate {
                value: mean(values.iter().copied()),
                interval: bootstrap.interval(values.len(), |drawn| mean(drawn.iter().map(|image| values[*image]))),
                images: values.iter().flatten().count(),
            };
            (metric, estimate)
        };
        metrics.into_iter().map(estimate).collect::<BTreeMap<_, _>>()
    };
    let of_class = |(index, class): (usize, &Class)| {
        (class.name.clone(), estimates(images.iter().map(|image| &image.classes[index]).collect()))
    };
    Level {
        overall: estimates(images.iter().map(|image| &image.overall).collect()),
        classes: classes.iter().skip(1).enumerate().map(of_class).collect(),
    }
}

fn pooled(images: &[ImageScores], classes: &[Class], bootstrap: &Bootstrap) -> Level {
    let estimates = |of: &(dyn Fn(&ConfusionMatrix) -> Values + Sync)| {
        let values = of(&pool(images, 0..images.len(), classes.len()));
        let estimate = |(metric, value): (Metric, Option<f64>)| {
            let drawn_value = |drawn: &[usize]| of(&pool(images, drawn.iter().copied(), classes.len()))[&metric];
            let interval = bootstrap.interval(images.len(), drawn_value);
            (metric, Estimate { value, interval, images: images.len() })
        };
        values.into_iter().map(estimate).collect::<BTreeMap<_, _>>()
    };
    let all_targets = |confusion: &ConfusionMatrix| {
        let targets: Vec<Values> = (1..classes.len()).map(|class| counted(confusion, class)).collect();
        overall(confusion, &targets)
    };
    let of_class = |(index, class): (usize, &Class)| {
        (class.name.clone(), estimates(&|confusion: &ConfusionMatrix| counted(confusion, index)))
    };
    Level { overall: estimates(&all_targets), classes: classes.iter().enumerate().map(of_class).collect() }
}

/// The pixels of the images with the given indices together.
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
            scores.push(ImageScores::of(&predicted, &truth, 3, 1.0).unwrap());
        }
        let summary = Summary::of(&scores, &classes(), &Bootstrap::default());
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
    fn a_mean_says_over_how_many_images_it_is_and_how_far_to_trust_it() {
        let scores: Vec<_> =
            images().iter().map(|(predicted, truth)| ImageScores::of(predicted, truth, 3, 1.0).unwrap()).collect();
        let summary = Summary::of(&scores, &classes(), &Bootstrap::default());
        let dice = summary.per_image.classes["cup"][&Metric::Dice];
        assert_eq!((dice.value, dice.images), (Some((0.8 + 1.0 + 1.0) / 3.0), 3));
        let [low, high] = dice.interval.unwrap();
        assert!((0.8..0.94).contains(&low) && high == 1.0, "{low} to {high}");
        let precision = summary.per_image.classes["cup"][&Metric::Precision];
        assert_eq!((precision.value, precision.images), (Some(1.0), 2));
        assert!(!summary.per_image.classes.contains_key("background"));
        assert!(summary.pooled.classes["background"][&Metric::Dice].interval.is_some());
        assert!(summary.pooled.overall.keys().all(|metric| metric.can_be_pooled()));

        let one = Summary::of(&scores[..1], &classes(), &Bootstrap::default());
        assert_eq!(one.per_image.overall[&Metric::Dice].interval, None);
        let none = Summary::of(&[], &classes(), &Bootstrap::default());
        assert!(none.per_image.overall.is_empty());
    }
}
