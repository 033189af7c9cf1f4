//! Rewrites that make a graph cheaper or fit for an older opset without changing what it computes.
//!
//! A pass knows nothing of any network. It keeps the graph's inputs, outputs and their names; the name of a node that
//! remains still stands for the same values; and where its conditions are not plainly met it leaves the graph alone.

mod affine;
#[cfg(test)]
mod agreement;
mod conv_parameters;
mod decompose_gelu;
mod fold_batch_norm_into_next_conv;
mod fold_batch_norm_into_previous_conv;

use crate::Opset;
use crate::graph::{CheckError, Graph, Index, Op};

/// A rewrite of a graph.
#[derive(Clone, Copy, Debug)]
pub struct Pass {
    /// The name in reports: the file that holds the pass.
    pub name: &'static str,
    /// Whether a graph for this opset takes the pass.
    pub applies: fn(Opset) -> bool,
    /// Rewrites the graph and returns at how many places.
    run: fn(&mut Graph) -> usize,
}

/// How often a pass fired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassReport {
    /// The pass.
    pub pass: &'static str,
    /// At how many places it rewrote the graph.
    pub fired: usize,
}

/// A graph broke an invariant.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// It was broken when it came.
    #[error("cannot rewrite the graph: it is broken before the first pass")]
    Before(#[source] CheckError),
    /// A pass is wrong.
    #[error("cannot use the rewritten graph: pass `{pass}` broke it")]
    After {
        /// The pass.
        pass: &'static str,
        /// The invariant.
        #[source]
        cause: CheckError,
    },
}

/// Every pass, in the order in which they run.
pub const PASSES: &[Pass] = &[
    // First, because it fits convolutions of any padding: what it takes need not satisfy the next pass.
    Pass {
        name: "fold_batch_norm_into_previous_conv",
        applies: |_| true,
        run: fold_batch_norm_into_previous_conv::run,
    },
    // For the normalisations that are left, those in front of an unpadded convolution.
    Pass { name: "fold_batch_norm_into_next_conv", applies: |_| true, run: fold_batch_norm_into_next_conv::run },
    // Last, because the others may know GELU as one operator.
    Pass { name: "decompose_gelu", applies: |opset| !opset.has(&Op::Gelu), run: decompose_gelu::run },
];

/// Runs all [`PASSES`] that apply to the opset and reports how often each fired.
///
/// # Errors
/// When the graph breaks an invariant before the first pass or after any.
pub fn run(graph: &mut Graph, opset: Opset) -> Result<Vec<PassReport>, PassError> {
    run_selected(graph, PASSES.iter().filter(|pass| (pass.applies)(opset)))
}

/// Runs the given passes and reports how often each fired.
///
/// # Errors
/// When the graph breaks an invariant before the first pass or after any.
pub fn run_selected<'p>(
    graph: &mut Graph,
    passes: impl IntoIterator<Item = &'p Pass>,
) -> Result<Vec<PassReport>, PassError> {
    graph.check().map_err(PassError::Before)?;
    let mut reports = Vec::new();
    for pass in passes {
        reports.push(PassReport { pass: pass.name, fired: (pass.run)(graph) });
        graph.check().map_err(|cause| PassError::After { pass: pass.name, cause })?;
    }
    Ok(reports)
}

/// Applies a rewrite wherever it fits until it fits nowhere; `find` looks at one node. Constants that are then unread go.
fn rewrite_everywhere<Rewrite>(
    graph: &mut Graph,
    find: fn(&Graph, &Index<'_>, usize) -> Option<Rewrite>,
    apply: fn(Rewrite, &mut Graph),
) -> usize {
    let first = |graph: &Graph| {
        let index = graph.index();
        (0..graph.nodes.len()).find_map(|node| find(graph, &index, node))
    };
    let mut fired = 0;
    while let Some(rewrite) = first(graph) {
        apply(rewrite, graph);
        fired += 1;
    }
    graph.drop_unread_initializers();
    fired
}

#[cfg(test)]
mod tests {
    use super::agreement::assert_agree;
    use super::*;
    use crate::graph::example;

    #[test]
    fn the_passes_of_each_opset_keep_what_a_network_computes() {
        for (opset, gelus) in [(Opset::V20, None), (Opset::V17, Some(2))] {
            let mut graph = example::encoder_decoder();
            let reports = run(&mut graph, opset).unwrap();
            let fired: Vec<_> = reports.iter().map(|report| (report.pass, report.fired)).collect();
            let folds = [("fold_batch_norm_into_previous_conv", 1), ("fold_batch_norm_into_next_conv", 1)];
            let expected: Vec<_> = folds.into_iter().chain(gelus.map(|gelus| ("decompose_gelu", gelus))).collect();
            assert_eq!(fired, expected, "opset {opset}");
            assert!(graph.nodes.iter().all(|node| opset.has(&node.op)), "opset {opset}");
            assert_agree(&example::encoder_decoder(), &graph);
        }
    }

    #[test]
    fn a_second_run_finds_nothing_to_do() {
        let mut graph = example::encoder_decoder();
        run(&mut graph, Opset::V17).unwrap();
        let once = graph.clone();
        assert!(run(&mut graph, Opset::V17).unwrap().iter().all(|report| report.fired == 0));
        assert_eq!(graph, once);
    }

    #[test]
    fn a_broken_graph_is_named_as_such_before_any_pass_sees_it() {
        let mut graph = example::encoder_decoder();
        graph.nodes.swap(0, 1);
        assert!(matches!(run(&mut graph, Opset::V20), Err(PassError::Before(_))));
    }

    #[test]
    fn a_pass_that_breaks_the_graph_is_named() {
        let clumsy = Pass {
            name: "clumsy",
            applies: |_| true,
            run: |graph| {
                graph.outputs.clear();
                1
            },
        };
        let error = run_selected(&mut example::encoder_decoder(), [&clumsy]).unwrap_err();
        assert_eq!(error.to_string(), "cannot use the rewritten graph: pass `clumsy` broke it");
    }
}
