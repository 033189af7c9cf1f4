//! The outcome of a cross-validation: its scores, what was chosen, and the commands that go on from
//! there.

use std::path::{Path, PathBuf};

use seg_data::{WriteError, write_bytes};
use seg_metrics::{Bootstrap, Estimate};
use seg_text::csv::{Cell, row};
use seg_text::shell;
use serde::Serialize;

use super::choice::Choice;
use super::out_of_fold::OutOfFold;
use super::{CrossValidation, page};
use crate::run::Run;
use crate::run::summary::{Summary, SummaryError, summarize};

/// All results, as JSON.
pub const OUTCOME: &str = "cross-validation.json";
/// A line per image.
pub const TABLE: &str = "images.csv";
/// The results, for people to read.
pub const REPORT: &str = "report.html";

/// The outcome of a cross-validation.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The name of the data set.
    pub data: String,
    /// The network with its settings.
    pub network: String,
    /// The names of the classes.
    pub classes: Vec<String>,
    /// The folds, each at its best epoch: mean and deviation of every metric.
    pub folds: Summary,
    /// The mean Dice of all images, each predicted by the network that has not learned from it.
    pub dice: Estimate,
    /// The same with the threshold and the cleaning that were chosen.
    pub chosen_dice: Estimate,
    /// The threshold and the cleaning.
    pub choice: Choice,
    /// Every image, fold by fold.
    pub images: Vec<ImageOutcome>,
    /// The commands that export every fold, and at the end the one that runs them as one.
    pub next: Vec<String>,
}

/// An image in a cross-validation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ImageOutcome {
    /// Its name.
    pub name: String,
    /// The fold that has not learned from it, counted from 1.
    pub fold: usize,
    /// The Dice as the network answers, over the classes without the background.
    pub dice: f64,
    /// The mean IoU over all classes.
    pub mean_iou: f64,
    /// The Dice with the threshold and the cleaning that were chosen.
    pub chosen_dice: f64,
}

impl Outcome {
    /// Gathers the results of runs that have ended.
    ///
    /// # Errors
    /// When a run cannot be read or has not ended.
    pub fn new(series: &CrossValidation, predictions: &OutOfFold, choice: Choice) -> Result<Self, SummaryError> {
        let folds = summarize(&series.folders(), false)?;
        let images: Vec<_> = predictions
            .images
            .iter()
            .zip(&choice.dice)
            .map(|(image, chosen)| ImageOutcome {
                name: image.sample.name.clone(),
                fold: image.fold,
                dice: image.confusion.target_dice(),
                mean_iou: image.confusion.mean_iou(),
                chosen_dice: *chosen,
            })
            .collect();
        let first = &series.runs[0];
        Ok(Self {
            data: first.dataset.name.clone(),
            network: first.config.network.to_string(),
            classes: predictions.classes.iter().map(|class| class.name.clone()).collect(),
            folds,
            dice: mean(&predictions.dice()),
            chosen_dice: mean(&choice.dice),
            next: next(series, &choice),
            choice,
            images,
        })
    }

    /// Writes the results into a folder: as JSON, as a table, and as a page.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), WriteError> {
        let json = serde_json::to_string_pretty(self).expect("an outcome has only string keys") + "\n";
        write_bytes(&folder.join(OUTCOME), json.as_bytes())?;
        write_bytes(&folder.join(TABLE), self.table().as_bytes())?;
        write_bytes(&folder.join(REPORT), page::html(self).as_bytes())
    }

    fn table(&self) -> String {
        let head = ["image", "fold", "dice", "mean_iou", "chosen_dice"];
        let head = row(head.map(|name| Cell::Text(name.into())));
        let lines = self.images.iter().map(|image| {
            let numbers = [image.fold as f64, image.dice, image.mean_iou, image.chosen_dice];
            row([Cell::Text(image.name.clone())]
                .into_iter()
                .chain(numbers.map(|number| Cell::Number(number.to_string()))))
        });
        head + &lines.collect::<String>()
    }
}

