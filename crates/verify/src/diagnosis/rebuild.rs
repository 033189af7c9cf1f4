//! The expected graph of a model's file: the reference's, rewritten by the recorded passes.
//!
//! Both are computed without rounding and compared exactly. A graph of reduced precision depends on
//! its calibration images, and a pass of another version may give something else that is also
//! right; then there is nothing to compare with.

use seg_inference::ComputePrecision;
use seg_onnx::Model;
use seg_onnx::forms::{self, FormError};
use seg_onnx::graph::{Graph, Node};
use seg_onnx::passes::{self, Pass, PassError};
use thiserror::Error;

use crate::bounds::ModelPrecision;
use crate::finding::Finding;
use crate::reference::Reference;

/// An error in computing the expected graph of a file.
#[derive(Debug, Error)]
pub enum RebuildError {
    /// The graph cannot have the form.
    #[error(transparent)]
    Form(#[from] FormError),
    /// A pass fails.
    #[error(transparent)]
    Pass(#[from] PassError),
}

/// A node in which a file differs from the expected graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) node: String,
    pub(crate) operator: String,
    pub(crate) what: String,
}

/// Compares the graph of a model's file, node by node, with the expected one. `available` are the
/// passes of this version. Returns `None` if the two cannot be compared.
///
/// # Errors
/// When the reference's graph cannot be rewritten.
pub fn check_graph(
    reference: &Reference,
    model: &Model,
    available: &[Pass],
) -> Result<Option<Vec<Finding>>, RebuildError> {
    let selected = selected(reference, available);
    if !is_comparable(&model.graph) || !reference.is_of_this_version() || selected.len() != reference.passes.len() {
        return Ok(None);
    }
    let difference = difference(&model.graph, &rewrite(reference, model, &selected)?);
    let finding = |Difference { node, operator, what }| Finding::File { node, operator, what };
    Ok(Some(difference.map(finding).into_iter().collect()))
}

/// Returns true if the graph of a file can be compared with the expected one: it is in full
/// precision.
pub(crate) fn is_comparable(graph: &Graph) -> bool {
    ModelPrecision::from_graph(graph, ComputePrecision::Fp32) == ModelPrecision::Float32
}

/// Lists the reference's passes that are available.
pub(crate) fn selected<'p>(reference: &Reference, available: &'p [Pass]) -> Vec<&'p Pass> {
    reference.passes.iter().filter_map(|name| available.iter().find(|pass| pass.name == *name)).collect()
}

/// Applies the passes to the reference's graph, in the form that the model's contract describes.
pub(crate) fn rewrite(reference: &Reference, model: &Model, selected: &[&Pass]) -> Result<Graph, RebuildError> {
    let mut graph = reference.model.graph.clone();
    forms::apply(&mut graph, &reference.model.contract.output.name, &model.contract)?;
    passes::run_selected(&mut graph, selected.iter().copied())?;
    Ok(graph)
}

/// Returns the first node in which a file differs from the expected graph.
pub(crate) fn difference(found: &Graph, expected: &Graph) -> Option<Difference> {
    let difference =
        |node: &Node, what: String| Some(Difference { node: node.name.clone(), operator: node.op.name().into(), what });
    for node in &found.nodes {
        let Some(same) = expected.nodes.iter().find(|same| same.name == node.name) else {
            return difference(node, "the node itself".into());
        };
        if node.op != same.op {
            return difference(node, format!("its attributes: {:?}, expected {:?}", node.op, same.op));
        }
        if node.inputs != same.inputs {
            return difference(node, format!("its operands: {:?}, expected {:?}", node.inputs, same.inputs));
        }
        let differs = |name: &&String| found.initializers.get(*name) != expected.initializers.get(*name);
        if let Some(operand) = node.inputs.iter().find(differs) {
            return difference(node, format!("its constant `{operand}`"));
        }
    }
    let absent = expected.nodes.iter().find(|node| found.nodes.iter().all(|same| same.name != node.name));
    absent.and_then(|node| difference(node, "the node, which is absent".into()))
}
