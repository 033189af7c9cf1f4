//! Rewrites that make a graph cheaper, or fit for an older opset, without changing its results.
//!
//! A pass knows no network. It keeps the graph's inputs, outputs and their names; the name of a
//! remaining node still stands for the same values; and unless its conditions are clearly met it
//! does not change the graph.

mod affine;
#[cfg(test)]
mod agreement;
mod average_channels_last;
mod average_rows_first;
mod block_padded_addend;
mod compose_pointwise_convs;
mod conv_parameters;
mod crop_instead_of_pad;
mod decompose_gelu;
mod drop_identities;
mod factor_products;
mod factor_sums;
mod fold_batch_norm_into_next_conv;
mod fold_batch_norm_into_previous_conv;
mod fold_padding_into_conv;
mod join_pooled_branches;
mod merge_depthwise_sum;
mod move_conv_below_resize;
mod pad_addend_by_conv;
#[cfg(test)]
mod random_graphs;
mod scale_instead_of_norm;
mod selection;
mod share_equal_initializers;
mod slice_wide_middle;
mod split_conv_over_concat;

pub use selection::{Selection, SelectionError};

use crate::graph::{CheckError, Graph, Index, Op};
use crate::{Opset, Target};

/// A rewrite of a graph.
#[derive(Clone, Copy, Debug)]
pub struct Pass {
    /// The name in reports, which is that of the pass's file.
    pub name: &'static str,
    /// Returns true if the pass applies to graphs of this opset and target.
    pub applies: fn(Opset, Target) -> bool,
    /// Rewrites the graph and returns the names of the rewritten nodes.
    pub run: fn(&mut Graph) -> Vec<String>,
}

/// The places at which a pass rewrote the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassReport {
    /// The pass.
    pub pass: &'static str,
    /// The nodes and constants that it rewrote.
    pub places: Vec<String>,
}

/// An error that says that a graph broke an invariant.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// The graph was broken before the first pass.
    #[error("cannot rewrite the graph: it is broken before the first pass")]
    Before(#[source] CheckError),
    /// A pass broke the graph.
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
    // First, because it fits convolutions of any padding: those that it takes need not satisfy the
    // other pass.
    Pass {
        name: "fold_batch_norm_into_previous_conv",
        applies: |_, _| true,
        run: fold_batch_norm_into_previous_conv::run,
    },
    // A convolution moves below the upsampling of one part only once it reads that part alone.
    // TensorRT writes both parts of a concatenation in the kernels that compute them, so that one
    // convolution reads what would take two and a sum.
    Pass {
        name: "split_conv_over_concat",
        applies: |_, target| target != Target::TensorRt,
        run: split_conv_over_concat::run,
    },
    // Before the remaining normalisations: in front of the moved convolution there is no padding.
    Pass {
        name: "move_conv_below_resize",
        applies: |_, target| target != Target::TensorRt,
        run: move_conv_below_resize::run,
    },
    Pass { name: "fold_batch_norm_into_next_conv", applies: |_, _| true, run: fold_batch_norm_into_next_conv::run },
    // What no convolution takes becomes part of the kernel that computes its operand.
    Pass {
        name: "scale_instead_of_norm",
        applies: |_, target| target == Target::TensorRt,
        run: scale_instead_of_norm::run,
    },
    // After the normalisations, which would lie between two convolutions.
    Pass { name: "compose_pointwise_convs", applies: |_, _| true, run: compose_pointwise_convs::run },
    Pass { name: "factor_products", applies: |_, _| true, run: factor_products::run },
    // The rest of a product by two factors is a product by the map itself.
    Pass { name: "factor_sums", applies: |_, _| true, run: factor_sums::run },
    // A node is a launch on a GPU; on a CPU the large kernel takes longer than the small ones and
    // their sum.
    Pass { name: "merge_depthwise_sum", applies: |_, target| target.is_gpu(), run: merge_depthwise_sum::run },
    // In a graph of one size, paddings are constant or empty.
    Pass { name: "drop_identities", applies: |_, _| true, run: drop_identities::run },
    Pass { name: "fold_padding_into_conv", applies: |_, _| true, run: fold_padding_into_conv::run },
    // After the merge: the remaining launches of a decoder are shape arithmetic.
    Pass { name: "crop_instead_of_pad", applies: |_, target| target.is_gpu(), run: crop_instead_of_pad::run },
    // For the caches and the blocked layout of ONNX Runtime's CPU provider; elsewhere only more
    // nodes.
    Pass { name: "slice_wide_middle", applies: |_, target| target == Target::Cpu, run: slice_wide_middle::run },
    // If maps are computed in blocks of channels, this saves half a dozen changes of layout;
    // elsewhere it changes nothing, and OpenCV computes a 1x1 convolution that pads wrongly.
    Pass { name: "pad_addend_by_conv", applies: |_, target| target == Target::Cpu, run: pad_addend_by_conv::run },
    // The same if the padding stays: one node more.
    Pass { name: "block_padded_addend", applies: |_, target| target == Target::Cpu, run: block_padded_addend::run },
    // A GPU adds up in a tree, and a node is a launch there.
    Pass {
        name: "average_rows_first",
        applies: |opset, target| !target.is_gpu() && opset.has(&Op::ReduceMean),
        run: average_rows_first::run,
    },
    // TensorRT computes convolutions with the channels last, and would copy a map for its mean.
    Pass {
        name: "average_channels_last",
        applies: |opset, target| target == Target::TensorRt && opset.has(&Op::ReduceMean),
        run: average_channels_last::run,
    },
    // After the averages, which are what the branches read.
    Pass {
        name: "join_pooled_branches",
        applies: |_, target| target == Target::TensorRt,
        run: join_pooled_branches::run,
    },
    // Late, because the others may treat GELU as one operator.
    Pass { name: "decompose_gelu", applies: |opset, _| !opset.has(&Op::Gelu), run: decompose_gelu::run },
    // Last, because the others need constants with one reader.
    Pass { name: "share_equal_initializers", applies: |_, _| true, run: share_equal_initializers::run },
];

