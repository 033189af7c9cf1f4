//! The report on an evaluation: all results, and the conditions.

use std::collections::BTreeMap;

use seg_contract::{Class, ConfusionMatrix, Contract};
use seg_inference::{ModelFile, RunsOn, Settings};
use seg_metrics::{
    CalibrationSummary, ImageScores, Metric, ObjectCounts, RANK_BINS, RELIABILITY_BINS, Summary, SweepSummary,
    THRESHOLD_STEPS, Tolerance, Values, definition_of_surfaces,
};
use seg_report::Exhibit;
use serde::Serialize;

use super::failures::Failures;
use super::method::Method;

/// The report on an evaluation.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The model, the data and the program.
    #[serde(flatten)]
    pub about: About,
    /// The method of measurement.
    pub method: Method,
    /// The definition of each name, in sentences.
    pub definitions: BTreeMap<&'static str, String>,
    /// The scores of the masks.
    pub scores: Summary,
    /// The calibration of the probabilities; `None` if the model gives masks, or no pixel counts.
    pub calibration: Option<CalibrationSummary>,
    /// The scores at other thresholds; `None` unless there are probabilities of two classes.
    pub thresholds: Option<SweepSummary>,
    /// The failures of the model.
    pub failures: Failures,
    /// The scores of each image.
    pub images: Vec<ImageReport>,
    /// The images that are not part of any number.
    pub skipped: Vec<Skipped>,
    /// The curves of all thresholds, for the page.
    #[serde(skip)]
    pub(super) curves: Option<Curves>,
    /// The worst images, the worst first, for the page.
    #[serde(skip)]
    pub(super) worst: Vec<Exhibit>,
}

/// The model, the data and the program of an evaluation.
#[derive(Clone, Debug, Serialize)]
pub struct About {
    /// The program and its version.
    pub tool: String,
    /// The model files; the probabilities of several are averaged.
    pub models: Vec<ModelFile>,
    /// The first model's contract.
    pub contract: Contract,
    /// The settings for segmenting.
    pub settings: Settings,
    /// The provider that computed the model.
    pub runs_on: RunsOn,
    /// The data.
    pub data: Data,
}

/// The data that a model was evaluated on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Data {
    /// The name of the data set.
    pub name: String,
    /// The folder of the data set.
    pub folder: String,
    /// The folder without loss if its path is not UTF-8: a byte that is not part of UTF-8 is
    /// `\xff`, and a backslash is doubled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder_raw: Option<String>,
    /// The part of the data set.
    pub part: String,
    /// The fingerprint of the data set, as training records it:
    /// [`Dataset::fingerprint`](seg_data::Dataset::fingerprint); `None` if a file cannot be read.
    pub sha256: Option<String>,
    /// The reason for which there is no fingerprint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The images among them that the model has learned from; `None` if the model does not say
    /// which these were.
    pub learned_from: Option<usize>,
    /// The images among them by which the model's epoch was chosen; `None` as above.
    pub chose_epoch: Option<usize>,
    /// The warnings about the images and their masks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// The scores of one image.
#[derive(Clone, Debug, Serialize)]
pub struct ImageReport {
    /// The image.
    pub name: String,
    /// The pixels by true and predicted class.
    pub confusion: ConfusionMatrix,
    /// Mean IoU and accuracy, and the mean of every other metric over the classes without the
    /// background.
    pub overall: Values,
    /// The classes without the background, by name.
    pub classes: BTreeMap<String, ClassReport>,
}

/// The scores of a class in one image.
#[derive(Clone, Debug, Serialize)]
pub struct ClassReport {
    /// The metrics.
    #[serde(flatten)]
    pub values: Values,
    /// The objects.
    pub objects: ObjectCounts,
}

/// An image that could not be measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// The image.
    pub name: String,
    /// The reason.
    pub error: String,
}

/// Curves over all thresholds.
#[derive(Clone, Debug)]
pub(super) struct Curves {
    pub(super) roc: Vec<(f64, f64)>,
    pub(super) precision_recall: Vec<(f64, f64)>,
}

impl Report {
    /// Formats the report as indented JSON.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a report has only string keys") + "\n"
    }
}

impl ImageReport {
    pub(super) fn new(name: String, scores: ImageScores, classes: &[Class]) -> Self {
        let ImageScores { confusion, overall, classes: values, objects } = scores;
        let reports = values.into_iter().zip(objects).map(|(values, objects)| ClassReport { values, objects });
        let classes = classes.iter().skip(1).map(|class| class.name.clone()).zip(reports).collect();
        Self { name, confusion, overall, classes }
    }
}

