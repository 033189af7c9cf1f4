//! From a checkpoint to the bytes of an ONNX model.

use std::path::PathBuf;

use burn::tensor::Device;
use seg_contract::{Contract, Input, InputForm, OutputKind, Sides};
use seg_nets::checkpoint::Checkpoint;
use seg_nets::network::NetworkName;
use seg_nets::weights::FitError;
use seg_onnx::forms::{self, FormError};
use seg_onnx::graph::{DimError, Graph};
use seg_onnx::passes::{PassError, PassReport, Selection, run_selected};
use seg_onnx::{Model, ModelError, Opset, Target};
use thiserror::Error;

use crate::contract::{Assumption, GivenFacts, ResolveContractError, resolve_contract};
use crate::lower::{LowerError, to_graph};

/// The options of an export.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The operator set of the model.
    pub opset: Opset,
    /// The engine that the model is rewritten for.
    pub target: Target,
    /// The passes for that engine that are run.
    pub passes: Selection,
    /// The facts that the checkpoint may lack.
    pub given: GivenFacts,
    /// The form in which the model takes images.
    pub input: InputForm,
    /// The number that the sides of images are multiples of, if the model may demand more of them
    /// than the network; a caller extends other images.
    pub sides: Option<usize>,
    /// The output of the model.
    pub output: OutputKind,
}

/// An exported checkpoint.
#[derive(Clone, Debug)]
pub struct Export {
    /// The network.
    pub network: NetworkName,
    /// The model.
    pub model: Model,
    /// The network as it was lowered, before its form and the passes: normalised floats to logits.
    pub lowered: Model,
    /// The model as the content of an ONNX file; equal checkpoints and options give equal bytes.
    pub bytes: Vec<u8>,
    /// The assumptions about facts that neither checkpoint nor options give.
    pub assumptions: Vec<Assumption>,
    /// The report of the export.
    pub report: Report,
}

/// The steps of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The graph as the network's modules give it.
    pub lowered: Extent,
    /// The graph with the input and the output of its form, before the passes.
    pub formed: Extent,
    /// The passes in the order in which they ran, each with the graph that it left.
    pub passes: Vec<(PassReport, Extent)>,
    /// The graph of the model.
    pub exported: Extent,
}

/// The size of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The nodes.
    pub nodes: usize,
    /// The learned numbers.
    pub parameters: u64,
    /// Height and width of the image that is counted for: the only ones that the model takes, or
    /// [`Extent::SIDE`] or the next side that it takes.
    pub size: [usize; 2],
    /// The multiply-adds of one image.
    pub multiply_adds: u64,
    /// The bytes of the constants and of all that nodes write, for that image.
    pub bytes: u64,
}

/// An error in exporting a checkpoint.
#[derive(Debug, Error)]
pub enum ExportError {
    /// The weights make no network.
    #[error("cannot make a network of the weights in `{}`", path.display())]
    Weights {
        /// The checkpoint's file.
        path: PathBuf,
        /// The reason.
        source: FitError,
    },
    /// The model has no contract.
    #[error(transparent)]
    Contract(#[from] ResolveContractError),
    /// The network cannot be lowered to a graph.
    #[error(transparent)]
    Lower(#[from] LowerError),
    /// The network does not take images of the size that the options name.
    #[error(
        "cannot export {} for images of {}x{}: the network takes {sides}; choose such a size or leave it out",
        network.title(), found[0], found[1]
    )]
    Size {
        /// The network.
        network: NetworkName,
        /// Height and width in pixels.
        found: [usize; 2],
        /// The sizes that the network takes.
        sides: Sides,
    },
    /// The network does not take images of such sides, or not all of them.
    #[error(
        "cannot export {} for sides that are multiples of {multiple}: {}", network.title(), expectation(*expected, sides)
    )]
    Multiple {
        /// The network.
        network: NetworkName,
        /// The number.
        multiple: usize,
        /// The least number that suits the network, if there is one.
        expected: Option<usize>,
        /// The sizes that the network takes.
        sides: Sides,
    },
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

fn expectation(multiple: Option<usize>, sides: &Sides) -> String {
    match multiple {
        Some(multiple) => {
            format!(
                "the network halves sides until it needs multiples of {multiple}; choose {multiple} or a multiple of it"
            )
        }
        None => format!("the network takes {sides}; leave the number out"),
    }
}

