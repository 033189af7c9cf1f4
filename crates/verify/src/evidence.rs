//! The judgement of one case: its answers beside the exact ones, by a bound and a scale.

use ndarray::{Array3, Array4, Axis};
use seg_contract::OutputKind;
use seg_inference::session::ModelOutput;

use crate::bounds::{Bound, Precision, RMS_LEAST};
use crate::figures::Figures;
use crate::finding::Finding;
use crate::masks::{MaskReport, classes, probabilities};
use crate::proof::CaseReport;
use crate::reference::{Trained, items};

/// All that is known of a case.
pub(super) struct Evidence<'a> {
    pub(super) exact: &'a Array4<f64>,
    pub(super) answer: &'a ModelOutput,
    /// The answers to each image of a batch.
    pub(super) alone: &'a [ModelOutput],
    pub(super) trained: Option<&'a Trained>,
    pub(super) kind: OutputKind,
    pub(super) is_image: bool,
    pub(super) bound: &'a Bound,
}

impl Evidence<'_> {
    /// What comes of it where errors of logits are measured by a scale.
    pub(super) fn judge(&self, mut report: CaseReport, scale: f64) -> CaseReport {
        let Self { exact, answer, alone, trained, kind, is_image, bound } = *self;
        let allowed = bound.at(report.side());
        // Each of two logits may be off.
        let margin = 2.0 * allowed * scale;
        let mask = mask_of(answer);
        report.mask = MaskReport::of(mask.view(), exact.view(), margin);
        if let Some(trained) = trained {
            let theirs = trained.mask(exact);
            let differing = theirs.iter().zip(&mask).filter(|(theirs, ours)| theirs != ours).count();
            report.mask.differing_from_trained = Some(differing);
            if trained.input_sha256 != report.input_sha256 {
                report.findings.push(Finding::Input);
            }
            if !report.beyond_float32 {
                let (found, findings) = trained.check(exact, scale);
                report.framework = Some(found);
                report.findings.extend(findings);
            }
        }
        if let ModelOutput::Scores(scores) = answer {
            if report.beyond_float32 && bound.precision != Precision::Int8 {
                report.look_for_hidden(scores, exact, kind);
            }
            let (exact_scores, theirs, scale) = match kind {
                // A probability moves by at most half as much as the logits do, and by so much where it is undecided, however large they are.
                OutputKind::Probabilities => {
                    (probabilities(exact.view()), trained.map(|trained| &trained.probabilities), scale.max(2.0) / 2.0)
                }
                OutputKind::Logits | OutputKind::Mask => (exact.clone(), trained.map(|trained| &trained.logits), scale),
            };
            report.compare_scores(scores, &exact_scores, theirs, scale, bound);
        }
        if report.beyond_float32 {
            report.mask.unexplained = 0;
        } else if report.mask.unexplained > 0 {
            let MaskReport { unexplained, widest, .. } = report.mask;
            report.findings.push(Finding::Mask { unexplained, widest, allowed: margin });
        }
        let flipped = 1.0 - report.mask.identity();
        if is_image && flipped > bound.flipped {
            report.findings.push(Finding::Flipped { found: flipped, allowed: bound.flipped });
        }
        if !alone.is_empty() {
            report.compare_batch(answer, alone, exact, bound, margin);
        }
        report
    }
}

impl CaseReport {
    /// Compares scores with the exact ones, and their error, relative to a scale, with the training framework's.
    fn compare_scores(
        &mut self,
        scores: &Array4<f32>,
        exact: &Array4<f64>,
        trained: Option<&Figures>,
        scale: f64,
        bound: &Bound,
    ) {
        let figures = Figures::of(scores.view().into_dyn(), exact.view().into_dyn()).at_scale(scale);
        let trained = trained.map(|trained| trained.clone().at_scale(scale));
        let trained = trained.as_ref();
        let allowed = bound.at(self.side());
        if !self.beyond_float32 {
            if figures.not_finite > 0 {
                self.findings.push(Finding::NotFinite { count: figures.not_finite, elements: figures.elements });
            }
            if figures.max > allowed * figures.scale {
                self.findings.push(Finding::Error { found: figures.relative(), allowed });
            }
            self.times_trained = trained.map(|trained| times(figures.rms, least_rms(trained)));
            self.largest_times_trained = trained.map(|trained| times(figures.max, trained.max));
            if let (Some(found), Some(allowed)) = (self.times_trained, bound.times_trained) {
                self.times_allowed = Some(allowed);
                if found > allowed {
                    self.findings.push(Finding::TimesTrained { found, allowed });
                }
            }
        }
        self.trained = trained.cloned();
        self.exported = Some(figures);
    }

