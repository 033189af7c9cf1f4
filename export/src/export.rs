//! From a checkpoint to the bytes of an ONNX model.

use std::path::PathBuf;

use burn::tensor::Device;
use seg_onnx::contract::{Contract, InputForm, OutputKind};
use seg_onnx::forms::{self, FormError};
use seg_onnx::graph::{DimError, Graph};
use seg_onnx::passes::{self, PassError, PassReport};
use seg_onnx::{Model, ModelError, Opset, Target};
use seg_train::checkpoint::Checkpoint;
use seg_train::weights::FitError;
use thiserror::Error;

use crate::contract::{Assumption, SettleError, Stated, settle};
use crate::lower::{LowerError, to_graph};

/// How a checkpoint is exported.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The operator set of the model.
    pub opset: Opset,
    /// What the checkpoint may not say.
    pub stated: Stated,
    /// The form in which the model takes images.
    pub input: InputForm,
    /// What the model gives.
    pub output: OutputKind,
}

/// An exported checkpoint.
#[derive(Clone, Debug)]
pub struct Export {
    /// The model.
    pub model: Model,
    /// The model as the content of an ONNX file; equal checkpoints and options give equal bytes.
    pub bytes: Vec<u8>,
    /// What had to be assumed, because neither checkpoint nor options say it.
    pub assumptions: Vec<Assumption>,
    /// What was done.
    pub report: Report,
}

/// What an export did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The graph as the network's modules give it.
    pub lowered: Extent,
    /// The passes in the order in which they ran.
    pub passes: Vec<PassReport>,
    /// The graph of the model.
    pub exported: Extent,
}

/// How large a graph is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The nodes.
    pub nodes: usize,
    /// The learned numbers.
    pub parameters: u64,
    /// The multiply-adds of one image of [`Extent::SIDE`] pixels a side.
    pub multiply_adds: u64,
}

