//! The comparison of three outputs for each input: the exact one, the training framework's and the
//! exported model's.

use image::GrayImage;
use ndarray::{Array4, ArrayView4, Axis};
use seg_contract::{Evaluation, EvaluationError, PostprocessError};
use seg_inference::{ModelOutput, RunError, Session};
use seg_onnx::Model;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub(crate) mod classes;
mod comparison;
pub(crate) mod masks;
pub(crate) mod report;

use classes::ClassReport;
use comparison::{Comparison, batch_items};
use report::{Dice, InputReport};

use crate::bounds::Bound;
use crate::error_stats::scale;
use crate::exact::{ExactError, ExactEvaluator, ExactOutput, amplification};
use crate::finding::Finding;
use crate::finding::contract::contract_differences;
use crate::inputs::{LoadedInput, ProofInput, ProofInputError};
use crate::reference::Reference;
use crate::reference::framework::FrameworkOutput;

/// A way to run an exported model.
pub trait Runner {
    /// Runs the model on a batch of normalised images `[n, channels, h, w]`.
    ///
    /// # Errors
    /// When the model cannot be run.
    fn run_batch(&mut self, input: ArrayView4<'_, f32>) -> Result<ModelOutput, RunError>;
}

impl Runner for Session {
    fn run_batch(&mut self, input: ArrayView4<'_, f32>) -> Result<ModelOutput, RunError> {
        self.infer(input)
    }
}

/// An error that makes a comparison impossible. A defect of the model is not an error but a
/// [`Finding`].
#[derive(Debug, Error)]
pub enum ProofError {
    /// The input cannot be loaded.
    #[error(transparent)]
    Input(#[from] ProofInputError),
    /// The exact output cannot be computed.
    #[error("cannot compute the exact output for the input `{input}`")]
    Exact {
        /// The input.
        input: String,
        /// The cause.
        source: Box<ExactError>,
    },
    /// The model cannot be run.
    #[error("cannot run the model on the input `{input}`")]
    Run {
        /// The input.
        input: String,
        /// The cause.
        source: RunError,
    },
    /// The logits cannot be converted to a mask.
    #[error("cannot make a mask of the input `{input}`")]
    Mask {
        /// The input.
        input: String,
        /// The cause.
        source: PostprocessError,
    },
    /// The mask cannot be compared with the true one.
    #[error("cannot score the mask of the input `{input}`")]
    Score {
        /// The input.
        input: String,
        /// The cause.
        source: EvaluationError,
    },
}

/// The model that a proof is about.
#[derive(Clone, Copy, Debug)]
pub struct ModelUnderTest<'a> {
    /// The reference that it is compared with.
    pub reference: &'a Reference,
    /// The content of its file.
    pub model: &'a Model,
    /// The largest errors that pass.
    pub bound: &'a Bound,
}

/// The result of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Proof {
    /// The findings against the file itself, and against the masks of all images together.
    pub findings: Vec<Finding>,
    /// The verdict on each class over the masks of all images, if masks are judged.
    pub classes: Vec<ClassReport>,
    /// The report on each input.
    #[serde(rename = "cases")]
    pub inputs: Vec<InputReport>,
}

impl Proof {
    /// Returns true if there are inputs and no findings.
    pub fn holds(&self) -> bool {
        !self.inputs.is_empty() && self.findings().next().is_none()
    }

    /// Returns true if the proof fails only because too little was compared.
    pub fn is_undecided(&self) -> bool {
        !self.holds() && self.findings().all(Finding::is_undecided)
    }

    /// Lists all findings: those against the file, then those of each input.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().chain(self.inputs.iter().flat_map(|input| &input.findings))
    }
}

/// Compares a model with its reference, input by input, and calls `see` with each report as soon as
/// it is complete.
///
/// # Errors
/// When there are no outputs to compare.
pub fn prove(
    tested: ModelUnderTest<'_>,
    evaluator: &mut ExactEvaluator,
    runner: &mut dyn Runner,
    inputs: &[ProofInput],
    mut see: impl FnMut(&InputReport),
) -> Result<Proof, ProofError> {
    let ModelUnderTest { reference, model, bound } = tested;
    let mut findings = reference.check_hash();
    findings.extend(contract_differences(&model.contract, &reference.model.contract, false));
    let mut reports = Vec::with_capacity(inputs.len());
    for input in inputs {
        let report = compare(tested, evaluator, runner, input)?;
        see(&report);
        reports.push(report);
    }
    let images = reports.iter().filter(|report| report.is_image() && report.has_mask());
    let masks: Vec<_> = images.map(|report| &report.mask).collect();
    if bound.rests_on_images() && masks.is_empty() {
        findings.push(Finding::NoImage { precision: bound.precision });
    }
    if !bound.rests_on_images() && !reports.is_empty() && !reports.iter().any(|report| report.can_fail(bound)) {
        findings.push(Finding::Nothing);
    }
    let classes = classes::judge(&reference.model.contract.classes, masks, bound);
    findings.extend(classes::findings(&classes, bound));
    Ok(Proof { findings, classes, inputs: reports })
}

