//! The soundness of the report on one input.

use seg_contract::{Contract, OutputKind};

use super::{Contradictions, ROUNDING};
use crate::bounds::{Bound, ORDINARY, framework_bound_at};
use crate::certificate::CertificateError;
use crate::inputs::{ProofInput, ProofInputError, tensor_sha256};
use crate::proof::comparison::times_framework;
use crate::proof::masks::{MaskReport, Overlap};
use crate::proof::report::{Dice, InputReport};
use crate::reference::framework::FrameworkReport;

/// Computes a fixed input again and compares it with the report on it.
pub(super) fn check_numbers(
    report: &InputReport,
    input: &ProofInput,
    contract: &Contract,
    found: &mut Contradictions,
) -> Result<(), CertificateError> {
    let failed = |source: ProofInputError| CertificateError::Input { input: input.name.clone(), source: source.into() };
    let tensor = input.load(contract).map_err(failed)?.tensor;
    let (n, _, height, width) = tensor.dim();
    let what = format!("the input `{}`", input.name);
    found.equal(&format!("the shape of {what}"), &format!("{:?}", report.shape), &format!("{:?}", [n, height, width]));
    found.equal(&format!("the hash of {what}"), &report.input_sha256, &tensor_sha256(tensor.view()));
    Ok(())
}

/// The report on one input, and what it is checked against.
pub(super) struct InputCheck<'a> {
    pub(super) report: &'a InputReport,
    pub(super) contract: &'a Contract,
    /// The bound of this input.
    pub(super) bound: &'a Bound,
}

