//! A network as a graph, stage by stage.

use burn::module::Module;
use seg_nets::network::Network;
use seg_nets::topology::{Stage, walk};
use seg_nets::with_network;
use seg_onnx::graph::{Dim, Graph, GraphBuilder, Scope, Value};

use super::LowerError;

/// The modules of a network, as far as they can be written into a graph.
pub trait LowerNetwork: Module {
    /// Adds the computation of a stage's output from its inputs, below the stage's name.
    ///
    /// # Errors
    /// When the graph cannot express it.
    ///
    /// # Panics
    /// When the stage is not one of the network's, or has other inputs.
    fn lower_stage(&self, at: &mut Scope<'_>, stage: &Stage, inputs: Vec<Value>) -> Result<Value, LowerError>;
}

/// Returns the network as a graph from `input` `[batch, in_channels, height, width]` to `output`,
/// the logits `[batch, num_classes, height, width]`. All other names are paths in the network.
/// Height and width are numbers where the network takes one size.
///
/// Heads that only training needs are in the graph without a reader, so that it holds all
/// parameters; the passes drop them.
///
/// # Errors
/// When `input` or `output` is the name of something in the network.
pub fn to_graph(net: &Network, input: &str, output: &str) -> Result<Graph, LowerError> {
    let config = net.config();
    let channels = Dim::try_from(config.in_channels()).expect("a tensor in memory has sizes of 63 bits");
    let mut builder = GraphBuilder::new(config.name().as_str());
    let size = config.sides().only;
    let [height, width] = [(0, Dim::height()), (1, Dim::width())].map(|(axis, any)| match size {
        Some(size) => Dim::try_from(size[axis]).expect("a tensor in memory has sizes of 63 bits"),
        None => any,
    });
    let image = builder.input(input, [Dim::batch(), channels, height, width])?;
    let at = &mut builder.root();
    let logits = walk(net.training_stages(), image, |stage, inputs| {
        with_network!(net, |net| net.lower_stage(at, stage, inputs))
    })?;
    Ok(builder.finish(&[(output, logits)])?)
}

/// Returns the name of a stage's output in the network's graph, before and after passes.
///
/// The last node below the stage's name gives its output, or the node of that name. There is
/// neither for the head, a single node: its output is the graph's.
pub fn value_of_stage(graph: &Graph, stage: &str) -> String {
    let prefix = format!("{stage}.");
    let inside = graph.nodes.iter().rfind(|node| node.name == stage || node.name.starts_with(&prefix));
    inside.map_or_else(|| graph.outputs[0].clone(), |node| node.name.clone())
}