/// Returns the mean over images, with its confidence interval.
fn mean(values: &[f64]) -> Estimate {
    let of = |drawn: &[usize]| Some(drawn.iter().map(|image| values[*image]).sum::<f64>() / drawn.len() as f64);
    let all: Vec<_> = (0..values.len()).collect();
    let interval = Bootstrap::default().interval(values.len(), of);
    Estimate { value: of(&all).filter(|_| !values.is_empty()), interval, images: values.len() }
}

/// Returns the commands that export every fold and segment images with all of them.
fn next(series: &CrossValidation, choice: &Choice) -> Vec<String> {
    let models = series.models();
    let export = |(run, model): (&Run, &PathBuf)| {
        format!("seg export --checkpoint {} --out {}", shell::path(&run.folder), shell::path(model))
    };
    let members: Vec<_> = models.iter().map(|model| format!("--model {}", shell::path(model))).collect();
    let flags: String = choice.flags().iter().map(|flag| format!(" {flag}")).collect();
    let infer = format!("seg infer {}{flags} --out predictions IMAGES", members.join(" "));
    series.runs.iter().zip(&models).map(export).chain([infer]).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use seg_metrics::Cleanup;

    use super::super::choice::{Gain, Trial};
    use super::*;
    use crate::run::summary::{RunSummary, Spread};

    pub(crate) fn outcome() -> Outcome {
        let gain = Gain { mean: 0.02, interval: Some([0.01, 0.03]) };
        let trial = |flag, value: &str, is_kept| Trial { flag, value: value.into(), gain, is_kept };
        let image = |name: &str, fold, dice| ImageOutcome {
            name: name.into(),
            fold,
            dice,
            mean_iou: dice / 2.0,
            chosen_dice: dice + 0.02,
        };
        let images = vec![image("=a", 1, 0.5), image("<b>", 2, 0.75)];
        let run = |fold: &str| RunSummary {
            folder: PathBuf::from(format!("runs/cv/fold-{}", &fold[..1])),
            seed: 0,
            fold: Some(fold.into()),
            best_epoch: 3,
            epochs: 4,
        };
        let spread = Spread { mean: 0.625, std: Some(0.125), values: vec![0.5, 0.75] };
        let metrics = [("validation dice_per_image".to_owned(), spread)].into();
        let cleanup = [("cell".to_owned(), Cleanup { min_area: 9, ..Cleanup::default() })].into();
        Outcome {
            data: "<cells>".into(),
            network: "AMSUnet".into(),
            classes: vec!["background".into(), "cell".into()],
            folds: Summary { runs: vec![run("1/2"), run("2/2")], metrics },
            dice: mean(&[0.5, 0.75]),
            chosen_dice: mean(&[0.52, 0.77]),
            choice: Choice {
                threshold: Some(0.4),
                cleanup,
                trials: vec![trial("--threshold", "0.4", true), trial("--min-area", "cell=9", false)],
                dice: vec![0.52, 0.77],
            },
            images,
            next: vec!["seg export --checkpoint runs/cv/fold-1 --out runs/cv/fold-1.onnx".into()],
        }
    }

    #[test]
    fn the_table_has_a_line_per_image_and_no_formula() {
        let table = outcome().table();
        let lines: Vec<_> = table.split("\r\n").collect();
        assert_eq!(lines[0], "image,fold,dice,mean_iou,chosen_dice");
        assert_eq!(lines[1], "'=a,1,0.5,0.25,0.52");
        assert_eq!(lines.len(), 4);
    }

    #[test]
    fn the_mean_has_its_interval() {
        let estimate = mean(&[0.5, 0.75]);
        assert_eq!((estimate.value, estimate.images), (Some(0.625), 2));
        assert_eq!(estimate.interval, Some([0.5, 0.75]));
        assert_eq!(mean(&[]).value, None);
    }
}