/// Why a checkpoint cannot be exported.
#[derive(Debug, Error)]
pub enum ExportError {
    /// The weights make no network.
    #[error("cannot make a network of the weights in `{}`", path.display())]
    Weights {
        /// The checkpoint's file.
        path: PathBuf,
        /// What is wrong with them.
        source: FitError,
    },
    /// The model has no contract.
    #[error(transparent)]
    Contract(#[from] SettleError),
    /// The network is no graph.
    #[error(transparent)]
    Lower(#[from] LowerError),
    /// The graph cannot have the form.
    #[error(transparent)]
    Form(#[from] FormError),
    /// A pass went wrong.
    #[error(transparent)]
    Pass(#[from] PassError),
    /// The graph cannot be measured.
    #[error("cannot count the operations of the graph")]
    Extent(#[from] DimError),
    /// Graph and contract are no model.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// Exports a checkpoint: lowers its network, runs the passes and writes graph and contract as ONNX.
///
/// # Errors
/// When the weights are no AMSUnet, the options contradict the checkpoint, or the contract is not one of this network.
pub fn export(checkpoint: &Checkpoint, options: &Options) -> Result<Export, ExportError> {
    let net = checkpoint
        .weights
        .to_network(&Device::flex())
        .map_err(|source| ExportError::Weights { path: checkpoint.path.clone(), source })?;
    let (mut contract, assumptions) = settle(checkpoint, &net.config(), &options.stated)?;
    let logits = contract.output.name.clone();
    give_form(&mut contract, options);
    contract.validate().map_err(ModelError::from)?;
    let mut graph = to_graph(&net, &contract.input.name, &logits)?;
    let lowered = Extent::of(&graph)?;
    forms::apply(&mut graph, &logits, &contract)?;
    let passes = passes::run(&mut graph, options.opset, Target::Portable)?;
    let report = Report { lowered, passes, exported: Extent::of(&graph)? };
    let model = Model { graph, opset: options.opset, contract };
    Ok(Export { bytes: model.to_bytes()?, model, assumptions, report })
}

/// Makes the contract that of a model of the form that the options ask for. An output is called what it is.
fn give_form(contract: &mut Contract, options: &Options) {
    contract.input.form = options.input;
    contract.output.kind = options.output;
    if options.output != OutputKind::Logits {
        contract.output.name = options.output.to_string();
    }
}

impl Extent {
    /// The side in pixels of the image that multiply-adds are counted for.
    pub const SIDE: u16 = 256;

    /// How large the graph is.
    ///
    /// # Errors
    /// When a shape depends on more than batch, height and width.
    pub fn of(graph: &Graph) -> Result<Self, DimError> {
        let side = i64::from(Self::SIDE);
        let cost = graph.cost(&[("batch", 1), ("height", side), ("width", side)])?;
        let total = cost.total;
        Ok(Self { nodes: graph.nodes.len(), parameters: total.parameters, multiply_adds: total.multiply_adds })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use seg_onnx::contract::{Class, ColorOrder, Contract, Element};
    use seg_onnx::graph::{Node, Op};
    use seg_train::model::AmsUnetConfig;
    use seg_train::weights::Weights;

    use super::*;
    use crate::parity::randomised;

    fn checkpoint() -> Checkpoint {
        let net = randomised(AmsUnetConfig::new().with_base_width(4).init(&Device::flex()));
        Checkpoint { path: "net.safetensors".into(), weights: Weights::of(&net), contract: None }
    }

    fn normalisations(graph: &Graph) -> impl Iterator<Item = &Node> {
        graph.nodes.iter().filter(|node| matches!(node.op, Op::BatchNormalization { .. }))
    }

    #[test]
    fn the_same_checkpoint_gives_the_same_bytes_which_read_as_the_model() {
        for opset in [Opset::V17, Opset::V20] {
            let options = Options { opset, ..Options::default() };
            let first = export(&checkpoint(), &options).unwrap();
            assert_eq!(first.bytes, export(&checkpoint(), &options).unwrap().bytes, "opset {opset}");
            assert_eq!(Model::from_bytes(&first.bytes).unwrap(), first.model, "opset {opset}");
        }
    }

    #[test]
    fn a_model_has_the_form_that_is_asked_for() {
        let input = InputForm { element: Element::U8, batch: Some(2), size: Some([48, 64]) };
        for (output, name, expected) in [
            (OutputKind::Logits, "logits", "f32[2, 2, 48, 64]"),
            (OutputKind::Probabilities, "probabilities", "f32[2, 2, 48, 64]"),
            (OutputKind::Mask, "mask", "u8[2, 48, 64]"),
        ] {
            let export = export(&checkpoint(), &Options { input, output, ..Options::default() }).unwrap();
            let Model { graph, contract, .. } = Model::from_bytes(&export.bytes).unwrap();
            assert_eq!((contract.input.form, contract.output.kind), (input, output));
            assert_eq!(graph.inputs[0].tensor_type.to_string(), "u8[2, 48, 64, 3]", "{name}");
            assert_eq!(graph.tensor_type(name).unwrap().to_string(), expected, "{name}");
            assert!(graph.nodes.iter().all(|node| !matches!(node.op, Op::Shape { .. })), "{name}: sizes are known");
        }
    }

    #[test]
    fn normalisations_remain_only_before_the_upsampling() {
        let checkpoint = checkpoint();
        let net = checkpoint.weights.to_network(&Device::flex()).unwrap();
        let lowered = to_graph(&net, "input", "logits").unwrap();
        let Export { model, report, .. } = export(&checkpoint, &Options::default()).unwrap();
        let remaining: BTreeSet<_> = normalisations(&model.graph).map(|node| node.name.as_str()).collect();
        let unfoldable = BTreeSet::from(["up1.norm", "up2.norm", "up3.norm", "up4.norm"]);
        assert!(remaining.is_subset(&unfoldable), "{remaining:?}");
        // A folded normalisation takes its factor and its shift of each channel with it.
        let folded = normalisations(&lowered).filter(|node| !remaining.contains(node.name.as_str()));
        let channels: i64 = folded.filter_map(|node| node.output.shape[1].as_constant()).sum();
        assert_eq!(report.lowered.parameters, net.num_learnable() as u64);
        assert_eq!(report.exported.parameters, report.lowered.parameters - 2 * channels as u64);
    }

    #[test]
    fn a_contract_of_another_network_is_refused() {
        type Change = fn(&mut Contract);
        let rows: [(Change, &str); 2] = [
            (
                |c| c.classes.push(Class::new("vein", 2)),
                "expected the output's type f32[batch, 3, height, width], found f32[batch, 2, height, width]",
            ),
            (
                |c| {
                    c.input.color = ColorOrder::Gray;
                    c.input.mean.truncate(1);
                    c.input.std.truncate(1);
                },
                "expected the input's type f32[batch, 1, height, width], found f32[batch, 3, height, width]",
            ),
        ];
        let mut checkpoint = checkpoint();
        let contract = export(&checkpoint, &Options::default()).unwrap().model.contract;
        for (change, expected) in rows {
            change(checkpoint.contract.insert(contract.clone()));
            let message = export(&checkpoint, &Options::default()).unwrap_err().to_string();
            assert!(message.ends_with(expected), "{expected}: {message}");
        }
    }
}
