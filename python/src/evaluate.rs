//! `evaluate`: the scores of a model on a data set.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use pyo3::prelude::*;
use seg_contract::{LearnedFrom, OutputKind, Pixels};
use seg_data::{Dataset, Overlap, Part, Sample};
use seg_inference::{Segmentation, Settings};
use seg_runtime::evaluation::{About, Data, Evaluator, Method, Skipped};

use crate::error::any_error;
use crate::json;
use crate::segmenter::Segmenter;

/// Scores a model on a part of a data set, and returns the report. `tolerance` is that of surfaces
/// in pixels and in millimetres.
pub(crate) fn evaluate(
    py: Python<'_>,
    segmenter: &Segmenter,
    data: &Path,
    split: Option<&str>,
    tolerance: [f64; 2],
    bootstrap: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<Py<PyAny>> {
    let text = py.detach(|| report(segmenter, data, split, tolerance, bootstrap, progress.as_ref()));
    json::to_python(py, &text.map_err(|error| any_error(&error))?)
}

fn report(
    segmenter: &Segmenter,
    data: &Path,
    split: Option<&str>,
    [tolerance_px, tolerance_mm]: [f64; 2],
    bootstrap: usize,
    progress: Option<&Py<PyAny>>,
) -> anyhow::Result<String> {
    let contract = segmenter.model_contract();
    let probabilities = contract.output.kind != OutputKind::Mask;
    let settings = Settings { probabilities, ..segmenter.base_settings().clone() };
    let dataset = Dataset::open(data)?.with_reading(&contract.input.reading)?;
    let same = |own: &[seg_contract::Class], other: &[seg_contract::Class]| {
        own.len() == other.len()
            && own
                .iter()
                .zip(other)
                .all(|(own, class)| own.name == class.name || !other.iter().any(|other| other.name == own.name))
    };
    ensure!(
        same(&contract.classes, &dataset.classes),
        "the classes of the model and of the data set differ in number or order; number them as the model does, in the masks \
         and in `classes.json`"
    );
    let part = split.map(str::parse::<Part>).transpose()?;
    let (part, samples) = dataset.part(part)?;
    let learned = LearnedFrom::read(&contract.provenance);
    let overlap = learned.map(|learned| Overlap::find(&samples, &learned));
    if let Some(refusal) = overlap.as_ref().and_then(|overlap| overlap.refusal(samples.len())) {
        bail!("{refusal}");
    }
    let standard = Method::default();
    let method = Method {
        tolerance_px,
        tolerance_mm,
        bootstrap: seg_metrics::Bootstrap { replicates: bootstrap, ..standard.bootstrap },
        ..standard
    };
    let mut evaluator = Evaluator::new(&contract.classes, method);
    let mut skipped = Vec::new();
    for sample in &samples {
        match measure(segmenter, &settings, &mut evaluator, sample) {
            Ok(dice) => {
                if let Some(progress) = progress {
                    Python::attach(|py| progress.call1(py, (&sample.name, dice)))?;
                }
            }
            Err(error) => skipped.push(Skipped { name: sample.name.clone(), error: format!("{error:#}") }),
        }
    }
    ensure!(evaluator.images() > 0, "none of the {} images could be measured", samples.len());
    let (models, runs_on) = segmenter.parts();
    let (sha256, error) = match dataset.fingerprint() {
        Ok(sha256) => (Some(sha256), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let folder = data.to_string_lossy().into_owned();
    let about = About {
        tool: format!("seg-python {}", env!("CARGO_PKG_VERSION")),
        models,
        contract: contract.clone(),
        settings,
        runs_on,
        data: Data {
            name: dataset.name.clone(),
            folder,
            folder_raw: None,
            part: part.to_string(),
            sha256,
            error,
            learned_from: overlap.as_ref().map(|overlap| overlap.training.len()),
            chose_epoch: overlap.as_ref().map(|overlap| overlap.validation.len()),
            warnings: Vec::new(),
        },
    };
    Ok(evaluator.report(about, skipped).json())
}

/// Measures one sample and returns its Dice.
fn measure(
    segmenter: &Segmenter,
    settings: &Settings,
    evaluator: &mut Evaluator,
    sample: &Sample,
) -> anyhow::Result<f64> {
    let (image, truth, spacing) = sample.load_sized()?;
    let mut model = segmenter.lane(0);
    model.set(settings.clone())?;
    let pixels = Pixels::from(&image).with_spacing(spacing);
    let Segmentation { mask, probabilities, .. } = model.segment(pixels).context("cannot segment it")?;
    let probabilities = probabilities.as_ref().map(|probabilities| probabilities.view());
    let scores = evaluator.add(&sample.name, &image, &truth, &mask, probabilities, spacing)?;
    Ok(scores.confusion.target_dice())
}