/// Defines each name in a report.
pub(super) fn definitions(tolerance: Tolerance) -> BTreeMap<&'static str, String> {
    let mut definitions: BTreeMap<_, _> =
        Metric::ALL.iter().map(|metric| (metric.name(), metric.definition(tolerance))).collect();
    let others = [
        ("surfaces", definition_of_surfaces().to_owned()),
        ("ignored", "pixels labelled 255, such as those outside a field of view, are in no number".into()),
        ("overall", "the mean over the classes without the background, of each image or of the pooled classes".into()),
        ("per_image", "the mean of the images' own values, over the images that define one (`images`)".into()),
        ("pooled", "from the pixels of all images together; distances have no pooled value".into()),
        ("interval", "percentile bootstrap over images (Efron 1979), as `method.bootstrap` says".into()),
        ("objects", "pixels that hang together across sides and corners; missed or invented where the other mask has none of them".into()),
        (
            "brier",
            "mean over pixels of the sum over classes of (probability - truth)^2 (Brier 1950); 0 to 2, twice what is usual for two classes".into(),
        ),
        ("negative_log_likelihood", "mean over pixels of -ln of the true class's probability, which counts as at least 1.2e-7".into()),
        (
            "expected_error",
            format!(
                "expected calibration error in {RELIABILITY_BINS} bins of equal width, closed below: the mean over pixels of \
                 |mean probability - share that is so| of their bin; `top` of the most probable class (Guo et al. 2017), \
                 `classes` of each class's own probability"
            ),
        ),
        (
            "thresholds",
            format!(
                "from the pixels of all images together, before any change to the mask; the target is what is at least as \
                 probable; `best` has the largest Dice among multiples of 1/{THRESHOLD_STEPS}, found on these very images"
            ),
        ),
        (
            "roc_auc",
            format!("area under the ROC by trapezoids, pixels ranked in {RANK_BINS} bins of 1/64 in the logarithm of the odds"),
        ),
        ("average_precision", "sum of (R_n - R_(n-1)) P_n over the same ranks".into()),
    ];
    definitions.extend(others);
    definitions
}

#[cfg(test)]
pub(super) mod tests {
    use seg_contract::{
        CONTRACT_FORMAT, ColorOrder, Input, InputForm, Output, OutputKind, Provenance, Reading, SizePolicy,
    };
    use serde_json::Value;

    use super::*;
    use crate::evaluation::evaluator::tests::{classes, report};

    pub(crate) fn about() -> About {
        let input = Input {
            name: "input".into(),
            color: ColorOrder::Rgb,
            mean: vec![0.5; 3],
            std: vec![0.5; 3],
            size: SizePolicy::Native,
            side_min: 8,
            side_multiple: 1,
            form: InputForm::default(),
            reading: Reading::default(),
        };
        About {
            tool: "seg-runtime 1.2.3".into(),
            models: vec![ModelFile { file: "<model>.onnx".into(), file_raw: None, sha256: "abc".into() }],
            contract: Contract {
                format: CONTRACT_FORMAT,
                input,
                output: Output { name: "logits".into(), kind: OutputKind::Logits },
                classes: classes(),
                provenance: Provenance::default(),
            },
            settings: Settings::default(),
            runs_on: RunsOn { nodes: [("CPU".into(), 7)].into(), ..RunsOn::default() },
            data: Data {
                name: "<cells>".into(),
                folder: "data".into(),
                folder_raw: None,
                part: "test".into(),
                sha256: Some("def".into()),
                error: None,
                learned_from: Some(2),
                chose_epoch: Some(0),
                warnings: vec!["no mask shows `<x>`".into()],
            },
        }
    }

    #[test]
    fn the_json_has_every_number_with_its_definition_and_where_it_comes_from() {
        let report = report(&[("a", 4), ("b", 2)], Method::default());
        let json: Value = serde_json::from_str(&report.json()).unwrap();
        for (path, expected) in [
            ("/tool", Value::from("seg-runtime 1.2.3")),
            ("/models/0/sha256", "abc".into()),
            ("/contract/classes/1/name", "nucleus".into()),
            ("/runs_on/provider", "cpu".into()),
            ("/runs_on/precision", "fp32".into()),
            ("/data/sha256", "def".into()),
            ("/method/bootstrap/replicates", 1000.into()),
            ("/scores/per_image/overall/dice/images", 2.into()),
            ("/scores/per_image/classes/nucleus/sensitivity/value", 0.75.into()),
            ("/scores/pooled/classes/nucleus/dice/value", (12.0 / 14.0).into()),
            ("/scores/confusion/counts/1", vec![2, 6].into()),
            ("/calibration/pixels", 18.into()),
            ("/thresholds/thresholds/49/dice", (12.0 / 14.0).into()),
            ("/failures/worst/0", "b".into()),
            ("/images/1/overall/hausdorff", 2.0.into()),
            ("/images/1/classes/nucleus/objects/truth", 1.into()),
            ("/skipped/0/error", "cut off".into()),
        ] {
            assert_eq!(json.pointer(path), Some(&expected), "{path}");
        }
        let definitions = json["definitions"].as_object().unwrap();
        for name in Metric::ALL.map(Metric::name) {
            assert!(definitions.contains_key(name), "{name}");
        }
        assert!(definitions["surface_dice"].as_str().unwrap().contains("within 2 px"));
    }
}
