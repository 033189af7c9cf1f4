//! The soundness of a certificate: whether its own figures, the bounds in force and the bytes of
//! its model bear out what it says.
//!
//! A signature shows who vouches for a certificate. Without one, a text editor can change it. This
//! module finds every change that contradicts something else: the model, the list of inputs that a
//! proof must have, the bounds, or another figure. It cannot find a figure that was invented
//! consistently; only a signature, or proving the model again, protects against that.

use std::collections::BTreeSet;
use std::fmt;

use seg_contract::{Contract, OutputKind};
use seg_inference::ComputePrecision;
use seg_onnx::precision::HALF_MAX;
use seg_onnx::{Model, passes};
use thiserror::Error;

use super::record::FileRecord;
use super::{Certificate, CertificateError, identity};
use crate::bounds::{Bound, FRAMEWORK_ERROR, Limits, ModelPrecision, ORDINARY, PER_PIXEL, framework_bound_at};
use crate::error_stats::ErrorStats;
use crate::inputs::{ProofInput, ProofInputError, tensor_sha256};
use crate::layers::{Extreme, check_layers, farthest};
use crate::proof::comparison::times_framework;
use crate::proof::judge_all;
use crate::proof::masks::MaskReport;
use crate::proof::report::InputReport;
use crate::reference::framework::FrameworkReport;

/// A statement of a certificate that the model or the rest of the certificate contradicts.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{what} is {found}, expected {expected}")]
pub struct Contradiction {
    /// The thing that the statement is about.
    pub what: String,
    /// The statement.
    pub found: String,
    /// The value that would be right.
    pub expected: String,
}

/// The share by which two ways to compute one number may differ.
const ROUNDING: f64 = 1e-9;

impl Certificate {
    /// Lists the statements of a certificate that [holds](Self::holds) which the content of the
    /// model's file, the bounds in force or its other figures contradict. There are none in a
    /// certificate that [`certify`](crate::certify) made.
    ///
    /// # Errors
    /// When the model's identity or a fixed input cannot be computed.
    pub fn contradictions(&self, model: &Model) -> Result<Vec<Contradiction>, CertificateError> {
        let Self { provider, precision, .. } = *self;
        let mut found = Contradictions::default();
        found.equal("the model that the certificate is about", &self.id, &identity(self.model.path.as_ref(), model)?);
        self.check_records(model, &mut found);
        let Some(bound) = Bound::find(provider, precision) else {
            found.add("the precision", precision, format!("one that {provider} computes in"));
            return Ok(found.0);
        };
        self.check_bounds(&bound, &mut found);
        let fixed = ProofInput::fixed(self.thorough, &model.contract.input);
        self.check_list(&fixed, &mut found);
        for report in &self.proof.inputs {
            let input = fixed.iter().find(|input| input.name == report.name);
            if let Some(input) = input {
                check_numbers(report, input, &model.contract, &mut found)?;
            }
            let is_asked = input.is_none_or(|input| !input.overflows() && !input.repeats());
            let times_trained = bound.times_trained.filter(|_| is_asked);
            InputCheck { report, contract: &model.contract, bound: &Bound { times_trained, ..bound } }
                .check(&mut found);
        }
        self.check_whole(&model.contract, &bound, &mut found);
        self.check_inside(model, &bound, &mut found);
        Ok(found.0)
    }

