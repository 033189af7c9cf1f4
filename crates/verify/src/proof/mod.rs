//! The comparison of three outputs for each input: the exact one, the training framework's and the
//! exported model's.

use std::collections::BTreeSet;

use image::{GrayImage, Luma, Rgb, Rgb32FImage};
use ndarray::{Array3, Array4, ArrayView4, Axis};
use seg_contract::{ColorOrder, Contract, Evaluation, EvaluationError, PostprocessError};
use seg_inference::{ModelOutput, RunError, Session};
use seg_onnx::Model;
use seg_report::Exhibit;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub(crate) mod classes;
pub(crate) mod comparison;
pub(crate) mod masks;
pub(crate) mod report;

use classes::ClassReport;
use comparison::{Comparison, batch_items, mask_of};
use report::{Dice, InputReport};

use crate::bounds::Bound;
use crate::error_stats::scale;
use crate::exact::{ExactError, ExactEvaluator, ExactOutput, amplification};
use crate::finding::Finding;
use crate::finding::contract::contract_differences;
use crate::inputs::{IMAGE, LoadedInput, ProofInput, ProofInputError};
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
    /// The first image with the exact mask and the model's, for the page; no file holds it.
    #[serde(skip)]
    pub exhibit: Option<Exhibit>,
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
    findings.extend(reference.check_values(inputs));
    let mut reports = Vec::with_capacity(inputs.len());
    let mut exhibit = None;
    for input in inputs {
        let Compared { report, masks } = compare(tested, evaluator, runner, input, exhibit.is_none())?;
        see(&report);
        if let Some(masks) = masks {
            exhibit = draw(&report, masks, &model.contract);
        }
        reports.push(report);
    }
    let (classes, of_all) = judge_all(&reports, &reference.model.contract, bound);
    findings.extend(of_all);
    Ok(Proof { findings, classes, inputs: reports, exhibit })
}

/// The report on an input, and what its page shows of an image.
struct Compared {
    report: InputReport,
    masks: Option<Masks>,
}

/// An image as the model sees it, with the exact mask and the model's.
struct Masks {
    image: Array4<f32>,
    exact: Array3<u8>,
    exported: Array3<u8>,
}

/// Draws an image with its two masks. A mask with a label that no class has cannot be drawn.
fn draw(report: &InputReport, masks: Masks, contract: &Contract) -> Option<Exhibit> {
    let bytes = contract.input.to_bytes(masks.image.view());
    let (_, height, width, _) = bytes.dim();
    let order = match contract.input.color {
        ColorOrder::Rgb => [0, 1, 2],
        ColorOrder::Bgr => [2, 1, 0],
        ColorOrder::Gray => [0; 3],
    };
    let pixel =
        |x: u32, y: u32| Rgb(order.map(|channel| f32::from(bytes[[0, y as usize, x as usize, channel]]) / 255.0));
    let image = Rgb32FImage::from_fn(width as u32, height as u32, pixel);
    let mask = |mask: &Array3<u8>| {
        GrayImage::from_fn(width as u32, height as u32, |x, y| Luma([mask[[0, y as usize, x as usize]]]))
    };
    let name = report.name.trim_start_matches(IMAGE).to_owned();
    let caption = format!("{} of {} pixels differ", report.mask.flipped, report.mask.pixels);
    let drawn = Exhibit::draw((name, caption), &image, &mask(&masks.exact), &mask(&masks.exported), &contract.classes);
    let names = ["exact mask", "the model's mask", "both, and their differences"];
    drawn.ok().map(|exhibit| Exhibit { names, ..exhibit })
}

/// Judges the reports on all inputs together: the classes over the masks of all images, and what
/// was compared. A proof and a reader of its certificate judge by this one rule.
pub(crate) fn judge_all(
    reports: &[InputReport],
    contract: &Contract,
    bound: &Bound,
) -> (Vec<ClassReport>, Vec<Finding>) {
    let mut findings = Vec::new();
    let images = reports.iter().filter(|report| report.is_image() && report.has_mask());
    let masks: Vec<_> = images.map(|report| &report.mask).collect();
    if bound.rests_on_images() && masks.is_empty() {
        findings.push(Finding::NoImage { precision: bound.precision });
    }
    if !bound.rests_on_images() && !reports.is_empty() && !reports.iter().any(|report| report.can_fail(bound)) {
        findings.push(Finding::Nothing);
    }
    findings.extend(framework_finding(reports, contract));
    let classes = classes::judge(&contract.classes, masks, bound);
    findings.extend(classes::findings(&classes, bound));
    (classes, findings)
}

/// Returns a finding if the training framework's output is unknown for an input that every
/// reference knows it for: then nothing shows that the graph is the network that was trained.
fn framework_finding(reports: &[InputReport], contract: &Contract) -> Option<Finding> {
    let known: BTreeSet<_> = ProofInput::fixed(false, &contract.input).into_iter().map(|input| input.name).collect();
    let asked = || reports.iter().filter(|report| known.contains(&report.name) && report.has_mask());
    let unknown = asked().filter(|report| report.framework.is_none()).count();
    (unknown > 0).then(|| Finding::NoFramework { unknown, inputs: asked().count() })
}

/// Compares the outputs for one input; `shows` asks for the masks of an image too.
fn compare(
    ModelUnderTest { reference, model, bound }: ModelUnderTest<'_>,
    evaluator: &mut ExactEvaluator,
    runner: &mut dyn Runner,
    input: &ProofInput,
    shows: bool,
) -> Result<Compared, ProofError> {
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
        return Ok(Compared { report, masks: None });
    }
    let single_outputs = match loaded.tensor.len_of(Axis(0)) > 1 && !beyond_float32 {
        true => batch_items(own.tensor.view()).map(&mut run).collect::<Result<Vec<_>, _>>()?,
        false => Vec::new(),
    };
    report.dice = dice(reference, input, &loaded, &exact, &output)?;
    // The name of a fixed input identifies it; an image file of the same name may be another image.
    let is_same = |framework: &&FrameworkOutput| !input.is_image() || framework.input_sha256 == report.input_sha256;
    let framework = reference.framework_outputs.get(&input.name).filter(is_same);
    let bound_of_input = &bound.for_input(input);
    let comparison = Comparison {
        exact: &exact,
        output: &output,
        single_outputs: &single_outputs,
        framework,
        kind: model.contract.output.kind,
        bound: bound_of_input,
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
    if input.is_image() && !judged.is_judged(bound) {
        judged.findings.push(Finding::NothingOfImage);
    }
    let masks = (shows && input.is_image() && judged.has_mask()).then(|| Masks {
        exact: masks::classes(exact.view()),
        exported: mask_of(&output),
        image: own.tensor,
    });
    Ok(Compared { report: judged, masks })
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
