//! Measures images one by one.

use image::{GrayImage, Rgb32FImage};
use ndarray::ArrayView3;
use seg_contract::{Class, EvaluationError};
use seg_data::OverlayError;
use seg_metrics::{Calibration, ImageScores, Metric, ShapeError, Summary, ThresholdSweep};
use seg_report::Exhibit;
use thiserror::Error;

use super::failures::Failures;
use super::method::Method;
use super::report::{About, Curves, ImageReport, Report, Skipped, definitions};

/// The reason for which an image cannot be measured.
#[derive(Debug, Error)]
pub enum EvaluateError {
    /// The masks do not fit each other or the classes.
    #[error(transparent)]
    Masks(#[from] EvaluationError),
    /// The probabilities do not fit the true mask.
    #[error(transparent)]
    Probabilities(#[from] ShapeError),
    /// The image cannot be drawn.
    #[error(transparent)]
    Draw(#[from] OverlayError),
}

/// Gathers measurements, image by image.
///
/// It keeps a few numbers of each image, histograms of all pixels, and small pictures of the worst
/// images.
#[derive(Debug)]
pub struct Evaluator {
    classes: Vec<Class>,
    method: Method,
    names: Vec<String>,
    scores: Vec<ImageScores>,
    calibration: Calibration,
    sweep: Option<ThresholdSweep>,
    /// In ascending order of Dice.
    worst: Vec<(f64, Exhibit)>,
}

impl Evaluator {
    /// Makes an evaluator without images; thresholds are swept for two classes.
    pub fn new(classes: &[Class], method: Method) -> Self {
        Self {
            classes: classes.to_vec(),
            method,
            names: Vec::new(),
            scores: Vec::new(),
            calibration: Calibration::new(classes.len()),
            sweep: (classes.len() == 2).then(ThresholdSweep::default),
            worst: Vec::new(),
        }
    }

    /// Measures an image by its true mask, the predicted one, and the probabilities `[classes,
    /// height, width]` if the model gives them; `spacing` are the millimetres between rows and
    /// between columns where the image names them.
    ///
    /// # Errors
    /// When the arguments do not fit each other or the classes; the image is then left out.
    pub fn add(
        &mut self,
        name: &str,
        image: &Rgb32FImage,
        truth: &GrayImage,
        mask: &GrayImage,
        probabilities: Option<ArrayView3<'_, f32>>,
        spacing: Option<[f64; 2]>,
    ) -> Result<&ImageScores, EvaluateError> {
        let scores = ImageScores::compare(mask, truth, self.classes.len(), self.method.tolerance(), spacing)?;
        let dice = scores.confusion.target_dice();
        let place = self.worst.partition_point(|(other, _)| *other <= dice);
        let exhibit = if place < self.method.worst {
            let words = (name.to_owned(), caption(&scores));
            Some(Exhibit::draw(words, image, truth, mask, &self.classes)?)
        } else {
            None
        };
        if let Some(probabilities) = probabilities {
            self.calibration.add(probabilities, truth)?;
            if let Some(sweep) = &mut self.sweep {
                sweep.add(probabilities, truth)?;
            }
        }
        if let Some(exhibit) = exhibit {
            self.worst.insert(place, (dice, exhibit));
            self.worst.truncate(self.method.worst);
        }
        self.names.push(name.to_owned());
        self.scores.push(scores);
        Ok(&self.scores[self.scores.len() - 1])
    }

    /// Returns the number of images that have been measured.
    pub fn images(&self) -> usize {
        self.scores.len()
    }

    /// Summarises all images; `skipped` are those that could not be measured.
    pub fn report(self, about: About, skipped: Vec<Skipped>) -> Report {
        let Self { classes, method, names, scores, calibration, sweep, worst } = self;
        let calibration = calibration.summary();
        // A model that gives masks has no thresholds.
        let sweep = sweep.filter(|_| calibration.is_some());
        Report {
            about,
            method,
            definitions: definitions(method.tolerance()),
            scores: Summary::new(&scores, &classes, &method.bootstrap),
            calibration,
            thresholds: sweep.as_ref().map(ThresholdSweep::summary),
            failures: Failures::find(&names, &scores, &classes),
            images: names
                .into_iter()
                .zip(scores)
                .map(|(name, scores)| ImageReport::new(name, scores, &classes))
                .collect(),
            skipped,
            curves: sweep.map(|sweep| Curves { roc: sweep.roc(), precision_recall: sweep.precision_recall() }),
            worst: worst.into_iter().map(|(_, exhibit)| exhibit).collect(),
        }
    }
}

/// Formats the scores of an image, for the caption of its pictures.
fn caption(scores: &ImageScores) -> String {
    let shown = match scores.overall.contains_key(&Metric::Hausdorff95Mm) {
        true => [Metric::Dice, Metric::SurfaceDiceMm, Metric::Hausdorff95Mm],
        false => [Metric::Dice, Metric::SurfaceDice, Metric::Hausdorff95],
    };
    let said = shown.iter().filter_map(|metric| {
        let value = scores.overall[metric]?;
        let digits = if metric.is_distance() { 1 } else { 4 };
        Some(format!("{} {value:.digits$}", metric.title()))
    });
    said.collect::<Vec<_>>().join(" · ")
}

#[cfg(test)]
pub(super) mod tests {
    use ndarray::Array3;
    use seg_contract::IGNORE_LABEL;

    use super::*;
    use crate::evaluation::report::tests::about;

    pub(crate) fn classes() -> Vec<Class> {
        vec![Class::new("background", 0), Class::new("nucleus", 1)]
    }

    /// Makes a report on images of 10x1 pixels, each with the number of its first pixels that are
    /// predicted; the first four are true.
    pub(crate) fn report(predicted: &[(&str, u32)], method: Method) -> Report {
        let mut evaluator = Evaluator::new(&classes(), method);
        let truth = GrayImage::from_fn(10, 1, |x, _| [if x == 9 { IGNORE_LABEL } else { u8::from(x < 4) }].into());
        for (name, count) in predicted {
            let mask = GrayImage::from_fn(10, 1, |x, _| [u8::from(x < *count)].into());
            let probabilities =
                Array3::from_shape_fn(
                    (2, 1, 10),
                    |(class, _, x)| {
                        if (x < *count as usize) == (class == 1) { 0.9 } else { 0.1 }
                    },
                );
            evaluator.add(name, &Rgb32FImage::new(10, 1), &truth, &mask, Some(probabilities.view()), None).unwrap();
        }
        evaluator.report(about(), vec![Skipped { name: "torn".into(), error: "cut off".into() }])
    }

    #[test]
    fn the_worst_images_are_kept_and_shown_the_worst_first() {
        let images = [("four", 4), ("none", 0), ("five", 5), ("one", 1), ("nine", 9), ("none again", 0)];
        for (worst, expected) in [(0, &[][..]), (3, &["none", "none again", "one"])] {
            let report = report(&images, Method { worst, ..Method::default() });
            let shown: Vec<_> = report.worst.iter().map(|exhibit| exhibit.name.as_str()).collect();
            assert_eq!(shown, expected);
            assert_eq!(report.images.len(), 6);
        }
    }

    #[test]
    fn masks_alone_are_measured_without_probabilities() {
        let mut evaluator = Evaluator::new(&classes(), Method::default());
        let mask = GrayImage::from_pixel(2, 1, [1].into());
        evaluator.add("a", &Rgb32FImage::new(2, 1), &mask, &mask, None, None).unwrap();
        let report = evaluator.report(about(), Vec::new());
        assert_eq!((&report.calibration, &report.thresholds), (&None, &None));
        assert!(!report.html().contains("Probabilities"));
    }

    #[test]
    fn an_image_that_does_not_fit_is_left_out() {
        let mut evaluator = Evaluator::new(&classes(), Method::default());
        let (image, mask) = (Rgb32FImage::new(2, 1), GrayImage::new(2, 1));
        for (name, truth, probabilities) in [
            ("size", GrayImage::new(1, 1), [2, 1, 2]),
            ("label", GrayImage::from_pixel(2, 1, [3].into()), [2, 1, 2]),
            ("probabilities", GrayImage::new(2, 1), [2, 2, 1]),
        ] {
            let probabilities = Array3::zeros(probabilities);
            assert!(evaluator.add(name, &image, &truth, &mask, Some(probabilities.view()), None).is_err(), "{name}");
        }
        assert_eq!(evaluator.images(), 0);
        let report = evaluator.report(about(), Vec::new());
        assert_eq!((report.images.len(), report.worst.len(), report.calibration), (0, 0, None));
    }
}