    /// Checks the names, hashes and facts that belong to the model's file or to every proof.
    fn check_records(&self, model: &Model, found: &mut Contradictions) {
        let Contract { input, provenance, .. } = &model.contract;
        found.equal("the weights' hash", &self.weights_sha256, &provenance.weights_sha256);
        found.equal("the input's element type", &format!("{:?}", self.element), &format!("{:?}", input.form.element));
        let files = [("the model's file", Some(&self.model)), ("the reference's file", Some(&self.reference))];
        for (what, file) in files.into_iter().chain([("the checkpoint's file", self.weights.as_ref())]) {
            let Some(FileRecord { path, sha256, .. }) = file else { continue };
            found.expect(!path.is_empty(), what, "not named", "a path");
            found.hash(&format!("the hash of {what}"), sha256);
        }
        let environment = &self.environment;
        for (what, name) in [
            ("the program", &environment.tool),
            ("the system", &environment.system),
            ("the processor", &environment.processor),
        ] {
            found.expect(!name.is_empty(), what, "not named", "a name");
        }
        if environment.tool_sha256 != "unknown" {
            found.hash("the hash of the program", &environment.tool_sha256);
        }
        found.expect(environment.processors > 0, "the number of threads", environment.processors, "at least 1");
        let own = self.provider.spec().ort_name();
        let nodes = self.placement.get(own).copied().unwrap_or_default();
        found.expect(nodes > 0, &format!("the number of nodes on {own}"), nodes, "at least 1");
        self.check_rebuilt(model, found);
    }

    /// Checks that the graph was compared if and only if it could be: in full precision, and with a
    /// reference of the version that proved it.
    fn check_rebuilt(&self, model: &Model, found: &mut Contradictions) {
        let version = self.environment.tool.split_whitespace().last();
        let has_version =
            |tool: &String| version.is_some_and(|version| tool.split_whitespace().any(|word| word == version));
        let is_of_one_version = self.reference.tool.as_ref().is_some_and(has_version);
        let is_known = |pass: &String| passes::PASSES.iter().any(|known| known.name == *pass);
        let precision = ModelPrecision::from_graph(&model.graph, ComputePrecision::Fp32);
        let can_be = precision == ModelPrecision::Float32 && is_of_one_version && self.passes.iter().all(is_known);
        let text = |is_rebuilt: bool| if is_rebuilt { "compared" } else { "not compared" };
        found.equal("the graph", text(self.rebuilt), text(can_be));
    }

    /// Checks that the bounds are those in force.
    fn check_bounds(&self, bound: &Bound, found: &mut Contradictions) {
        let none = |bound: Option<f64>| bound.map_or("none".to_owned(), |bound| bound.to_string());
        for (what, stated, in_force) in [
            ("the bound of the error", self.relative, bound.relative),
            ("the bound of the error for each pixel", self.per_pixel, PER_PIXEL),
            ("the bound of flipped pixels", self.flipped, bound.flipped),
            ("the bound of the training framework's error", self.trained_relative, FRAMEWORK_ERROR),
        ] {
            found.equal(what, &stated.to_string(), &in_force.to_string());
        }
        found.equal(
            "the bound of the ratio to the training framework's error",
            &none(self.times_trained),
            &none(bound.times_trained),
        );
        found.equal("the bound of a class's Dice", &none(self.dice), &none(bound.dice));
        found.equal("the reason for the bounds", &self.reason, bound.reason);
        found.equal("the limits", &format!("{:?}", self.limits), &format!("{:?}", Limits::IN_FORCE));
    }

    /// Checks that the list of inputs is complete: all fixed ones in their order, then images.
    fn check_list(&self, fixed: &[ProofInput], found: &mut Contradictions) {
        let inputs = &self.proof.inputs;
        let stated: Vec<_> = inputs.iter().filter(|input| !input.is_image()).map(|input| input.name.as_str()).collect();
        let missing = fixed.iter().find(|input| !stated.contains(&input.name.as_str()));
        if let Some(missing) = missing {
            found.add("the list of inputs", format!("without `{}`", missing.name), "every fixed input".into());
        }
        let expected: Vec<_> = fixed.iter().map(|input| input.name.as_str()).collect();
        let is_in_order = missing.is_some() || stated == expected;
        found.expect(is_in_order, "the list of fixed inputs", format!("{stated:?}"), format!("{expected:?}"));
        let images: Vec<_> = inputs.iter().filter(|input| input.is_image()).collect();
        let names: BTreeSet<_> = images.iter().map(|input| &input.name).collect();
        found.equal("the number of images of different names", &names.len().to_string(), &images.len().to_string());
        let data = self.data.as_ref();
        let counted = data.map_or(0, |data| data.images);
        found.equal("the number of images", &counted.to_string(), &images.len().to_string());
        if let Some(data) = data {
            let is_named = !data.inputs.is_empty() && data.inputs.iter().all(|input| !input.is_empty());
            found.expect(is_named, "the images' folder", "not named", "a path");
            if let Some(sha256) = &data.sha256 {
                found.hash("the hash of the data set", sha256);
            }
        }
    }