    /// Looks for scores that are finite where no 32-bit float holds the exact logit; of probabilities, where it does not hold the pixel's
    /// largest, as those of a class that is infinitely unlikely are right. Not asked of 8-bit integers, which end at their scale by definition.
    fn look_for_hidden(&mut self, scores: &Array4<f32>, exact: &Array4<f64>, kind: OutputKind) {
        let is_beyond = |exact: f64| exact.abs() > f64::from(f32::MAX);
        let beyond = match kind {
            OutputKind::Probabilities => {
                let largest =
                    exact.map_axis(Axis(1), |logits| logits.fold(f64::NEG_INFINITY, |most, one| most.max(*one)));
                let pixels = largest.mapv(is_beyond).insert_axis(Axis(1));
                pixels.broadcast(exact.dim()).expect("a pixel has as many scores as logits").to_owned()
            }
            OutputKind::Logits | OutputKind::Mask => exact.mapv(is_beyond),
        };
        let count = scores.iter().zip(&beyond).filter(|(score, beyond)| score.is_finite() && **beyond).count();
        if count > 0 {
            self.findings.push(Finding::Hidden { count, elements: scores.len() });
        }
    }

    /// Compares the answers to a batch with those to each of its images alone. Of masks as many pixels may differ as of an image, and only where a margin
    /// explains it.
    fn compare_batch(
        &mut self,
        together: &ModelOutput,
        alone: &[ModelOutput],
        exact: &Array4<f64>,
        bound: &Bound,
        margin: f64,
    ) {
        let (found, allowed) = match together {
            ModelOutput::Scores(together) => {
                let scale = self.exported.as_ref().map_or(1.0, |figures| figures.scale);
                let mut worst = 0.0_f64;
                for (alone, together) in alone.iter().zip(items(together.view())) {
                    let ModelOutput::Scores(alone) = alone else { continue };
                    let differences = alone.iter().zip(together).map(|(a, b)| f64::from((a - b).abs()));
                    // A difference that is not a number is the worst of all.
                    worst = differences.fold(worst, |worst, one| if one <= worst { worst } else { one });
                }
                (if worst == 0.0 { 0.0 } else { worst / scale }, bound.batch_at(self.side()))
            }
            ModelOutput::Masks(together) => {
                let (mut differing, mut unexplained) = (0, 0);
                for ((alone, together), exact) in alone.iter().zip(together.outer_iter()).zip(items(exact.view())) {
                    let ModelOutput::Masks(alone) = alone else { continue };
                    differing += alone.iter().zip(together).filter(|(alone, together)| alone != together).count();
                    unexplained += MaskReport::of(alone.view(), exact, margin).unexplained;
                }
                let share = differing as f64 / together.len().max(1) as f64;
                (if unexplained > 0 { f64::INFINITY } else { share }, bound.flipped)
            }
        };
        self.batch = Some(found).filter(|found| found.is_finite());
        self.batch_allowed = Some(allowed);
        if self.batch.is_none_or(|found| found > allowed) {
            self.findings.push(Finding::Batch { found: self.batch.unwrap_or(f64::MAX), allowed });
        }
    }
}

/// The class of each pixel of an answer.
fn mask_of(answer: &ModelOutput) -> Array3<u8> {
    match answer {
        ModelOutput::Scores(scores) => classes(scores.view()),
        ModelOutput::Masks(masks) => masks.clone(),
    }
}

/// An error in errors of the training framework, finite too.
fn times(exported: f64, trained: f64) -> f64 {
    if exported == 0.0 { 0.0 } else { exported / trained.max(f64::MIN_POSITIVE) }
}

/// The training framework's root mean square error, which counts as at least [`RMS_LEAST`] of the scale.
fn least_rms(trained: &Figures) -> f64 {
    trained.rms.max(RMS_LEAST * trained.scale)
}