impl InputCheck<'_> {
    /// Checks all figures of the report.
    pub(super) fn check(&self, found: &mut Contradictions) {
        let Self { report, bound, .. } = *self;
        found.hash(&self.of("the hash"), &report.input_sha256);
        found.expect(self.pixels() > 0, &self.of("the shape"), format!("{:?}", report.shape), "one with pixels");
        if let Some(size) = report.middle_of {
            let is_cut =
                self.contract.input.form.size.is_some() && report.is_image() && size.iter().all(|side| *side > 0);
            found.expect(is_cut, &self.of("the size of the image"), format!("{size:?}"), "none, as no part was cut");
        }
        if let Some(amplification) = report.amplification {
            let is_one = amplification.is_finite() && amplification > ORDINARY && !report.beyond_float32;
            found.expect(
                is_one,
                &self.of("the amplification"),
                amplification,
                format!("more than {ORDINARY}, or none"),
            );
        }
        self.check_scores(found);
        self.check_mask(found);
        self.check_framework(found);
        self.check_batch(found);
        if let Some(dice) = report.dice {
            let Dice { exact, exported } = dice;
            let are_shares = [exact, exported].iter().all(|dice| (0.0..=1.0).contains(dice));
            found.expect(
                are_shares && report.is_image(),
                &self.of("the Dice"),
                format!("{exact} and {exported}"),
                "shares, and of an image only",
            );
        }
        for finding in report.judge(bound) {
            found.add(&self.of("the verdict"), "that the input passes", format!("a failure: {finding}"));
        }
        let is_left_out = report.is_image() && !report.is_judged(bound);
        found.expect(!is_left_out, &self.of("the verdict"), "that the image passes", "that nothing was compared");
    }

    /// Names a thing of this input.
    fn of(&self, what: &str) -> String {
        format!("{what} of the input `{}`", self.report.name)
    }

    fn pixels(&self) -> usize {
        self.report.shape.iter().fold(1, |pixels, side| pixels.saturating_mul(*side))
    }

    /// Checks the errors of scores, and their ratio to the training framework's.
    fn check_scores(&self, found: &mut Contradictions) {
        let Self { report, contract, bound } = *self;
        let gives_scores = contract.output.kind != OutputKind::Mask;
        let is_known = report.exported.is_some() == gives_scores;
        found.expect(is_known, &self.of("the error"), presence(report.exported.is_some()), presence(gives_scores));
        let elements = self.pixels().saturating_mul(contract.classes.len());
        for (what, errors) in
            [("the error", &report.exported), ("the training framework's error", &report.framework_errors)]
        {
            let Some(errors) = errors else { continue };
            found.stats(&self.of(what), errors);
            found.equal(&self.of("the number of scores"), &errors.elements.to_string(), &elements.to_string());
        }
        let (mut times, mut allowed) = ([None; 2], None);
        if let (Some(exported), Some(framework)) = (&report.exported, &report.framework_errors) {
            let (one, other) = (exported.scale.to_string(), framework.scale.to_string());
            found.equal(&self.of("the scale of the training framework's error"), &other, &one);
            if !report.beyond_float32 {
                (times, allowed) = (times_framework(exported, framework).map(Some), bound.times_trained);
            }
        }
        for (what, stated, expected) in [
            ("the ratio to the training framework's error", report.times_trained, times[0]),
            ("the ratio of the largest errors", report.largest_times_trained, times[1]),
            ("the bound of the ratio", report.times_allowed, allowed),
        ] {
            found.near(&self.of(what), stated, expected);
        }
    }

    /// Checks that the counts of the mask's pixels fit together.
    fn check_mask(&self, found: &mut Contradictions) {
        let Self { report, contract, .. } = *self;
        let MaskReport { pixels, flipped, margin, unexplained, widest, could_flip, ref classes, .. } = report.mask;
        found.equal(&self.of("the number of pixels"), &pixels.to_string(), &self.pixels().to_string());
        let most = [("flipped", flipped), ("near a tie", could_flip)];
        for (what, count) in most {
            found.expect(
                count <= pixels,
                &self.of(&format!("the number of pixels {what}")),
                count,
                format!("at most {pixels}"),
            );
        }
        let least = flipped.saturating_sub(unexplained);
        found.expect(
            could_flip >= least,
            &self.of("the number of pixels near a tie"),
            could_flip,
            format!("at least {least}"),
        );
        found.expect(
            unexplained <= flipped,
            &self.of("the number of unexplained pixels"),
            unexplained,
            format!("at most {flipped}"),
        );
        let is_explained = report.beyond_float32 || (0.0..=margin).contains(&widest);
        found.expect(is_explained, &self.of("the widest margin"), widest, format!("at most {margin}"));
        found.expect(flipped > 0 || widest == 0.0, &self.of("the widest margin"), widest, "0, as no pixel is flipped");
        if let (Some(scale), false) = (self.logit_scale(), report.beyond_float32) {
            found.near(&self.of("the margin"), Some(margin), Some(self.bound.margin_at(report.side(), scale)));
        }
        found.equal(&self.of("the number of classes"), &classes.len().to_string(), &contract.classes.len().to_string());
        let all = classes.iter().copied().fold(Overlap::default(), Overlap::and);
        let is_within = |class: &Overlap| class.both <= class.exact.min(class.exported);
        let fit = classes.iter().all(is_within)
            && all.exact == pixels
            && all.both == pixels - flipped.min(pixels)
            && all.exported <= pixels;
        let Overlap { exact, exported, both } = all;
        let found_text = format!("{exact} exact, {exported} of the model and {both} in both");
        found.expect(
            fit,
            &self.of("the pixels of the classes"),
            found_text,
            format!("those of {pixels}, {flipped} flipped"),
        );
    }

    /// Returns the scale of the logits, as far as the figures name it.
    fn logit_scale(&self) -> Option<f64> {
        let Self { report, contract, .. } = *self;
        let of_framework =
            report.framework.as_ref().map(|found| found.margin / (2.0 * framework_bound_at(report.side())));
        match (contract.output.kind, &report.exported) {
            (OutputKind::Logits, Some(errors)) => Some(errors.scale),
            // Half of it, or half of 2 if it is less: see `Comparison`.
            (OutputKind::Probabilities, Some(errors)) if errors.scale > 1.0 => Some(2.0 * errors.scale),
            _ => of_framework,
        }
    }

    /// Checks the training framework's own distance from the exact output.
    fn check_framework(&self, found: &mut Contradictions) {
        let Self { report, contract, .. } = *self;
        let is_known = report.framework.is_some();
        // What the framework gave beyond 32-bit floats is known, and not compared.
        let differs = report.mask.differing_from_trained.is_some();
        found.expect(
            differs == is_known || (differs && report.beyond_float32),
            &self.of("the pixels that differ from training's"),
            presence(differs),
            presence(is_known),
        );
        let has_errors = report.framework_errors.is_some();
        found.expect(
            contract.output.kind == OutputKind::Mask || has_errors == differs,
            &self.of("the training framework's error"),
            presence(has_errors),
            presence(differs),
        );
        let Some(FrameworkReport { relative, flipped, unexplained, widest, margin }) = report.framework else { return };
        found.expect(
            !report.beyond_float32,
            &self.of("the training framework's distance"),
            "given",
            "none, beyond float32",
        );
        let allowed = framework_bound_at(report.side());
        found.expect(
            (0.0..=allowed).contains(&relative),
            &self.of("the training framework's error"),
            relative,
            format!("at most {allowed}"),
        );
        let is_explained = unexplained == 0 && (0.0..=margin).contains(&widest) && (flipped > 0 || widest == 0.0);
        found.expect(
            is_explained,
            &self.of("the training framework's flipped pixels"),
            format!("{unexplained} unexplained, the widest margin {widest}"),
            format!("0 and at most {margin}"),
        );
        found.expect(
            flipped <= self.pixels(),
            &self.of("the training framework's flipped pixels"),
            flipped,
            format!("at most {}", self.pixels()),
        );
        if let Some(errors) = &report.framework_errors {
            found.expect(errors.not_finite == 0, &self.of("the training framework's output"), "not finite", "finite");
        }
        // A pixel that differs from training's is flipped in the one mask or in the other.
        let own = report.mask.flipped;
        let can_differ = own.abs_diff(flipped)..=own.saturating_add(flipped);
        let differing = report.mask.differing_from_trained.unwrap_or_default();
        found.expect(
            can_differ.contains(&differing),
            &self.of("the pixels that differ from training's"),
            differing,
            format!("{} to {}", can_differ.start(), can_differ.end()),
        );
        if let Some(scale) = self.logit_scale() {
            found.near(&self.of("the training framework's margin"), Some(margin), Some(2.0 * allowed * scale));
        }
        if let (Some(errors), OutputKind::Logits) = (&report.framework_errors, contract.output.kind) {
            // It is the largest of this one and those of intermediate values.
            let least = errors.relative();
            found.expect(
                relative >= least * (1.0 - ROUNDING),
                &self.of("the training framework's error"),
                relative,
                format!("at least {least}"),
            );
        }
    }

    /// Checks that a batch was compared with its images alone.
    fn check_batch(&self, found: &mut Contradictions) {
        let Self { report, contract, bound } = *self;
        let is_asked = report.shape[0] > 1 && !report.beyond_float32;
        let allowed = bound.batch_of(contract.output.kind, report.side());
        found.near(&self.of("the bound of the batch"), report.batch_allowed, is_asked.then_some(allowed));
        let is_known = report.batch.is_some() == is_asked && report.batch.is_none_or(|difference| difference >= 0.0);
        let text = report.batch.map_or("missing".to_owned(), |difference| difference.to_string());
        let expected = if is_asked { "a difference" } else { "none, as there is one image" };
        found.expect(is_known, &self.of("the difference in a batch"), text, expected);
    }
}

fn presence(is_there: bool) -> &'static str {
    if is_there { "given" } else { "missing" }
}
