//! The judgement of one input: its outputs beside the exact one, by a bound and a scale.

use ndarray::{Array3, Array4, ArrayView4, Axis};
use seg_contract::OutputKind;
use seg_inference::ModelOutput;

use super::masks::{MaskReport, classes, probabilities};
use super::report::InputReport;
use crate::bounds::{Bound, ModelPrecision, RMS_LEAST};
use crate::error_stats::ErrorStats;
use crate::finding::Finding;
use crate::reference::framework::FrameworkOutput;

/// The outputs for one input, and how they are judged.
pub(super) struct Comparison<'a> {
    pub(super) exact: &'a Array4<f64>,
    pub(super) output: &'a ModelOutput,
    /// The outputs for each image of a batch alone.
    pub(super) single_outputs: &'a [ModelOutput],
    pub(super) framework: Option<&'a FrameworkOutput>,
    pub(super) kind: OutputKind,
    pub(super) bound: &'a Bound,
}

impl Comparison<'_> {
    /// Completes a report, with errors of logits measured relative to `scale`.
    pub(super) fn judge(&self, mut report: InputReport, scale: f64) -> InputReport {
        let margin = self.bound.margin_at(report.side(), scale);
        let mask = mask_of(self.output);
        report.mask = MaskReport::compare(mask.view(), self.exact.view(), margin);
        if let Some(framework) = self.framework {
            self.judge_framework(&mut report, framework, &mask, scale);
        }
        if let ModelOutput::Scores(scores) = self.output {
            self.judge_scores(&mut report, scores, scale);
        }
        if report.beyond_float32 {
            report.mask.unexplained = 0;
        }
        if !self.single_outputs.is_empty() {
            self.measure_batch(&mut report, margin);
        }
        let findings = report.judge(self.bound);
        report.findings.extend(findings);
        report
    }

    /// Judges the training framework's own output.
    fn judge_framework(&self, report: &mut InputReport, framework: &FrameworkOutput, mask: &Array3<u8>, scale: f64) {
        let theirs = framework.mask(self.exact);
        let differing = theirs.iter().zip(mask).filter(|(theirs, ours)| theirs != ours).count();
        report.mask.differing_from_trained = Some(differing);
        if framework.input_sha256 != report.input_sha256 || framework.logits.elements != self.exact.len() {
            report.findings.push(Finding::Input);
        }
        if !report.beyond_float32 {
            let (found, findings) = framework.check(self.exact, scale);
            report.framework = Some(found);
            report.findings.extend(findings);
        }
    }

    /// Judges logits or probabilities.
    fn judge_scores(&self, report: &mut InputReport, scores: &Array4<f32>, scale: f64) {
        if report.beyond_float32 && self.bound.precision != ModelPrecision::Int8 {
            self.look_for_hidden(report, scores);
        }
        match self.kind {
            OutputKind::Probabilities => {
                let exact = probabilities(self.exact.view());
                let framework = self.framework.map(|framework| &framework.probabilities);
                // A probability changes by at most half as much as the logits do. It changes by
                // that much where it is undecided, however large the logits are.
                self.compare_scores(report, scores, &exact, framework, scale.max(2.0) / 2.0);
            }
            OutputKind::Logits | OutputKind::Mask => {
                let framework = self.framework.map(|framework| &framework.logits);
                self.compare_scores(report, scores, self.exact, framework, scale);
            }
        }
    }

    /// Compares scores with the exact ones, and their error with the training framework's.
    fn compare_scores(
        &self,
        report: &mut InputReport,
        scores: &Array4<f32>,
        exact: &Array4<f64>,
        framework: Option<&ErrorStats>,
        scale: f64,
    ) {
        let errors = ErrorStats::compare(scores.view().into_dyn(), exact.view().into_dyn()).with_scale(scale);
        let framework = framework.map(|framework| framework.clone().with_scale(scale));
        if let Some(framework) = framework.as_ref().filter(|_| !report.beyond_float32) {
            [report.times_trained, report.largest_times_trained] = times_framework(&errors, framework).map(Some);
            report.times_allowed = self.bound.times_trained;
        }
        report.framework_errors = framework;
        report.exported = Some(errors);
    }

    /// Reports scores that are finite although the exact logit is beyond 32-bit floats.
    ///
    /// For probabilities, the pixel's largest logit counts, because that of a class that is
    /// infinitely unlikely may be right. Models in 8-bit integers are exempt: their values end at
    /// the scale by definition.
    fn look_for_hidden(&self, report: &mut InputReport, scores: &Array4<f32>) {
        let beyond = match self.kind {
            OutputKind::Probabilities => {
                let largest =
                    self.exact.map_axis(Axis(1), |logits| logits.fold(f64::NEG_INFINITY, |most, one| most.max(*one)));
                let pixels = largest.mapv(is_beyond_float32).insert_axis(Axis(1));
                pixels.broadcast(self.exact.dim()).expect("a pixel has as many scores as logits").to_owned()
            }
            OutputKind::Logits | OutputKind::Mask => self.exact.mapv(is_beyond_float32),
        };
        let count = scores.iter().zip(&beyond).filter(|(score, beyond)| score.is_finite() && **beyond).count();
        if count > 0 {
            report.findings.push(Finding::Hidden { count, elements: scores.len() });
        }
    }

    /// Compares the outputs for a batch with those for each of its images alone.
    ///
    /// In masks, as many pixels may differ as in an image, and only if a margin explains them.
    fn measure_batch(&self, report: &mut InputReport, margin: f64) {
        let found = match self.output {
            ModelOutput::Scores(together) => {
                let scale = report.exported.as_ref().map_or(1.0, |errors| errors.scale);
                let worst = self.largest_batch_difference(together);
                if worst == 0.0 { 0.0 } else { worst / scale }
            }
            ModelOutput::Masks(together) => {
                let (differing, unexplained) = self.batch_flips(together, margin);
                let share = differing as f64 / together.len().max(1) as f64;
                if unexplained > 0 { f64::INFINITY } else { share }
            }
        };
        report.batch = Some(found).filter(|found| found.is_finite());
        report.batch_allowed = Some(self.bound.batch_of(self.kind, report.side()));
    }

    /// Returns the largest difference between scores in a batch and alone. A difference that is not
    /// a number counts as the largest.
    fn largest_batch_difference(&self, together: &Array4<f32>) -> f64 {
        let mut worst = 0.0_f64;
        for (alone, together) in self.single_outputs.iter().zip(batch_items(together.view())) {
            let ModelOutput::Scores(alone) = alone else { continue };
            let differences = alone.iter().zip(together).map(|(a, b)| f64::from((a - b).abs()));
            worst = differences.fold(worst, |worst, one| if one <= worst { worst } else { one });
        }
        worst
    }

    /// Counts the pixels whose class in a batch differs from that alone, and those of them that a
    /// margin does not explain.
    fn batch_flips(&self, together: &Array3<u8>, margin: f64) -> (usize, usize) {
        let (mut differing, mut unexplained) = (0, 0);
        for ((alone, together), exact) in
            self.single_outputs.iter().zip(together.outer_iter()).zip(batch_items(self.exact.view()))
        {
            let ModelOutput::Masks(alone) = alone else { continue };
            differing += alone.iter().zip(together).filter(|(alone, together)| alone != together).count();
            unexplained += MaskReport::compare(alone.view(), exact, margin).unexplained;
        }
        (differing, unexplained)
    }
}

