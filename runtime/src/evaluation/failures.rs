//! The failures of a model: the images that a person should look at first.

use std::collections::BTreeMap;

use seg_contract::Class;
use seg_metrics::{ImageScores, ObjectCounts};
use serde::Serialize;

/// The failures of a model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Failures {
    /// The images by Dice, the worst first; equal ones in their own order.
    pub worst: Vec<String>,
    /// The images and classes for which the truth has the class, and no pixel of it was predicted.
    pub empty_predictions: Vec<Place>,
    /// The images and classes for which the class was predicted, and the truth has no pixel of it.
    pub invented_classes: Vec<Place>,
    /// The images with objects that were missed entirely, those with the most first.
    pub missed_objects: Vec<MissedObjects>,
    /// The objects of all images by class.
    pub objects: BTreeMap<String, ObjectCounts>,
}

/// A class in an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The image.
    pub image: String,
    /// The class.
    pub class: String,
}

/// Objects of a class that were missed in an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MissedObjects {
    /// The image.
    pub image: String,
    /// The class.
    pub class: String,
    /// The number of objects without a predicted pixel.
    pub missed: usize,
    /// The number of all objects of the truth.
    pub truth: usize,
}

impl Failures {
    /// Finds the failures in images, which are given by name and score in the same order.
    pub(super) fn find(names: &[String], scores: &[ImageScores], classes: &[Class]) -> Self {
        let mut order: Vec<usize> = (0..names.len()).collect();
        // The sort is stable, so equal scores keep the order of the names.
        order.sort_by(|a, b| scores[*a].confusion.target_dice().total_cmp(&scores[*b].confusion.target_dice()));
        let mut failures = Self {
            worst: order.into_iter().map(|index| names[index].clone()).collect(),
            empty_predictions: Vec::new(),
            invented_classes: Vec::new(),
            missed_objects: Vec::new(),
            objects: BTreeMap::new(),
        };
        for (name, scores) in names.iter().zip(scores) {
            for (class, counts) in classes.iter().skip(1).zip(&scores.objects) {
                failures.note(name, &class.name, *counts);
            }
        }
        failures.missed_objects.sort_by_key(|objects| std::cmp::Reverse(objects.missed));
        failures
    }

    fn note(&mut self, image: &str, class: &str, counts: ObjectCounts) {
        let place = || Place { image: image.into(), class: class.into() };
        let ObjectCounts { truth, missed, predicted, invented } = counts;
        if truth > 0 && predicted == 0 {
            self.empty_predictions.push(place());
        }
        if truth == 0 && predicted > 0 {
            self.invented_classes.push(place());
        }
        if missed > 0 {
            self.missed_objects.push(MissedObjects { image: image.into(), class: class.into(), missed, truth });
        }
        let all = self.objects.entry(class.into()).or_default();
        all.truth += truth;
        all.missed += missed;
        all.predicted += predicted;
        all.invented += invented;
    }
}

#[cfg(test)]
mod tests {
    use image::GrayImage;
    use seg_metrics::Tolerance;

    use super::*;

    #[test]
    fn each_failure_is_named() {
        let mask = |labels: [u8; 7]| GrayImage::from_raw(7, 1, labels.to_vec()).unwrap();
        let rows = [
            ("good", [0, 1, 1, 0, 0, 0, 0], [0, 1, 1, 0, 0, 0, 0]),
            ("empty", [0, 0, 0, 0, 0, 0, 0], [0, 1, 1, 0, 1, 0, 0]),
            ("invented", [0, 0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0, 0]),
            ("partly", [1, 0, 0, 0, 0, 0, 1], [1, 0, 1, 0, 1, 0, 1]),
        ];
        let names = rows.map(|row| row.0.to_owned());
        let tolerance = Tolerance { px: 1.0, mm: 1.0 };
        let scores = rows.map(|row| ImageScores::compare(&mask(row.1), &mask(row.2), 2, tolerance, None).unwrap());
        let failures = Failures::find(&names, &scores, &super::super::evaluator::tests::classes());
        assert_eq!(failures.worst, ["empty", "invented", "partly", "good"]);
        let place = |image: &str| Place { image: image.into(), class: "nucleus".into() };
        assert_eq!(failures.empty_predictions, [place("empty")]);
        assert_eq!(failures.invented_classes, [place("invented")]);
        let missed: Vec<_> =
            failures.missed_objects.iter().map(|at| (at.image.as_str(), at.missed, at.truth)).collect();
        assert_eq!(missed, [("empty", 2, 2), ("partly", 2, 4)]);
        let all = ObjectCounts { truth: 7, missed: 4, predicted: 4, invented: 1 };
        assert_eq!(failures.objects["nucleus"], all);
    }
}