/// Compares the outputs for one input.
fn compare(
    ModelUnderTest { reference, model, bound }: ModelUnderTest<'_>,
    evaluator: &mut ExactEvaluator,
    runner: &mut dyn Runner,
    input: &ProofInput,
) -> Result<InputReport, ProofError> {
    let loaded = input.load(&reference.model.contract)?;
    let failed = |source| ProofError::Exact { input: input.name.clone(), source: Box::new(source) };
    let ExactOutput { output: exact, largest_magnitude } =
        evaluator.output(input, loaded.tensor.view()).map_err(failed)?.clone();
    // Loaded by the model's own contract, so that the file's description of its input is proven
    // too.
    let own = input.load(&model.contract)?;
    let mut run =
        |tensor| runner.run_batch(tensor).map_err(|source| ProofError::Run { input: input.name.clone(), source });
    let output = run(own.tensor.view())?;
    let beyond_float32 = largest_magnitude > f64::from(f32::MAX);
    let mut report = InputReport::new(&input.name, &loaded, beyond_float32);
    if let Some(finding) = shape_finding(&output, &exact) {
        report.findings.push(finding);
        return Ok(report);
    }
    let single_outputs = match loaded.tensor.len_of(Axis(0)) > 1 && !beyond_float32 {
        true => batch_items(own.tensor.view()).map(&mut run).collect::<Result<Vec<_>, _>>()?,
        false => Vec::new(),
    };
    report.dice = dice(reference, input, &loaded, &exact, &output)?;
    // The name of a fixed input identifies it; an image file of the same name may be another image.
    let is_same = |framework: &&FrameworkOutput| !input.is_image() || framework.input_sha256 == report.input_sha256;
    let framework = reference.framework_outputs.get(&input.name).filter(is_same);
    let times_trained = bound.times_trained.filter(|_| !input.overflows() && !input.repeats());
    let comparison = Comparison {
        exact: &exact,
        output: &output,
        single_outputs: &single_outputs,
        framework,
        kind: model.contract.output.kind,
        is_image: input.is_image(),
        bound: &Bound { times_trained, ..*bound },
    };
    let ordinary = scale(exact.view().into_dyn());
    let mut judged = comparison.judge(report.clone(), ordinary);
    if !judged.findings.is_empty() && !beyond_float32 {
        // Perhaps no computation in 32-bit floats could pass.
        let error = evaluator.rounding_error(loaded.tensor.view(), exact.view()).map_err(failed)?;
        if let Some(amplification) = amplification(error, ordinary) {
            report.amplification = Some(amplification);
            judged = comparison.judge(report, ordinary * amplification);
        }
    }
    let is_judged = if bound.rests_on_images() { !beyond_float32 } else { judged.can_fail(bound) };
    if input.is_image() && !is_judged {
        judged.findings.push(Finding::NothingOfImage);
    }
    Ok(judged)
}

/// Returns a finding if the output has another shape than the exact one.
fn shape_finding(output: &ModelOutput, exact: &Array4<f64>) -> Option<Finding> {
    let (n, _, height, width) = exact.dim();
    let (found, expected) = match output {
        ModelOutput::Scores(scores) => (scores.shape(), exact.shape()),
        ModelOutput::Masks(masks) => (masks.shape(), &[n, height, width][..]),
    };
    (found != expected).then(|| Finding::Shape { found: found.to_vec(), expected: expected.to_vec() })
}

/// Scores the exact and the exported mask against the true one, if there is one.
fn dice(
    reference: &Reference,
    input: &ProofInput,
    loaded: &LoadedInput,
    exact: &Array4<f64>,
    output: &ModelOutput,
) -> Result<Option<Dice>, ProofError> {
    let (Some(truth), Some(geometry)) = (&loaded.truth, &loaded.geometry) else { return Ok(None) };
    let contract = &reference.model.contract;
    let failed = |source| ProofError::Mask { input: input.name.clone(), source };
    let exact = exact.index_axis(Axis(0), 0).mapv(|logit| logit as f32);
    let exact = contract.postprocess(exact.view(), geometry).map_err(failed)?;
    let exported = match output {
        ModelOutput::Scores(scores) => contract.postprocess(scores.index_axis(Axis(0), 0), geometry),
        ModelOutput::Masks(masks) => contract.postprocess_mask(masks.index_axis(Axis(0), 0), geometry),
    };
    let exported = exported.map_err(failed)?;
    let classes = contract.classes.len();
    Ok(Some(Dice { exact: score(input, classes, &exact, truth)?, exported: score(input, classes, &exported, truth)? }))
}

/// Returns the mean Dice of a mask over the classes without the background.
fn score(input: &ProofInput, classes: usize, mask: &GrayImage, truth: &GrayImage) -> Result<f64, ProofError> {
    let scored = Evaluation::new(classes).add(mask, truth).map(|scores| scores.target_dice());
    scored.map_err(|source| ProofError::Score { input: input.name.clone(), source })
}
