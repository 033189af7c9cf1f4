//! The comparison itself: three answers to each input, the exact one, the training framework's and the exported model's.

use image::GrayImage;
use ndarray::{Array4, ArrayView4, Axis};
use seg_contract::{Evaluation, EvaluationError, PostprocessError};
use seg_inference::session::{ModelOutput, RunError, Session};
use seg_onnx::Model;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::bounds::{ANY_ANSWER, Bound};
use crate::case::{self, Case, CaseError, Input};
use crate::class::{self, ClassReport};
use crate::evidence::Evidence;
use crate::figures::{self, Figures};
use crate::finding::{Finding, contract_differences};
use crate::masks::MaskReport;
use crate::reference::{Reference, Trained, TrainedReport, items};
use crate::yardstick::{Exact, Yardstick, YardstickError, amplification};

/// Something that answers as an exported model does.
pub trait Deployed {
    /// What it gives for a batch of normalised images `[n, channels, h, w]`.
    ///
    /// # Errors
    /// When it cannot be run.
    fn answer(&mut self, input: ArrayView4<'_, f32>) -> Result<ModelOutput, RunError>;
}

impl Deployed for Session {
    fn answer(&mut self, input: ArrayView4<'_, f32>) -> Result<ModelOutput, RunError> {
        Self::infer(self, input)
    }
}

/// What was found in one case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseReport {
    /// The case.
    pub name: String,
    /// Images, height and width of the model's input.
    pub shape: [usize; 3],
    /// The hash of the input.
    pub input_sha256: String,
    /// Height and width of the image file of which the input is the middle, where the model takes another size only.
    #[serde(default)]
    pub middle_of: Option<[usize; 2]>,
    /// The error of the exported model, where it gives scores.
    pub exported: Option<Figures>,
    /// The error of the same scores in the training framework, where it is known.
    pub trained: Option<Figures>,
    /// What the training framework's own answer was found to be, where it is known.
    pub framework: Option<TrainedReport>,
    /// Whether a value inside of the network is so large that no 32-bit float holds it. Then there is nothing to compare, and all that is asked is
    /// that the model does not hide it.
    pub beyond_float32: bool,
    /// How many times as large as usual the scale is that errors of the logits are measured by: as much as the network amplifies rounding for this
    /// input, see [`amplification`]. Looked at only where something would speak against the model otherwise.
    pub amplification: Option<f64>,
    /// The exported model's root mean square error in those of the training framework.
    pub times_trained: Option<f64>,
    /// How many pass, where that is asked: see [`Bound::times_trained`].
    pub times_allowed: Option<f64>,
    /// The same of the largest errors, which is told and not judged: see [`Bound::times_trained`].
    pub largest_times_trained: Option<f64>,
    /// The largest difference of an image's answer in the batch and alone, relative to the scale; of masks the share of differing pixels.
    pub batch: Option<f64>,
    /// How much passes.
    pub batch_allowed: Option<f64>,
    /// The mask.
    pub mask: MaskReport,
    /// The scores where the true mask is known.
    pub dice: Option<Dice>,
    /// What speaks against the model.
    pub findings: Vec<Finding>,
}

/// The mean Dice over the classes without the background, against the true mask.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dice {
    /// Of the exact mask.
    pub exact: f64,
    /// Of the exported model's.
    pub exported: f64,
}

/// Why a model cannot be compared. What speaks against a model is no error but a [`Finding`].
#[derive(Debug, Error)]
pub enum ProofError {
    /// A case cannot be had.
    #[error(transparent)]
    Case(#[from] CaseError),
    /// There is no exact answer.
    #[error("cannot compute the exact answer to case `{case}`")]
    Yardstick {
        /// The case.
        case: String,
        /// Why.
        source: Box<YardstickError>,
    },
    /// The model cannot be run.
    #[error("cannot run case `{case}`")]
    Run {
        /// The case.
        case: String,
        /// Why.
        source: RunError,
    },
    /// Logits cannot be brought to a mask.
    #[error("cannot make a mask in case `{case}`")]
    Mask {
        /// The case.
        case: String,
        /// Why.
        source: PostprocessError,
    },
    /// The true mask cannot be compared with.
    #[error("cannot score case `{case}`")]
    Score {
        /// The case.
        case: String,
        /// Why.
        source: EvaluationError,
    },
}

/// A model that is to be proven.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// What it is held against.
    pub reference: &'a Reference,
    /// What its file holds.
    pub model: &'a Model,
    /// What is asked of it.
    pub bound: &'a Bound,
}

