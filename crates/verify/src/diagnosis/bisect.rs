//! The search for the cause of a failed proof.
//!
//! Exact comparisons come first: weights and contract. Then the file's graph is evaluated without
//! ONNX Runtime and compared with the reference, rewritten by all passes and with each left out. If
//! the file is right, the library that runs it is the cause.

use std::collections::BTreeMap;

use ndarray::{ArrayD, ArrayView4, ArrayViewD, Axis};
use seg_onnx::Model;
use seg_onnx::evaluate::EvaluateError;
use seg_onnx::graph::Graph;
use seg_onnx::passes::Pass;
use thiserror::Error;

use super::rebuild::{Difference, RebuildError, difference, rewrite, selected};
use super::{Culprit, Diagnosis};
use crate::bounds::ModelPrecision;
use crate::error_stats::ErrorStats;
use crate::exact::values::{ExactValues, model_values, shared_values};
use crate::finding::Finding;
use crate::layers::intermediate::IntermediateValues;
use crate::proof::report::InputReport;
use crate::proof::{ModelUnderTest, Proof};

/// An error that prevents a diagnosis.
#[derive(Debug, Error)]
pub enum BisectError {
    /// A graph cannot be evaluated.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// The expected graph of the file cannot be computed.
    #[error(transparent)]
    Rebuild(#[from] RebuildError),
}

/// Finds the cause of a failed proof.
///
/// `input` is one that failed, `found` holds the model's values for it, and `available` are the
/// passes of this version.
///
/// # Errors
/// When a graph cannot be evaluated.
pub fn bisect(
    tested: ModelUnderTest<'_>,
    available: &[Pass],
    proof: &Proof,
    input: ArrayView4<'_, f32>,
    found: &IntermediateValues,
) -> Result<Diagnosis, BisectError> {
    let (value, culprit) = match recorded_cause(tested, proof) {
        Some(cause) => cause,
        None => Search::new(tested, available, input, found)?.cause()?,
    };
    Ok(Diagnosis { value, culprit, when: common_property(&proof.inputs) })
}

/// The path of the first wrong value, if there is one, and the cause.
type Cause = (Option<String>, Culprit);

/// Returns the cause if the findings name it: weights, contract, reference or lowering.
fn recorded_cause(ModelUnderTest { reference, .. }: ModelUnderTest<'_>, proof: &Proof) -> Option<Cause> {
    let Proof { findings, inputs, .. } = proof;
    if let Some(culprit) = findings.iter().find_map(exact_culprit) {
        return Some((None, culprit));
    }
    if findings.iter().any(|finding| matches!(finding, Finding::Hash { .. })) {
        return Some((None, Culprit::Weights { tensor: None }));
    }
    if let Some(input) = inputs.iter().find(|input| input.findings.contains(&Finding::Input)) {
        return Some((None, Culprit::Reference { input: input.name.clone() }));
    }
    let wrong: Vec<_> = inputs.iter().flat_map(|input| &input.findings).filter_map(framework_value).collect();
    let first = reference.model.graph.nodes.iter().map(|node| &node.name).find(|name| wrong.contains(name));
    first.or(wrong.first().copied()).map(|value| (Some(value.clone()), Culprit::Lowering))
}

/// Returns the cause of a finding that was made bit by bit and needs no search.
fn exact_culprit(finding: &Finding) -> Option<Culprit> {
    match finding {
        Finding::Weights { tensor, .. } => Some(Culprit::Weights { tensor: Some(tensor.clone()) }),
        Finding::Contract { field, .. } => Some(Culprit::Contract { field: field.clone() }),
        _ => None,
    }
}

/// Returns the value in which the training framework differs from the graph.
fn framework_value(finding: &Finding) -> Option<&String> {
    match finding {
        Finding::Trained { value, .. } => Some(value),
        _ => None,
    }
}

/// A search among passes, precision, file and runtime.
struct Search<'a> {
    tested: ModelUnderTest<'a>,
    selected: Vec<&'a Pass>,
    input: ArrayView4<'a, f32>,
    found: &'a IntermediateValues,
    names: Vec<&'a str>,
    exact: ExactValues,
    /// The largest error that passes, relative to the scale.
    allowed: f64,
}

impl<'a> Search<'a> {
    fn new(
        tested: ModelUnderTest<'a>,
        available: &'a [Pass],
        input: ArrayView4<'a, f32>,
        found: &'a IntermediateValues,
    ) -> Result<Self, BisectError> {
        let ModelUnderTest { reference, model, bound } = tested;
        let mut names = shared_values(&reference.model.graph, &model.graph);
        names.retain(|name| found.contains_key(*name));
        let exact = ExactValues::compute(&reference.model.graph, input, &names)?;
        let allowed = bound.at(input.len_of(Axis(2)).max(input.len_of(Axis(3))));
        Ok(Self { tested, selected: selected(reference, available), input, found, names, exact, allowed })
    }