/// Lists the passes that apply to graphs of this opset and target, in order.
pub fn applicable(opset: Opset, target: Target) -> impl Iterator<Item = &'static Pass> {
    PASSES.iter().filter(move |pass| (pass.applies)(opset, target))
}

/// Runs all [`PASSES`] that apply and reports where each fired.
///
/// # Errors
/// When the graph breaks an invariant before the first pass or after any.
pub fn run(graph: &mut Graph, opset: Opset, target: Target) -> Result<Vec<PassReport>, PassError> {
    run_selected(graph, applicable(opset, target))
}

/// Runs the given passes and reports where each fired.
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
        reports.push(PassReport { pass: pass.name, places: (pass.run)(graph) });
        graph.check().map_err(|cause| PassError::After { pass: pass.name, cause })?;
    }
    Ok(reports)
}

/// Applies a rewrite until it fits nowhere, and returns the places; `find` looks at one node.
fn rewrite_everywhere<Rewrite>(
    graph: &mut Graph,
    find: fn(&Graph, &Index<'_>, usize) -> Option<Rewrite>,
    apply: fn(Rewrite, &mut Graph) -> String,
) -> Vec<String> {
    let mut places = Vec::new();
    while let Some(rewrite) = find_first(graph, find) {
        places.push(apply(rewrite, graph));
        graph.tidy();
    }
    places
}

fn find_first<Rewrite>(graph: &Graph, find: fn(&Graph, &Index<'_>, usize) -> Option<Rewrite>) -> Option<Rewrite> {
    let index = graph.index();
    (0..graph.nodes.len()).find_map(|node| find(graph, &index, node))
}

#[cfg(test)]
mod tests {
    use super::agreement::assert_agree;
    use super::*;
    use crate::graph::example;

    const OPSETS: [Opset; 2] = [Opset::V17, Opset::V20];

    #[test]
    fn the_passes_of_each_opset_and_target_keep_what_a_network_computes() {
        for (opset, target) in OPSETS.map(|opset| Target::ALL.map(|target| (opset, target))).concat() {
            let mut graph = example::encoder_decoder();
            let reports = run(&mut graph, opset, target).unwrap();
            let fired: Vec<_> = reports.iter().filter(|report| !report.places.is_empty()).collect();
            let is_tensorrt = target == Target::TensorRt;
            let expected = [
                ("fold_batch_norm_into_previous_conv", Some(vec!["in_conv.norm"])),
                ("split_conv_over_concat", (!is_tensorrt).then(|| vec!["logits"])),
                ("move_conv_below_resize", (!is_tensorrt).then(|| vec!["logits.part_2"])),
                (
                    "fold_batch_norm_into_next_conv",
                    Some(if is_tensorrt { vec!["down.norm"] } else { vec!["down.norm", "up.norm"] }),
                ),
                ("scale_instead_of_norm", is_tensorrt.then(|| vec!["up.norm"])),
                ("factor_sums", Some(vec!["gate.sum"])),
                (
                    "crop_instead_of_pad",
                    target.is_gpu().then(|| vec![if is_tensorrt { "up.pad" } else { "logits.part_2" }]),
                ),
                ("block_padded_addend", (target == Target::Cpu).then(|| vec!["logits"])),
                ("average_rows_first", (opset == Opset::V20 && !target.is_gpu()).then(|| vec!["gate.average"])),
                ("average_channels_last", (opset == Opset::V20 && is_tensorrt).then(|| vec!["gate.average"])),
                ("decompose_gelu", (opset == Opset::V17).then(|| vec!["in_conv.gelu", "down.gelu"])),
                // The parts of GELU contain it too.
                ("share_equal_initializers", (opset == Opset::V17).then(|| vec!["gelu.one"])),
            ];
            let expected: Vec<_> = expected.into_iter().filter_map(|(pass, places)| Some((pass, places?))).collect();
            let found: Vec<(_, Vec<_>)> =
                fired.iter().map(|report| (report.pass, report.places.iter().map(String::as_str).collect())).collect();
            assert_eq!(found, expected, "opset {opset}, {target}");
            assert!(graph.nodes.iter().all(|node| opset.has(&node.op)), "opset {opset}");
            assert_agree(&example::encoder_decoder(), &graph);
        }
    }

    #[test]
    fn a_second_run_finds_nothing_to_do() {
        for target in Target::ALL {
            let mut graph = example::encoder_decoder();
            run(&mut graph, Opset::V17, target).unwrap();
            let once = graph.clone();
            let again = run(&mut graph, Opset::V17, target).unwrap();
            assert!(again.iter().all(|report| report.places.is_empty()), "{target}: {again:?}");
            assert_eq!(graph, once, "{target}");
        }
    }

    #[test]
    fn a_broken_graph_is_named_as_such_before_any_pass_sees_it() {
        let mut graph = example::encoder_decoder();
        graph.nodes.swap(0, 1);
        assert!(matches!(run(&mut graph, Opset::V20, Target::Portable), Err(PassError::Before(_))));
    }

    #[test]
    fn a_pass_that_breaks_the_graph_is_named() {
        let clumsy = Pass {
            name: "clumsy",
            applies: |_, _| true,
            run: |graph| {
                graph.outputs.clear();
                Vec::new()
            },
        };
        let error = run_selected(&mut example::encoder_decoder(), [&clumsy]).unwrap_err();
        assert_eq!(error.to_string(), "cannot use the rewritten graph: pass `clumsy` broke it");
    }
}
