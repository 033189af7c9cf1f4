//! Comparison of a model's intermediate values with the exact ones.

use std::collections::BTreeMap;
use std::fmt;

use ndarray::{ArrayD, ArrayView4};
use seg_onnx::Model;
use seg_onnx::evaluate::EvaluateError;
use seg_onnx::precision::HALF_MAX;
use serde::{Deserialize, Serialize};

pub(crate) mod half_range;
pub(crate) mod intermediate;

use crate::bounds::Bound;
use crate::error_stats::ErrorStats;
use crate::exact::values::{ExactValues, shared_values};
use crate::finding::Finding;
use crate::reference::Reference;
use crate::reference::framework::FrameworkOutput;

/// A value that the reference's graph and the exported one share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Layer {
    /// The path in the model.
    pub value: String,
    /// The operator that computes it.
    pub operator: String,
    /// The errors against the exact value.
    #[serde(rename = "figures")]
    pub errors: ErrorStats,
    /// The largest error divided by the training framework's, if that is known.
    pub times_trained: Option<f64>,
    /// The largest magnitude over all image files, or over the noise if there are none.
    pub magnitude: f64,
    /// True if 16-bit floats can represent the value.
    pub fits_half: bool,
}

/// The value that is closest to its bound, or farthest beyond it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Extreme {
    /// The path in the model.
    pub value: String,
    /// The number that was found.
    pub found: f64,
    /// The largest number that passes.
    pub allowed: f64,
}

impl fmt::Display for Extreme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} allowed (`{}`)", self.found, self.allowed, self.value)
    }
}

/// Compares a model's values `found` for an input with the exact ones.
///
/// # Errors
/// When the input does not fit the reference.
pub fn layers(
    reference: &Reference,
    model: &Model,
    input: ArrayView4<'_, f32>,
    found: &BTreeMap<String, ArrayD<f32>>,
    framework: Option<&FrameworkOutput>,
    magnitudes: &BTreeMap<String, f64>,
) -> Result<Vec<Layer>, EvaluateError> {
    let mut names = shared_values(&reference.model.graph, &model.graph);
    names.retain(|name| found.contains_key(*name));
    let exact = ExactValues::compute(&reference.model.graph, input, &names)?;
    let mut layers = Vec::with_capacity(names.len());
    for name in names {
        let Some(errors) = exact.error_stats(name, found[name].view()) else { continue };
        let Some(node) = model.graph.nodes.iter().find(|node| node.name == name) else { continue };
        let theirs = framework.and_then(|framework| framework.values.get(name)).filter(|theirs| theirs.max > 0.0);
        let magnitude = magnitudes.get(name).map_or(0.0, |magnitude| magnitude.min(f64::MAX));
        layers.push(Layer {
            value: name.into(),
            operator: node.op.name().into(),
            times_trained: theirs.map(|theirs| errors.max / theirs.max),
            fits_half: magnitude <= HALF_MAX,
            errors,
            magnitude,
        });
    }
    Ok(layers)
}

/// Returns the layer with the largest error, for an input whose longer side has `side` pixels.
pub(crate) fn farthest(layers: &[Layer], bound: &Bound, side: usize) -> Option<Extreme> {
    let order = |layer: &&Layer| (layer.errors.not_finite, layer.errors.relative());
    let farthest = layers.iter().max_by(|one, other| {
        let ((count, one), (others, other)) = (order(one), order(other));
        count.cmp(&others).then(one.total_cmp(&other))
    });
    farthest.map(|layer| Extreme {
        value: layer.value.clone(),
        found: layer.errors.relative(),
        allowed: bound.at(side),
    })
}

/// Returns a finding for each layer beyond the bound, for an input whose longer side has `side`
/// pixels.
pub fn check_layers(layers: &[Layer], bound: &Bound, side: usize) -> Vec<Finding> {
    let far = layers.iter().filter(|layer| !layer.errors.is_within(bound.at(side)));
    far.map(|layer| Finding::Value {
        value: layer.value.clone(),
        found: layer.errors.relative(),
        not_finite: layer.errors.not_finite,
        allowed: bound.at(side),
    })
    .collect()
}
