//! The placement of nodes: which provider computes which, and whether it is the one that was asked
//! for.
//!
//! ONNX Runtime gives every node that the provider does not take to the CPU, without an error. For
//! the arithmetic on shapes this is right: these are a few integers that a GPU would only wait for.
//! For everything else it is an error here.

#![allow(unsafe_code, reason = "calls ONNX Runtime's C interface, which `ort` does not wrap")]

use std::collections::{BTreeMap, HashSet};
use std::ffi::{CStr, c_char};
use std::{ptr, slice};

use ort::AsPointer;
use ort::session::Session;
use ort::sys::OrtStatusPtr;
use seg_onnx::graph::{DataType, Graph, Node};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::provider::Provider;

/// The entry of the session's configuration that makes ONNX Runtime record its placement.
pub(crate) const RECORD_PLACEMENT: &str = "session.record_ep_graph_assignment_info";

/// The reason for which a session does not run on the requested provider alone.
#[derive(Debug, Error)]
pub enum PlacementError {
    /// ONNX Runtime does not report the placement.
    #[error("ONNX Runtime does not tell which provider took which node")]
    Unknown {
        /// The cause.
        source: ort::Error,
    },
    /// Another provider took nodes.
    #[error(
        "{misplaced} of {nodes} nodes went to {found}, the first is {operator} `{name}`; choose `--ep cpu` or \
         allow it by `--allow-fallback`"
    )]
    Misplaced {
        /// The number of nodes that another provider took.
        misplaced: usize,
        /// The number of all nodes.
        nodes: usize,
        /// ONNX Runtime's name for the provider that took the first of them.
        found: String,
        /// The operator of the first of them.
        operator: String,
        /// The name of the first of them.
        name: String,
    },
}

/// The provider of each node of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// The nodes, in ONNX Runtime's order.
    pub nodes: Vec<PlacedNode>,
}

impl Placement {
    /// Counts the nodes that each provider computes, by ONNX Runtime's name for it.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for node in &self.nodes {
            *counts.entry(node.provider.clone()).or_default() += 1;
        }
        counts
    }

    /// Lists the nodes that another provider computes than the one asked for, which is given by
    /// ONNX Runtime's name for it.
    ///
    /// On the CPU, the shape arithmetic of `graph` is accepted.
    pub(crate) fn misplaced(&self, asked: &str, graph: &Graph) -> Vec<&PlacedNode> {
        let shapes: HashSet<_> =
            graph.nodes.iter().filter(is_shape_arithmetic).map(|node| node.name.as_str()).collect();
        let cpu = Provider::Cpu.spec().ort_name;
        let is_shape_on_cpu = |node: &PlacedNode| node.provider == cpu && shapes.contains(node.name.as_str());
        self.nodes.iter().filter(|node| node.provider != asked && !is_shape_on_cpu(node)).collect()
    }

    /// Checks that the provider asked for computes everything; it is given by ONNX Runtime's name.
    ///
    /// # Errors
    /// When another provider took a node, except shape arithmetic of `graph` on the CPU.
    pub(crate) fn check(&self, asked: &str, graph: &Graph) -> Result<(), PlacementError> {
        let misplaced = self.misplaced(asked, graph);
        match misplaced.first() {
            None => Ok(()),
            Some(first) => Err(PlacementError::Misplaced {
                misplaced: misplaced.len(),
                nodes: self.nodes.len(),
                found: first.provider.clone(),
                operator: first.operator.clone(),
                name: first.name.clone(),
            }),
        }
    }
}

/// Returns whether a node computes a few integers: a size, the sizes of a tensor, an amount of
/// padding.
///
/// A mask of integers has more axes.
fn is_shape_arithmetic(node: &&Node) -> bool {
    node.output.data_type == DataType::I64 && node.output.rank() <= 1
}

/// A node of ONNX Runtime's optimised graph and the provider that computes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PlacedNode {
    /// The node's name: from the model, or from ONNX Runtime if it fused or added nodes.
    pub name: String,
    /// The node's operator.
    pub operator: String,
    /// ONNX Runtime's name for the provider.
    pub provider: String,
}

/// Reads the placement of each node of a session that was opened with [`RECORD_PLACEMENT`].
///
/// # Errors
/// When ONNX Runtime does not report it.
pub(crate) fn placement(session: &Session) -> Result<Placement, PlacementError> {
    let nodes = placed_nodes(session).map_err(|source| PlacementError::Unknown { source })?;
    Ok(Placement { nodes })
}

fn placed_nodes(session: &Session) -> ort::Result<Vec<PlacedNode>> {
    let api = ort::api();
    let mut placed = Vec::new();
    // SAFETY: here and below, everything that the getters hand out belongs to the session, which is
    // borrowed until the end of this function, and they are called on it or on what they handed
    // out.
    let subgraphs = unsafe { list(|out, len| (api.Session_GetEpGraphAssignmentInfo)(session.ptr(), out, len))? };
    for &subgraph in subgraphs {
        // SAFETY: as above.
        let provider = unsafe { text(|out| (api.EpAssignedSubgraph_GetEpName)(subgraph, out))? };
        // SAFETY: as above.
        let nodes = unsafe { list(|out, len| (api.EpAssignedSubgraph_GetNodes)(subgraph, out, len))? };
        for &node in nodes {
            // SAFETY: as above.
            let name = unsafe { text(|out| (api.EpAssignedNode_GetName)(node, out))? };
            // SAFETY: as above.
            let operator = unsafe { text(|out| (api.EpAssignedNode_GetOperatorType)(node, out))? };
            placed.push(PlacedNode { name, operator, provider: provider.clone() });
        }
    }
    Ok(placed)
}