/// What came of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    /// What speaks against the file, whatever it computes, and against what it makes of all images together.
    pub findings: Vec<Finding>,
    /// What the masks of all images say of each class, where they are judged.
    pub classes: Vec<ClassReport>,
    /// What was found in each case.
    pub cases: Vec<CaseReport>,
}

impl Proof {
    /// Whether nothing speaks against the model, and there was something that could have.
    pub fn holds(&self) -> bool {
        !self.cases.is_empty() && self.findings().next().is_none()
    }

    /// Whether it does not hold only because too little was asked: nothing speaks against the model.
    pub fn is_undecided(&self) -> bool {
        !self.holds() && self.findings().all(Finding::is_undecided)
    }

    /// All that speaks against the model.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().chain(self.cases.iter().flat_map(|case| &case.findings))
    }
}

/// Compares a model with what it is held against, case by case; shows what came of each as soon as it is known.
///
/// # Errors
/// When there are no answers to compare.
pub fn prove(
    subject: Subject<'_>,
    yardstick: &mut Yardstick,
    deployed: &mut dyn Deployed,
    cases: &[Case],
    mut see: impl FnMut(&CaseReport),
) -> Result<Proof, ProofError> {
    let Subject { reference, model, bound } = subject;
    let mut findings = reference.check_hash();
    findings.extend(contract_differences(&model.contract, &reference.model.contract, false));
    let examine = |case| {
        let report = examine(subject, yardstick, deployed, case)?;
        see(&report);
        Ok(report)
    };
    let reports = cases.iter().map(examine).collect::<Result<Vec<_>, ProofError>>()?;
    let images = reports.iter().filter(|report| report.is_image() && report.has_mask());
    let masks: Vec<_> = images.map(|report| &report.mask).collect();
    if bound.rests_on_images() && masks.is_empty() {
        findings.push(Finding::NoImage { precision: bound.precision });
    }
    if !bound.rests_on_images() && !reports.is_empty() && !reports.iter().any(|report| report.is_telling(bound)) {
        findings.push(Finding::Nothing);
    }
    let classes = class::judge(&reference.model.contract.classes, masks, bound);
    findings.extend(class::findings(&classes, bound));
    Ok(Proof { findings, classes, cases: reports })
}

