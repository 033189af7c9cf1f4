//! The soundness of a certificate: whether its own figures, the bounds in force and the bytes of
//! its model bear out what it says.
//!
//! A signature shows who vouches for a certificate. Without one, a text editor can change it. This
//! module finds every change that contradicts something else: the model, the list of inputs that a
//! proof must have, the bounds, or another figure. It cannot find a figure that was invented
//! consistently; only a signature, or proving the model again, protects against that.

mod input;

use std::collections::BTreeSet;
use std::fmt;

use input::{InputCheck, check_numbers};
use seg_contract::Contract;
use seg_onnx::precision::HALF_MAX;
use seg_onnx::{Model, passes};
use thiserror::Error;

use super::record::FileRecord;
use super::{Certificate, CertificateError, identity};
use crate::bounds::{Bound, FRAMEWORK_ERROR, Limits, ModelPrecision, PER_PIXEL};
use crate::diagnosis::rebuild::is_comparable;
use crate::error_stats::ErrorStats;
use crate::inputs::ProofInput;
use crate::layers::{Extreme, check_layers, farthest};
use crate::proof::classes::ClassReport;
use crate::proof::judge_all;
use crate::proof::report::InputReport;

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
            let asked = input.map_or(bound, |input| bound.for_input(input));
            // A certificate may ask for more than the bounds in force, as older versions did of
            // subnormal numbers.
            let times_trained = asked.times_trained.or(bound.times_trained.filter(|_| report.times_allowed.is_some()));
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
        let own = self.provider.spec().ort_name;
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
        let can_be = is_comparable(&model.graph) && is_of_one_version && self.passes.iter().all(is_known);
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
        found.expect(is_in_order, "the list of fixed inputs", stated.join(", "), expected.join(", "));
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
            let text = |classes: &[ClassReport]| classes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            found.add("the verdict on the classes", text(&self.proof.classes), text(&classes));
        }
        for finding in findings {
            found.add("the verdict", "that the proof holds", format!("a failure: {finding}"));
        }
        if let Some(finding) = self.proof.findings().next() {
            found.add("the list of findings", finding, "empty, as the proof holds".into());
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
            let text = self.inside.as_ref().map_or("missing".to_owned(), ToString::to_string);
            found.add("the largest error inside", text, "that of the list of values".into());
        }
    }
}

/// The contradictions that were found.
#[derive(Debug, Default)]
pub(super) struct Contradictions(Vec<Contradiction>);

impl Contradictions {
    pub(super) fn add(&mut self, what: &str, found: impl fmt::Display, expected: String) {
        self.0.push(Contradiction { what: what.into(), found: found.to_string(), expected });
    }

    pub(super) fn expect(&mut self, is_so: bool, what: &str, found: impl fmt::Display, expected: impl fmt::Display) {
        if !is_so {
            self.add(what, found, expected.to_string());
        }
    }

    pub(super) fn equal(&mut self, what: &str, found: &str, expected: &str) {
        self.expect(found == expected, what, found, expected);
    }

    /// Compares two figures that are computed in two ways.
    pub(super) fn near(&mut self, what: &str, found: Option<f64>, expected: Option<f64>) {
        let is_near = match (found, expected) {
            (Some(found), Some(expected)) => (found - expected).abs() <= ROUNDING * expected.abs(),
            (found, expected) => found == expected,
        };
        let text = |figure: Option<f64>| figure.map_or("missing".to_owned(), |figure| figure.to_string());
        self.expect(is_near, what, text(found), text(expected));
    }

    /// Checks that a text is a SHA-256 in hexadecimal.
    pub(super) fn hash(&mut self, what: &str, text: &str) {
        let is_hash = text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        self.expect(is_hash, what, format!("`{text}`"), "a SHA-256");
    }

    /// Checks that statistics of errors fit together.
    pub(super) fn stats(&mut self, what: &str, errors: &ErrorStats) {
        let ErrorStats { elements, not_finite, scale, max, rms, .. } = errors;
        let text =
            format!("{max} at most and {rms} on average of the scale {scale}, {not_finite} of {elements} not finite");
        self.expect(errors.is_consistent(), what, text, "figures that fit together");
    }
}
