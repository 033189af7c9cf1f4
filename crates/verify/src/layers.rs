//! Value by value: how far inside of the network an exported model is from the exact numbers.

use std::collections::BTreeMap;

use ndarray::{ArrayD, ArrayView4};
use seg_onnx::Model;
use seg_onnx::evaluate::EvaluateError;
use seg_onnx::precision::HALF_MAX;
use serde::{Deserialize, Serialize};

use crate::bounds::Bound;
use crate::figures::Figures;
use crate::finding::Finding;
use crate::reference::{Reference, Trained};
use crate::yardstick::{Inside, shared};

/// A value that the reference's graph and the exported one both have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Layer {
    /// Its path in the model.
    pub value: String,
    /// The operator that computes it.
    pub operator: String,
    /// How far it is from the exact one.
    pub figures: Figures,
    /// How many times the training framework's error that is, where that is known.
    pub times_trained: Option<f64>,
    /// The largest magnitude over all image files, or over the noise where there are none.
    pub magnitude: f64,
    /// Whether 16-bit floats hold it.
    pub fits_half: bool,
}

/// The value that comes nearest to what passes, or is farthest beyond it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extreme {
    /// Its path in the model.
    pub value: String,
    /// What it is.
    pub found: f64,
    /// What passes.
    pub allowed: f64,
}

/// The layers of a model: `found` are its values for an input.
///
/// # Errors
/// When the input does not fit the reference.
pub fn layers(
    reference: &Reference,
    model: &Model,
    input: ArrayView4<'_, f32>,
    found: &BTreeMap<String, ArrayD<f32>>,
    trained: Option<&Trained>,
    magnitudes: &BTreeMap<String, f64>,
) -> Result<Vec<Layer>, EvaluateError> {
    let mut names = shared(&reference.model.graph, &model.graph);
    names.retain(|name| found.contains_key(*name));
    let exact = Inside::of(&reference.model.graph, input, &names)?;
    let layer = |name: &str| {
        let figures = exact.figures(name, found.get(name)?.view())?;
        let node = model.graph.nodes.iter().find(|node| node.name == name)?;
        let theirs = trained.and_then(|trained| trained.values.get(name)).filter(|theirs| theirs.max > 0.0);
        let magnitude = magnitudes.get(name).map_or(0.0, |magnitude| magnitude.min(f64::MAX));
        Some(Layer {
            value: name.into(),
            operator: node.op.name().into(),
            times_trained: theirs.map(|theirs| figures.max / theirs.max),
            fits_half: magnitude <= HALF_MAX,
            figures,
            magnitude,
        })
    };
    Ok(names.into_iter().filter_map(layer).collect())
}

/// The layer that is farthest off, for an input whose longer side has `side` pixels.
pub(super) fn farthest(layers: &[Layer], bound: &Bound, side: usize) -> Option<Extreme> {
    let order = |layer: &&Layer| (layer.figures.not_finite, layer.figures.relative());
    let farthest = layers.iter().max_by(|one, other| {
        let ((count, one), (others, other)) = (order(one), order(other));
        count.cmp(&others).then(one.total_cmp(&other))
    });
    let extreme = |layer: &Layer| Extreme {
        value: layer.value.clone(),
        found: layer.figures.relative(),
        allowed: bound.at(side),
    };
    farthest.map(extreme)
}

/// What of the layers speaks against the model, for an input whose longer side has `side` pixels.
pub fn check_layers(layers: &[Layer], bound: &Bound, side: usize) -> Vec<Finding> {
    let far = layers.iter().filter(|layer| !layer.figures.is_within(bound.at(side)));
    far.map(|layer| Finding::Value {
        value: layer.value.clone(),
        found: layer.figures.relative(),
        not_finite: layer.figures.not_finite,
        allowed: bound.at(side),
    })
    .collect()
}