/// Returns the images of a batch as batches of one.
pub(super) fn batch_items<T>(batch: ArrayView4<'_, T>) -> impl Iterator<Item = ArrayView4<'_, T>> {
    (0..batch.len_of(Axis(0))).map(move |item| batch.slice_axis_move(Axis(0), (item..=item).into()))
}

/// Returns the class of each pixel of an output.
pub(super) fn mask_of(output: &ModelOutput) -> Array3<u8> {
    match output {
        ModelOutput::Scores(scores) => classes(scores.view()),
        ModelOutput::Masks(masks) => masks.clone(),
    }
}

fn is_beyond_float32(exact: f64) -> bool {
    exact.abs() > f64::from(f32::MAX)
}

/// Divides a model's errors by the framework's: the root mean squares, which are judged, and the
/// largest ones.
pub(crate) fn times_framework(exported: &ErrorStats, framework: &ErrorStats) -> [f64; 2] {
    [ratio(exported.rms, least_rms(framework)), ratio(exported.max, framework.max)]
}

/// Divides the model's error by the framework's; the result is finite.
fn ratio(exported: f64, framework: f64) -> f64 {
    if exported == 0.0 { 0.0 } else { (exported / framework.max(f64::MIN_POSITIVE)).min(f64::MAX) }
}

/// Returns the framework's root mean square error, at least [`RMS_LEAST`] of the scale.
fn least_rms(framework: &ErrorStats) -> f64 {
    framework.rms.max(RMS_LEAST * framework.scale)
}
