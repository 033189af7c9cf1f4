//! The graph that a file should hold: what the recorded passes make of the reference's.
//!
//! Nothing is rounded between the two, so they are compared exactly. In fewer bits a graph depends on the images that
//! these were chosen on, and a pass of another version may make something else that is as right; then there is nothing
//! to compare with.

use seg_inference::provider::ComputePrecision;
use seg_onnx::Model;
use seg_onnx::forms::{self, FormError};
use seg_onnx::graph::{Graph, Node};
use seg_onnx::passes::{self, Pass, PassError};
use thiserror::Error;

use crate::bounds::Precision;
use crate::finding::Finding;
use crate::reference::Reference;

/// Why the graph that a file should hold cannot be had.
#[derive(Debug, Error)]
pub enum RebuildError {
    /// The graph cannot have the form.
    #[error(transparent)]
    Form(#[from] FormError),
    /// A pass fails.
    #[error(transparent)]
    Pass(#[from] PassError),
}

/// A node in which a file differs from what it should hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) node: String,
    pub(super) operator: String,
    pub(super) what: String,
}

/// Compares the graph of a model's file, node by node, with what the passes make of the reference's, where `available`
/// are those that there are; none where it cannot be compared.
///
/// # Errors
/// When the reference's graph cannot be rewritten.
pub fn check_graph(
    reference: &Reference,
    model: &Model,
    available: &[Pass],
) -> Result<Option<Vec<Finding>>, RebuildError> {
    let selected = selected(reference, available);
    let is_whole = Precision::of(&model.graph, ComputePrecision::Fp32) == Precision::Float32;
    if !is_whole || !reference.is_of_this_version() || selected.len() != reference.passes.len() {
        return Ok(None);
    }
    let difference = difference(&model.graph, &rewrite(reference, model, &selected)?);
    let finding = |Difference { node, operator, what }| Finding::File { node, operator, what };
    Ok(Some(difference.map(finding).into_iter().collect()))
}

/// Those of the reference's passes that there are.
pub(super) fn selected<'p>(reference: &Reference, available: &'p [Pass]) -> Vec<&'p Pass> {
    reference.passes.iter().filter_map(|name| available.iter().find(|pass| pass.name == *name)).collect()
}

/// What the passes make of the reference's graph, once it has the form that the model's contract describes.
pub(super) fn rewrite(reference: &Reference, model: &Model, selected: &[&Pass]) -> Result<Graph, RebuildError> {
    let mut graph = reference.model.graph.clone();
    forms::apply(&mut graph, &reference.model.contract.output.name, &model.contract)?;
    passes::run_selected(&mut graph, selected.iter().copied())?;
    Ok(graph)
}

/// The first node in which a file differs from what it should hold.
pub(super) fn difference(found: &Graph, expected: &Graph) -> Option<Difference> {
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