    /// Judges the figures of all inputs together again.
    fn check_whole(&self, contract: &Contract, bound: &Bound, found: &mut Contradictions) {
        let (classes, findings) = judge_all(&self.proof.inputs, contract, bound);
        if classes != self.proof.classes {
            found.add("the verdict on the classes", format!("{:?}", self.proof.classes), format!("{classes:?}"));
        }
        for finding in findings {
            found.add("the verdict", "that the proof holds", format!("a failure: {finding}"));
        }
        found.expect(self.diagnosis.is_none(), "the cause of a failure", "named", "none, as the proof holds");
    }

    /// Checks the figures of intermediate values.
    fn check_inside(&self, model: &Model, bound: &Bound, found: &mut Contradictions) {
        let side = self.proof.inputs.first().map_or(0, InputReport::side);
        let is_value = |name: &str| model.graph.nodes.iter().any(|node| node.name == name);
        // A graph that was rebuilt from the reference shares at least its output with it.
        let is_needed = self.rebuilt || !bound.rests_on_images();
        found.expect(self.inside.is_some() || !is_needed, "the largest error inside", "missing", "a figure");
        let has_reach = self.precision != ModelPrecision::Float16 || self.reach.is_some();
        found.expect(has_reach, "the largest value in 16 bits", "missing", "a figure");
        for (what, extreme, allowed) in [
            ("the largest error inside", &self.inside, bound.at(side)),
            ("the largest value in 16 bits", &self.reach, HALF_MAX),
        ] {
            let Some(Extreme { value, found: figure, allowed: stated }) = extreme else { continue };
            found.expect(is_value(value), what, format!("that of `{value}`"), "that of a value of the model");
            found.equal(&format!("the bound of {what}"), &stated.to_string(), &allowed.to_string());
            let most = allowed * (1.0 + ROUNDING);
            found.expect((0.0..=most).contains(figure), what, figure, format!("at most {allowed}"));
        }
        for layer in &self.layers {
            let what = format!("the value `{}`", layer.value);
            found.expect(is_value(&layer.value), &what, "listed", "a value of the model");
            found.stats(&what, &layer.errors);
            let is_fitting = layer.magnitude >= 0.0 && layer.fits_half == (layer.magnitude <= HALF_MAX);
            found.expect(is_fitting, &format!("the magnitude of {what}"), layer.magnitude, "one that fits as it says");
        }
        for finding in check_layers(&self.layers, bound, side) {
            found.add("the verdict", "that the proof holds", format!("a failure: {finding}"));
        }
        if !self.layers.is_empty() && farthest(&self.layers, bound, side) != self.inside {
            found.add("the largest error inside", format!("{:?}", self.inside), "that of the list".into());
        }
    }
}

/// Computes a fixed input again and compares it with the report on it.
fn check_numbers(
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
struct InputCheck<'a> {
    report: &'a InputReport,
    contract: &'a Contract,
    /// The bound of this input.
    bound: &'a Bound,
}