/// Exports a checkpoint: lowers its network, runs the passes and writes graph and contract as ONNX.
///
/// # Errors
/// When the weights are not those of their network, the options contradict the checkpoint or name
/// a size that the network does not take, or the contract is not one of this network.
pub fn export(checkpoint: &Checkpoint, options: &Options) -> Result<Export, ExportError> {
    let net = checkpoint
        .weights
        .to_network(&Device::flex())
        .map_err(|source| ExportError::Weights { path: checkpoint.path.clone(), source })?;
    let config = net.config();
    let (mut contract, assumptions) = resolve_contract(checkpoint, &config, &options.given)?;
    let logits = contract.output.name.clone();
    let mut graph = to_graph(&net, &contract.input.name, &logits)?;
    if let Some(multiple) = options.sides {
        check_multiple(&graph, config.name(), config.sides(), multiple)?;
    }
    if let Some(multiple) = options.sides.or_else(|| own_multiple(&graph, config.sides(), options.input.size)) {
        forms::restrict_sides(&mut graph, multiple)?;
        contract.input.side_multiple = multiple;
        contract.format = contract.format.max(contract.least_format());
    }
    let plain = contract.clone();
    give_form(&mut contract, config.name(), config.sides(), options)?;
    contract.validate().map_err(ModelError::from)?;
    let extent = Extent::measure(&graph, &contract.input)?;
    let lowered = Model { graph: graph.clone(), opset: Opset::default(), contract: plain };
    forms::apply(&mut graph, &logits, &contract)?;
    let formed = Extent::measure(&graph, &contract.input)?;
    let mut passes = Vec::new();
    for pass in options.passes.select(options.opset, options.target) {
        let reports = run_selected(&mut graph, [pass])?;
        let extent = Extent::measure(&graph, &contract.input)?;
        passes.extend(reports.into_iter().map(|report| (report, extent)));
    }
    let exported = Extent::measure(&graph, &contract.input)?;
    let report = Report { lowered: extent, formed, passes, exported };
    let model = Model { graph, opset: options.opset, contract };
    Ok(Export { network: checkpoint.weights.network(), bytes: model.to_bytes()?, model, lowered, assumptions, report })
}

/// Checks that a network takes sides that are multiples of a number, and then computes no sizes.
fn check_multiple(graph: &Graph, network: NetworkName, sides: Sides, multiple: usize) -> Result<(), ExportError> {
    let takes = sides.only.is_none() && multiple > 0 && multiple.is_multiple_of(sides.multiple);
    if takes && forms::suits(graph, multiple) {
        return Ok(());
    }
    let expected = if sides.only.is_some() { None } else { forms::least_multiple(graph, sides.multiple) };
    Err(ExportError::Multiple { network, multiple, expected, sides })
}

/// Returns the number of which a network itself demands multiples, if its file then computes no
/// sizes and is not for one size.
fn own_multiple(graph: &Graph, sides: Sides, size: Option<[usize; 2]>) -> Option<usize> {
    let takes_many = sides.multiple > 1 && sides.only.or(size).is_none();
    (takes_many && forms::suits(graph, sides.multiple)).then_some(sides.multiple)
}

/// Makes the contract that of a model of the form that the options ask for. An output is called
/// what it is. A network that takes one size keeps it in the form.
///
/// # Errors
/// [`ExportError::Size`] when the options name a size that is not among the network's `sides`.
fn give_form(
    contract: &mut Contract,
    network: NetworkName,
    sides: Sides,
    options: &Options,
) -> Result<(), ExportError> {
    if let Some(found) = options.input.size.filter(|size| !sides.fit(*size)) {
        return Err(ExportError::Size { network, found, sides });
    }
    contract.input.form = InputForm { size: options.input.size.or(sides.only), ..options.input };
    contract.output.kind = options.output;
    if options.output != OutputKind::Logits {
        contract.output.name = options.output.to_string();
    }
    Ok(())
}

impl Extent {
    /// The side in pixels of the image that is counted for where a model takes any.
    pub const SIDE: usize = 256;

