//! Where a model goes wrong, and what made it so: by the paths of its values, and by leaving out one pass after another.

use std::collections::BTreeMap;
use std::fmt;

use ndarray::{ArrayD, ArrayView4, Axis};
use seg_onnx::Model;
use seg_onnx::evaluate::EvaluateError;
use seg_onnx::passes::Pass;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::bounds::Precision;
use crate::figures::Figures;
use crate::finding::Finding;
use crate::proof::{CaseReport, Proof, Subject};
use crate::rebuilt::{Difference, RebuildError, difference, rewrite, selected};
use crate::yardstick::{Inside, model_values, shared};

/// The answer: where, and who.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// The path of the first value that is off, where one inside of the model is.
    pub value: Option<String>,
    /// What made it so.
    pub culprit: Culprit,
    /// What the cases that fail have in common, where others do not fail.
    pub when: Option<String>,
}

/// What made a model wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "culprit", rename_all = "snake_case")]
pub enum Culprit {
    /// The weights that went into it.
    Weights {
        /// The first wrong one by its name in the checkpoint, where that is known.
        tensor: Option<String>,
    },
    /// What the file says of its input, its output or its classes.
    Contract {
        /// The field.
        field: String,
    },
    /// The reference: its figures are of other inputs.
    Reference {
        /// The first such case.
        case: String,
    },
    /// The graph that the network was lowered to: the training framework computes something else.
    Lowering,
    /// A pass.
    Pass {
        /// Its name.
        pass: String,
    },
    /// The bits in which it computes are too few.
    Precision,
    /// The file holds something else than the passes make.
    File {
        /// The node that differs.
        node: String,
        /// Its operator.
        operator: String,
        /// What of it differs.
        what: String,
    },
    /// What runs the file.
    Runtime {
        /// The node whose value is wrong, where one inside of the model is.
        node: Option<String>,
    },
    /// Nothing that was looked at.
    Unknown,
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum BisectError {
    /// A graph cannot be evaluated.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// The graph that the file should hold cannot be had.
    #[error(transparent)]
    Rebuild(#[from] RebuildError),
}

/// The values of a model for one input, as what runs it computes them.
pub type Values = BTreeMap<String, ArrayD<f32>>;

/// Looks for what made a model wrong, of which `proof` is what was found. `input` is the one of a case that failed, `found` the values that
/// the model has for it, and `available` the passes that there are.
///
/// # Errors
/// When a graph cannot be evaluated.
pub fn bisect(
    Subject { reference, model, bound }: Subject<'_>,
    available: &[Pass],
    proof: &Proof,
    input: ArrayView4<'_, f32>,
    found: &Values,
) -> Result<Diagnosis, BisectError> {
    let Proof { findings, cases, .. } = proof;
    let allowed = bound.at(input.len_of(Axis(2)).max(input.len_of(Axis(3))));
    let when = when(cases);
    let diagnosis = |value: Option<String>, culprit| Ok(Diagnosis { value, culprit, when: when.clone() });
    // What is compared bit by bit needs no search.
    let exactly = |finding: &Finding| match finding {
        Finding::Weights { tensor, .. } => Some(Culprit::Weights { tensor: Some(tensor.clone()) }),
        Finding::Contract { field, .. } => Some(Culprit::Contract { field: field.clone() }),
        _ => None,
    };
    if let Some(culprit) = findings.iter().find_map(exactly) {
        return diagnosis(None, culprit);
    }
    if findings.iter().any(|finding| matches!(finding, Finding::Hash { .. })) {
        return diagnosis(None, Culprit::Weights { tensor: None });
    }
    let is_of_another_input = |case: &&CaseReport| case.findings.contains(&Finding::Input);
    if let Some(case) = cases.iter().find(is_of_another_input) {
        return diagnosis(None, Culprit::Reference { case: case.name.clone() });
    }
    let plain = &reference.model.graph;
    let of_trained = |finding: &Finding| match finding {
        Finding::Trained { value, .. } => Some(value.clone()),
        _ => None,
    };
    let off: Vec<_> = cases.iter().flat_map(|case| &case.findings).filter_map(of_trained).collect();
    if let Some(first) = plain.nodes.iter().find(|node| off.contains(&node.name)) {
        return diagnosis(Some(first.name.clone()), Culprit::Lowering);
    }
    if let Some(value) = off.into_iter().next() {
        return diagnosis(Some(value), Culprit::Lowering);
    }

    // The file by itself, free of what runs it.
    let mut names = shared(plain, &model.graph);
    names.retain(|name| found.contains_key(*name));
    let exact = Inside::of(plain, input, &names)?;
    let own = model_values(model, input, &names)?;
    let is_off = |name: &str, values: &BTreeMap<String, ArrayD<f64>>| {
        values.get(name).is_some_and(|found| {
            let figures = exact.figures(name, found.mapv(|value| value as f32).view());
            figures.is_none_or(|figures| !figures.is_within(allowed))
        })
    };
    let first = names.iter().find(|name| is_off(name, &own)).map(|name| (*name).to_owned());
    let selected = selected(reference, available);
    let rewritten = rewrite(reference, model, &selected)?;
    let is_lessened = !matches!(bound.precision, Precision::Float32 | Precision::TensorFloat32);
    if is_lessened {
        // What few bits make of a graph depends on images that are not at hand, so that there is no file to compare with.
        let is_right_without = |value: &String| {
            let rewritten = Model { graph: rewritten, ..model.clone() };
            model_values(&rewritten, input, &[value]).is_ok_and(|values| !is_off(value, &values))
        };
        if first.as_ref().is_some_and(is_right_without) {
            return diagnosis(first, Culprit::Precision);
        }
    } else if let Some(Difference { node, operator, what }) = difference(&model.graph, &rewritten)
        && (first.is_some() || reference.passes.len() == selected.len())
    {
        return diagnosis(first, Culprit::File { node, operator, what });
    }
    if let Some(value) = first {
        for left_out in &selected {
            let others: Vec<_> = selected.iter().copied().filter(|pass| pass.name != left_out.name).collect();
            // Without it another pass may not work; then it is not alone to blame.
            let Ok(rewritten) = rewrite(reference, model, &others) else { continue };
            let rewritten = Model { graph: rewritten, ..model.clone() };
            let values = model_values(&rewritten, input, &[&value]);
            if values.is_ok_and(|values| !is_off(&value, &values)) {
                return diagnosis(Some(value), Culprit::Pass { pass: left_out.name.to_owned() });
            }
        }
        return diagnosis(Some(value), Culprit::Unknown);
    }

    // The file is what it should be, so it is what runs it.
    let in_order = model.graph.nodes.iter().map(|node| node.name.as_str());
    let wanted: Vec<_> = in_order.filter(|name| found.contains_key(*name)).collect();
    let own = model_values(model, input, &wanted)?;
    let wrong = wanted.into_iter().find(|name| {
        own.get(*name).is_some_and(|own| {
            let found = &found[*name];
            let figures = (found.shape() == own.shape()).then(|| Figures::of(found.view(), own.view()));
            let scaled = figures.map(|figures| match exact.scales.get(*name) {
                Some(scale) => figures.at_scale(*scale),
                None => figures,
            });
            scaled.is_none_or(|figures| !figures.is_within(allowed))
        })
    });
    let node = wrong.map(str::to_owned);
    if node.is_none() && is_lessened {
        return diagnosis(None, Culprit::Precision);
    }
    diagnosis(node.clone(), Culprit::Runtime { node })
}

/// A property of a case.
type Property = fn(&CaseReport) -> bool;

/// What all failing cases have in common and no other has.
fn when(cases: &[CaseReport]) -> Option<String> {
    const PROPERTIES: [(&str, Property); 4] = [
        ("in batches of several images", |case| case.shape[0] > 1),
        ("where a side is odd", |case| case.shape[1] % 2 == 1 || case.shape[2] % 2 == 1),
        ("far outside of what images have", |case| case.name.starts_with("far") || case.name.starts_with("huge")),
        ("on real images", CaseReport::is_image),
    ];
    let (failing, passing): (Vec<_>, Vec<_>) = cases.iter().partition(|case| !case.findings.is_empty());
    let is_shared = |property: &Property| {
        !failing.is_empty() && failing.iter().all(|case| property(case)) && !passing.iter().any(|case| property(case))
    };
    PROPERTIES.iter().find(|(_, property)| is_shared(property)).map(|(words, _)| (*words).to_owned())
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.culprit {
            Culprit::Weights { tensor: Some(tensor) } => write!(f, "the weights: `{tensor}` is not the trained one")?,
            Culprit::Weights { tensor: None } => {
                f.write_str("the weights: they are not those that the contract names")?
            }
            Culprit::Contract { field } => {
                write!(f, "the contract: `{field}` is not what the network was trained with")?
            }
            Culprit::Reference { case } => {
                write!(f, "the reference: its `{case}` is another input; export the model again")?;
            }
            Culprit::Lowering => f.write_str("the graph: it is not what the training framework computes")?,
            Culprit::Precision => f.write_str("the precision: in 32-bit floats the value is right")?,
            Culprit::Pass { pass } => write!(f, "the pass `{pass}`: without it the value is right")?,
            Culprit::File { node, operator, what } => {
                write!(f, "the file: node `{node}` ({operator}) is not what the passes make: {what}")?;
            }
            Culprit::Runtime { node: Some(node) } => write!(f, "what runs the file: it computes `{node}` wrongly")?,
            Culprit::Runtime { node: None } => f.write_str("what runs the file, and no value inside of the model")?,
            Culprit::Unknown => f.write_str("no pass alone and nothing else that was looked at")?,
        }
        if let Some(value) = &self.value {
            write!(f, "; the first value that is off is `{value}`")?;
        }
        if let Some(when) = &self.when {
            write!(f, "; only {when}")?;
        }
        Ok(())
    }
}