impl InputCheck<'_> {
    fn check(&self, found: &mut Contradictions) {
        let Self { report, bound, .. } = *self;
        found.hash(&self.of("the hash"), &report.input_sha256);
        let [n, height, width] = report.shape;
        found.expect(n * height * width > 0, &self.of("the shape"), format!("{:?}", report.shape), "one with pixels");
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
            let are_shares = [dice.exact, dice.exported].iter().all(|dice| (0.0..=1.0).contains(dice));
            found.expect(
                are_shares && report.is_image(),
                &self.of("the Dice"),
                format!("{dice:?}"),
                "shares of an image",
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
        self.report.shape.iter().product()
    }

    /// Checks the errors of scores, and their ratio to the training framework's.
    fn check_scores(&self, found: &mut Contradictions) {
        let Self { report, contract, bound } = *self;
        let gives_scores = contract.output.kind != OutputKind::Mask;
        let is_known = report.exported.is_some() == gives_scores;
        found.expect(is_known, &self.of("the error"), presence(report.exported.is_some()), presence(gives_scores));
        let elements = self.pixels() * contract.classes.len();
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
            found.near(&self.of("the margin"), Some(margin), Some(2.0 * self.bound.at(report.side()) * scale));
        }
        found.equal(&self.of("the number of classes"), &classes.len().to_string(), &contract.classes.len().to_string());
        let [exact, both] =
            [classes.iter().map(|class| class.exact).sum::<usize>(), classes.iter().map(|class| class.both).sum()];
        let fit = classes.iter().all(|class| class.both <= class.exact.min(class.exported))
            && exact == pixels
            && both == pixels - flipped.min(pixels)
            && classes.iter().map(|class| class.exported).sum::<usize>() <= pixels;
        found.expect(fit, &self.of("the pixels of the classes"), format!("{classes:?}"), "numbers that add up");
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
        found.expect(flipped <= self.pixels(), &self.of("the training framework's flipped pixels"), flipped, "fewer");
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
        let allowed = match contract.output.kind {
            OutputKind::Mask => bound.flipped,
            _ => bound.batch_at(report.side()),
        };
        found.near(&self.of("the bound of the batch"), report.batch_allowed, is_asked.then_some(allowed));
        let difference = report.batch.unwrap_or_default();
        let is_known = report.batch.is_some() == is_asked && difference >= 0.0;
        found.expect(is_known, &self.of("the difference in a batch"), difference, "one where asked");
    }
}

fn presence(is_there: bool) -> &'static str {
    if is_there { "given" } else { "missing" }
}

/// The contradictions that were found.
#[derive(Debug, Default)]
struct Contradictions(Vec<Contradiction>);

impl Contradictions {
    fn add(&mut self, what: &str, found: impl fmt::Display, expected: String) {
        self.0.push(Contradiction { what: what.into(), found: found.to_string(), expected });
    }

    fn expect(&mut self, is_so: bool, what: &str, found: impl fmt::Display, expected: impl fmt::Display) {
        if !is_so {
            self.add(what, found, expected.to_string());
        }
    }

    fn equal(&mut self, what: &str, found: &str, expected: &str) {
        self.expect(found == expected, what, found, expected);
    }

    /// Compares two figures that are computed in two ways.
    fn near(&mut self, what: &str, found: Option<f64>, expected: Option<f64>) {
        let is_near = match (found, expected) {
            (Some(found), Some(expected)) => (found - expected).abs() <= ROUNDING * expected.abs(),
            (found, expected) => found == expected,
        };
        let text = |figure: Option<f64>| figure.map_or("missing".to_owned(), |figure| figure.to_string());
        self.expect(is_near, what, text(found), text(expected));
    }

    /// Checks that a text is a SHA-256 in hexadecimal.
    fn hash(&mut self, what: &str, text: &str) {
        let is_hash = text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        self.expect(is_hash, what, format!("`{text}`"), "a SHA-256");
    }

    /// Checks that statistics of errors fit together.
    fn stats(&mut self, what: &str, errors: &ErrorStats) {
        self.expect(errors.is_consistent(), what, format!("{errors:?}"), "figures that fit together");
    }
}