    /// Measures the graph of a model with this input.
    ///
    /// # Errors
    /// When a shape depends on more than batch, height and width.
    pub fn measure(graph: &Graph, input: &Input) -> Result<Self, DimError> {
        let size = input.form.size.unwrap_or(input.next_size([Self::SIDE; 2]));
        let symbols = [("batch", 1), ("height", size[0] as i64), ("width", size[1] as i64)];
        let total = graph.cost(&symbols)?.total;
        let mut bytes = total.constant_bytes;
        for node in &graph.nodes {
            let sizes = node.output.shape.iter().map(|size| size.evaluate(&symbols));
            let elements = sizes.collect::<Result<Vec<_>, _>>()?.into_iter().product::<i64>();
            bytes += elements.unsigned_abs() * node.output.data_type.size_bytes() as u64;
        }
        let nodes = graph.nodes.len();
        Ok(Self { nodes, parameters: total.parameters, size, multiply_adds: total.multiply_adds, bytes })
    }
}

#[cfg(test)]
mod tests {
    use seg_contract::{Class, ColorOrder, Contract, Element};
    use seg_nets::amsunet::AmsUnetConfig;
    use seg_nets::weights::Weights;
    use seg_onnx::TENSORRT_OPERATORS;
    use seg_onnx::graph::{DataType, Node, Op};
    use seg_onnx::precision::{Range, Scheme, halve, quantizable, quantize, values_around};

    use super::*;
    use crate::parity::randomised;