/// Compares the answers to one case.
fn examine(
    Subject { reference, model, bound }: Subject<'_>,
    yardstick: &mut Yardstick,
    deployed: &mut dyn Deployed,
    case: &Case,
) -> Result<CaseReport, ProofError> {
    let input = case.load(&reference.model.contract)?;
    let failed = |source| ProofError::Yardstick { case: case.name.clone(), source: Box::new(source) };
    let Exact { output: exact, reach } = yardstick.answer(case, input.tensor.view()).map_err(failed)?.clone();
    // By its own contract, so that what the file says of the input is proven as well.
    let own = case.load(&model.contract)?;
    let mut run = |input| deployed.answer(input).map_err(|source| ProofError::Run { case: case.name.clone(), source });
    let answer = run(own.tensor.view())?;
    let (n, _, height, width) = input.tensor.dim();
    let beyond_float32 = reach > f64::from(f32::MAX);
    let mut report = CaseReport {
        name: case.name.clone(),
        shape: [n, height, width],
        input_sha256: case::sha256(input.tensor.view()),
        middle_of: input.middle_of,
        exported: None,
        trained: None,
        framework: None,
        beyond_float32,
        amplification: None,
        times_trained: None,
        times_allowed: None,
        largest_times_trained: None,
        batch: None,
        batch_allowed: None,
        mask: MaskReport::default(),
        dice: None,
        findings: Vec::new(),
    };
    let (shape, expected) = match &answer {
        ModelOutput::Scores(scores) => (scores.shape(), exact.shape()),
        ModelOutput::Masks(masks) => (masks.shape(), &[n, exact.shape()[2], exact.shape()[3]][..]),
    };
    if shape != expected {
        report.findings.push(Finding::Shape { found: shape.to_vec(), expected: expected.to_vec() });
        return Ok(report);
    }
    let alone = match n > 1 && !beyond_float32 {
        true => items(own.tensor.view()).map(&mut run).collect::<Result<_, _>>()?,
        false => Vec::new(),
    };
    report.dice = dice(reference, case, &input, &exact, &answer)?;
    // A name says which of the fixed inputs it is, and nothing of an image file: others have the same.
    let is_same = |trained: &&Trained| !case.is_image() || trained.input_sha256 == report.input_sha256;
    let trained = reference.trained.get(&case.name).filter(is_same);
    let times_trained = bound.times_trained.filter(|_| !case.overflows() && !case.repeats());
    let evidence = Evidence {
        exact: &exact,
        answer: &answer,
        alone: &alone,
        trained,
        kind: model.contract.output.kind,
        is_image: case.is_image(),
        bound: &Bound { times_trained, ..*bound },
    };
    let ordinary = figures::scale(exact.view().into_dyn());
    let mut judged = evidence.judge(report.clone(), ordinary);
    if !judged.findings.is_empty() && !beyond_float32 {
        // It may be that no one could have done better.
        let error = yardstick.rounding(input.tensor.view(), exact.view()).map_err(failed)?;
        if let Some(amplification) = amplification(error, ordinary) {
            report.amplification = Some(amplification);
            judged = evidence.judge(report, ordinary * amplification);
        }
    }
    let is_judged = if bound.rests_on_images() { !beyond_float32 } else { judged.is_telling(bound) };
    if case.is_image() && !is_judged {
        judged.findings.push(Finding::NothingOfImage);
    }
    Ok(judged)
}

impl CaseReport {
    /// The largest error relative to the scale, where the model gives scores.
    pub fn relative(&self) -> Option<f64> {
        self.exported.as_ref().map(Figures::relative)
    }

    /// Whether it is of an image file.
    pub(super) fn is_image(&self) -> bool {
        self.name.starts_with(case::IMAGE)
    }

    /// Its longer side, in pixels.
    pub fn side(&self) -> usize {
        self.shape[1].max(self.shape[2])
    }

    /// Whether there is a mask beside an exact one.
    fn has_mask(&self) -> bool {
        !self.beyond_float32 && self.mask.pixels > 0
    }

    /// Whether a wrong answer would show: not where there is nothing to compare, nor where rounding is amplified so much
    /// that any answer passes.
    fn is_telling(&self, bound: &Bound) -> bool {
        !self.beyond_float32 && bound.at(self.side()) * self.amplification.unwrap_or(1.0) < ANY_ANSWER
    }
}

fn dice(
    reference: &Reference,
    case: &Case,
    input: &Input,
    exact: &Array4<f64>,
    answer: &ModelOutput,
) -> Result<Option<Dice>, ProofError> {
    let (Some(truth), Some(geometry)) = (&input.truth, &input.geometry) else { return Ok(None) };
    let contract = &reference.model.contract;
    let failed = |source| ProofError::Mask { case: case.name.clone(), source };
    let score = |mask: GrayImage| {
        let scored = Evaluation::new(contract.classes.len()).add(&mask, truth).map(|scores| scores.target_dice());
        scored.map_err(|source| ProofError::Score { case: case.name.clone(), source })
    };
    let exact = exact.index_axis(Axis(0), 0).mapv(|logit| logit as f32);
    let exact = contract.postprocess(exact.view(), geometry).map_err(failed)?;
    let exported = match answer {
        ModelOutput::Scores(scores) => contract.postprocess(scores.index_axis(Axis(0), 0), geometry),
        ModelOutput::Masks(masks) => contract.postprocess_mask(masks.index_axis(Axis(0), 0), geometry),
    };
    Ok(Some(Dice { exact: score(exact)?, exported: score(exported.map_err(failed)?)? }))
}