/// Returns the list that a getter describes by its two out pointers: the first element, which may
/// be null for an empty list, and the number of elements.
///
/// # Safety
/// A getter that succeeds must describe elements that live for `'a`.
unsafe fn list<'a, T>(get: impl FnOnce(*mut *const T, *mut usize) -> OrtStatusPtr) -> ort::Result<&'a [T]> {
    let (mut first, mut len) = (ptr::null(), 0);
    // SAFETY: the status is the getter's own, and nobody else has taken it.
    unsafe { ort::Error::result_from_status(get(&mut first, &mut len))? };
    // SAFETY: the getter succeeded.
    Ok(if first.is_null() { &[] } else { unsafe { slice::from_raw_parts(first, len) } })
}

/// Copies the string that a getter puts into its out pointer.
///
/// # Safety
/// A getter that succeeds must put a null-terminated string there.
unsafe fn text(get: impl FnOnce(*mut *const c_char) -> OrtStatusPtr) -> ort::Result<String> {
    let mut out = ptr::null();
    // SAFETY: the status is the getter's own, and nobody else has taken it.
    unsafe { ort::Error::result_from_status(get(&mut out))? };
    // SAFETY: the getter succeeded.
    Ok(unsafe { CStr::from_ptr(out) }.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use seg_onnx::graph::{Conv, Dim, GraphBuilder, Tensor};
    use seg_onnx::{Opset, proto};

    use super::*;
    use crate::library::tests::environment;

    /// Creates a graph with shape arithmetic: `padded.pads` and its operands.
    fn graph() -> Graph {
        let mut builder = GraphBuilder::new("padded");
        let image = builder.input("image", [Dim::batch(), Dim::from(1), Dim::height(), Dim::width()]).unwrap();
        let mut root = builder.root();
        let weight = Tensor::new([1, 1, 2, 2], vec![0.25; 4]).unwrap();
        let small = root.conv("small", image, weight, None, Conv::default()).unwrap();
        let padded = root.pad_to_size_of("padded", small, image).unwrap();
        builder.finish(&[("padded", padded)]).unwrap()
    }

    #[test]
    fn onnx_runtime_tells_the_place_of_each_node() {
        let builder = Session::builder(environment()).unwrap().with_config_entry(RECORD_PLACEMENT, "1").unwrap();
        let bytes = proto::write(&graph(), Opset::V20, &[]).unwrap();
        let session = { builder }.commit_from_memory(&bytes).unwrap();
        let placed = placement(&session).unwrap();
        for (name, operator) in [("small", "Conv"), ("padded.pads", "Concat"), ("padded", "Pad")] {
            let node =
                PlacedNode { name: name.into(), operator: operator.into(), provider: "CPUExecutionProvider".into() };
            assert!(placed.nodes.contains(&node), "{name}: {placed:?}");
        }
        assert_eq!(placed.counts(), [("CPUExecutionProvider".to_owned(), 6)].into());
        assert!(placed.check(Provider::Cpu.spec().ort_name, &graph()).is_ok());
        let message = placed.check(Provider::Cuda.spec().ort_name, &graph()).unwrap_err().to_string();
        let expected = "2 of 6 nodes went to CPUExecutionProvider, the first is Conv `small`; choose `--ep cpu` or \
                        allow it by `--allow-fallback`";
        assert_eq!(message, expected);
    }

    #[test]
    fn only_shape_arithmetic_may_stay_on_the_cpu() {
        let (cpu, cuda, tensorrt) = ("CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider");
        for (name, node, provider, asked, accepted) in [
            ("where it was asked for", "small", cuda, Provider::Cuda, true),
            ("fused by the provider", "TRTKernel_0", tensorrt, Provider::TensorRt, true),
            ("shape arithmetic", "padded.pads", cpu, Provider::Cuda, true),
            ("an image on the CPU", "small", cpu, Provider::Cuda, false),
            ("an unknown node on the CPU", "fused_0", cpu, Provider::TensorRt, false),
            ("another GPU provider", "small", cuda, Provider::TensorRt, false),
            ("an image on the CPU instead of OpenVINO", "small", cpu, Provider::OpenVino, false),
            ("shape arithmetic on another GPU provider", "padded.pads", cuda, Provider::TensorRt, false),
        ] {
            let nodes = vec![PlacedNode { name: node.into(), operator: "Conv".into(), provider: provider.into() }];
            assert_eq!(Placement { nodes }.misplaced(asked.spec().ort_name, &graph()).is_empty(), accepted, "{name}");
        }
    }
}