    fn checkpoint() -> Checkpoint {
        let net = randomised(AmsUnetConfig::new().with_base_width(4).init(&Device::flex()));
        Checkpoint { path: "net.safetensors".into(), weights: Weights::from_network(&net), contract: None }
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
    fn a_model_for_multiples_pads_nothing_and_says_so() {
        for (sides, output, expected) in [
            (16, OutputKind::Logits, "f32[batch, 2, 16*floor(height/16), 16*floor(width/16)]"),
            (32, OutputKind::Mask, "u8[batch, 32*floor(height/32), 32*floor(width/32)]"),
        ] {
            for element in [Element::Float, Element::U8] {
                let input = InputForm { element, ..InputForm::default() };
                let options = Options { sides: Some(sides), input, output, ..Options::default() };
                let Export { bytes, lowered, .. } = export(&checkpoint(), &options).unwrap();
                let Model { graph, contract, .. } = Model::from_bytes(&bytes).unwrap();
                assert_eq!((contract.input.side_multiple, contract.format), (sides, 2));
                assert_eq!(lowered.contract.input.side_multiple, sides);
                let output = graph.tensor_type(&contract.output.name).unwrap();
                assert_eq!(output.to_string(), expected);
                assert!(graph.nodes.iter().all(|node| !matches!(node.op, Op::Shape { .. })), "no size is computed");
            }
        }
        for (number, expected) in [(0, "multiples of 0"), (3, "multiples of 3"), (8, "multiples of 8"), (24, "of 24")] {
            let refused = export(&checkpoint(), &Options { sides: Some(number), ..Options::default() }).unwrap_err();
            let remedy = "until it needs multiples of 16; choose 16 or a multiple of it";
            let message = refused.to_string();
            assert!(message.contains(expected) && message.ends_with(remedy), "{number}: {message}");
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
    fn the_form_has_a_size_that_the_network_takes() {
        let only = Sides::only([64, 96]);
        for (name, sides, size, expected) in [
            ("any size, none given", Sides::at_least(16), None, Ok(None)),
            ("any size", Sides::at_least(16), Some([17, 33]), Ok(Some([17, 33]))),
            (
                "too short a side",
                Sides::at_least(16),
                Some([8, 64]),
                Err("8x64: the network takes sides of at least 16"),
            ),
            ("multiples, none given", Sides::multiples_of(32), None, Ok(None)),
            ("multiples", Sides::multiples_of(32), Some([64, 96]), Ok(Some([64, 96]))),
            (
                "no multiple",
                Sides::multiples_of(32),
                Some([64, 80]),
                Err("64x80: the network takes sides of at least 32"),
            ),
            ("one size, none given", only, None, Ok(Some([64, 96]))),
            ("one size", only, Some([64, 96]), Ok(Some([64, 96]))),
            ("one size, another given", only, Some([96, 64]), Err("96x64: the network takes 64x96")),
        ] {
            let mut contract = export(&checkpoint(), &Options::default()).unwrap().model.contract;
            let options = Options { input: InputForm { size, ..InputForm::default() }, ..Options::default() };
            let given = give_form(&mut contract, NetworkName::UNet, sides, &options);
            match (given, expected) {
                (Ok(()), Ok(expected)) => assert_eq!(contract.input.form.size, expected, "{name}"),
                (Err(error), Err(expected)) => {
                    let expected = format!("cannot export U-Net for images of {expected}");
                    assert!(error.to_string().starts_with(&expected), "{name}: {error}");
                }
                (given, expected) => panic!("{name}: {given:?}, expected {expected:?}"),
            }
        }
    }

    #[test]
    fn no_target_leaves_normalisations_and_cuda_gets_few_nodes() {
        /// The most nodes of a graph for CUDA and any size of image.
        const GPU_NODES_MAX: usize = 200;
        let checkpoint = checkpoint();
        for target in Target::ALL {
            let Export { model, report, .. } = export(&checkpoint, &Options { target, ..Options::default() }).unwrap();
            assert_eq!(normalisations(&model.graph).count(), 0, "{target}");
            // The zeros of a merged kernel count as parameters.
            assert!(target.is_gpu() || report.exported.parameters < report.lowered.parameters, "{target}");
            assert_eq!(report.passes.last().map(|(_, extent)| *extent), Some(report.exported), "{target}");
            // For TensorRT, the kernels of an engine count, which are fewer with a few nodes more.
            assert!(target != Target::Cuda || report.exported.nodes <= GPU_NODES_MAX, "{}", report.exported.nodes);
        }
    }

    /// Returns the graph as it is, in half precision and in 8 bits, as if its values allowed that
    /// everywhere.
    fn precisions(graph: Graph) -> [(&'static str, Graph); 3] {
        let magnitudes = graph.nodes.iter().map(|node| (node.name.clone(), 1.0)).collect();
        let half = halve(&graph, &magnitudes).unwrap().graph;
        let convs = quantizable(&graph, Scheme::TensorRt).into_iter().collect();
        let range = Range { min: -1.0, max: 1.0 };
        let ranges = values_around(&graph, &convs, Scheme::TensorRt)
            .into_iter()
            .map(|value| (value.to_owned(), range))
            .collect();
        let quantized = quantize(&graph, &convs, &ranges, Scheme::TensorRt).unwrap().graph;
        assert!(quantized.nodes.iter().any(|node| matches!(node.op, Op::QuantizeLinear { .. })));
        [("fp32", graph), ("fp16", half), ("int8", quantized)]
    }

    #[test]
    fn no_file_for_any_target_has_an_operator_or_bytes_that_tensorrt_does_not_take() {
        let input = InputForm { element: Element::U8, ..InputForm::default() };
        for output in [OutputKind::Logits, OutputKind::Probabilities, OutputKind::Mask] {
            for (target, opset) in Target::ALL.map(|target| [(target, Opset::V17), (target, Opset::V20)]).concat() {
                let options = Options { target, opset, input, output, ..Options::default() };
                for (precision, graph) in precisions(export(&checkpoint(), &options).unwrap().model.graph) {
                    for node in &graph.nodes {
                        let place = format!("{target}, {output}, {precision}: `{}`", node.name);
                        let known = TENSORRT_OPERATORS.iter().any(|(name, _)| *name == node.op.name());
                        assert!(known, "{place} is {}", node.op.name());
                        let is_inner = !graph.outputs.contains(&node.name);
                        assert!(!is_inner || node.output.data_type != DataType::U8, "{place} gives bytes");
                    }
                }
            }
        }
    }

    #[test]
    fn passes_are_left_out_on_demand() {
        let passes = "-fold_batch_norm_into_previous_conv,-fold_batch_norm_into_next_conv".parse().unwrap();
        let Export { model, .. } = export(&checkpoint(), &Options { passes, ..Options::default() }).unwrap();
        let net = checkpoint().weights.to_network(&Device::flex()).unwrap();
        let lowered = to_graph(&net, "input", "logits").unwrap();
        assert_eq!(normalisations(&model.graph).count(), normalisations(&lowered).count());
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