    fn cause(&self) -> Result<Cause, BisectError> {
        let ModelUnderTest { reference, model, .. } = self.tested;
        // The file alone, without the library that runs it.
        let own = model_values(model, self.input, &self.names)?;
        let first = self.names.iter().find(|name| self.is_wrong(name, &own)).map(|name| (*name).to_owned());
        let rewritten = rewrite(reference, model, &self.selected)?;
        if self.is_reduced() {
            // Reduced precision depends on calibration images, so there is no graph to compare
            // with.
            if first.as_ref().is_some_and(|value| self.is_right_in(&rewritten, value)) {
                return Ok((first, Culprit::Precision));
            }
        } else if let Some(Difference { node, operator, what }) = difference(&model.graph, &rewritten)
            && (first.is_some() || reference.passes.len() == self.selected.len())
        {
            return Ok((first, Culprit::File { node, operator, what }));
        }
        match first {
            Some(value) => Ok(self.pass_cause(value)),
            None => self.runtime_cause(),
        }
    }

    /// Leaves out one pass after another until `value` is right.
    fn pass_cause(&self, value: String) -> Cause {
        let ModelUnderTest { reference, model, .. } = self.tested;
        for left_out in &self.selected {
            let others: Vec<_> = self.selected.iter().copied().filter(|pass| pass.name != left_out.name).collect();
            // If another pass fails without it, it is not the only cause.
            let Ok(rewritten) = rewrite(reference, model, &others) else { continue };
            if self.is_right_in(&rewritten, &value) {
                return (Some(value), Culprit::Pass { pass: left_out.name.to_owned() });
            }
        }
        (Some(value), Culprit::Unknown)
    }

    /// Blames the library that runs the file, which is itself right.
    fn runtime_cause(&self) -> Result<Cause, BisectError> {
        let model = self.tested.model;
        let in_order = model.graph.nodes.iter().map(|node| node.name.as_str());
        let wanted: Vec<_> = in_order.filter(|name| self.found.contains_key(*name)).collect();
        let own = model_values(model, self.input, &wanted)?;
        let wrong = wanted.into_iter().find(|name| {
            own.get(*name).is_some_and(|own| self.differs_at_scale(name, self.found[*name].view(), own.view()))
        });
        let node = wrong.map(str::to_owned);
        if node.is_none() && self.is_reduced() {
            return Ok((None, Culprit::Precision));
        }
        Ok((node.clone(), Culprit::Runtime { node }))
    }

    /// Returns true if the model computes in fewer bits than 32-bit floats.
    fn is_reduced(&self) -> bool {
        !matches!(self.tested.bound.precision, ModelPrecision::Float32 | ModelPrecision::TensorFloat32)
    }

    /// Returns true if a graph gives `value` correctly in place of the model's.
    fn is_right_in(&self, graph: &Graph, value: &str) -> bool {
        let model = Model { graph: graph.clone(), ..self.tested.model.clone() };
        model_values(&model, self.input, &[value]).is_ok_and(|values| !self.is_wrong(value, &values))
    }

    /// Returns true if the values hold one of this name and it is not within the bound.
    fn is_wrong(&self, name: &str, values: &BTreeMap<String, ArrayD<f64>>) -> bool {
        values.get(name).is_some_and(|found| {
            let errors = self.exact.error_stats(name, found.mapv(|value| value as f32).view());
            errors.is_none_or(|errors| !errors.is_within(self.allowed))
        })
    }

    /// Returns true if a value of the runtime is not within the bound of the file's own value.
    fn differs_at_scale(&self, name: &str, found: ArrayViewD<'_, f32>, own: ArrayViewD<'_, f64>) -> bool {
        if found.shape() != own.shape() {
            return true;
        }
        let errors = ErrorStats::compare(found, own);
        let errors = match self.exact.scales.get(name) {
            Some(scale) => errors.with_scale(*scale),
            None => errors,
        };
        !errors.is_within(self.allowed)
    }
}

/// A property of an input.
type Property = fn(&InputReport) -> bool;

/// Returns the property that all failing inputs share and no other has, in words.
fn common_property(inputs: &[InputReport]) -> Option<String> {
    const PROPERTIES: [(&str, Property); 4] = [
        ("in batches of several images", |input| input.shape[0] > 1),
        ("where a side is odd", |input| input.shape[1] % 2 == 1 || input.shape[2] % 2 == 1),
        ("far outside of what images have", |input| input.name.starts_with("far") || input.name.starts_with("huge")),
        ("on real images", InputReport::is_image),
    ];
    let (failing, passing): (Vec<_>, Vec<_>) = inputs.iter().partition(|input| !input.findings.is_empty());
    if failing.is_empty() {
        return None;
    }
    let shared = PROPERTIES
        .iter()
        .find(|(_, has)| failing.iter().all(|input| has(input)) && !passing.iter().any(|input| has(input)));
    shared.map(|(words, _)| (*words).to_owned())
}
