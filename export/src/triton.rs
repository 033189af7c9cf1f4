//! A model as a Triton Inference Server takes it: a folder `NAME/config.pbtxt` and
//! `NAME/1/model.onnx`.
//!
//! The configuration follows from the graph's own inputs and outputs. Where the batch is dynamic,
//! Triton gathers requests of one size into batches. On a GPU its ONNX Runtime uses TensorRT, with
//! an engine for the stated range of sizes, and refuses any other size; the block that says so
//! means nothing to an instance on the CPU. TensorRT takes no unsigned 8-bit values, so a model
//! that has them gets no such block.

use std::fmt::{self, Write};
use std::path::{Path, PathBuf};

use seg_contract::{Contract, SizePolicy};
use seg_onnx::graph::{DataType, Dim, Graph, Input, Op, TensorType};
use seg_onnx::{Model, ModelError};
use seg_text::text_proto::string;

/// The most images that Triton gathers into a batch.
const BATCH_MAX: usize = 8;
/// The time that a request waits for others, in microseconds: little beside the time that a batch
/// takes.
const QUEUE_DELAY_US: u32 = 2000;
/// The side in pixels that engines are made for first, where images have any size.
const SIDE_USUAL: usize = 512;
/// The longest side in pixels that engines are made for; ONNX Runtime refuses a larger image.
const SIDE_MAX: usize = 1024;
/// The digits of a model's hash in the name of its engines' folder.
const ENGINES_NAME_LEN: usize = 16;

/// A limit of a server with a GPU for a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// It takes images of a range of sides only.
    Sides {
        /// The shortest side.
        smallest: usize,
        /// The longest side.
        largest: usize,
    },
    /// It does not use TensorRT, which takes no unsigned 8-bit values.
    NoTensorRt,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sides { smallest, largest } => {
                write!(f, "on a GPU a server takes images with sides of {smallest} to {largest} pixels only")
            }
            Self::NoTensorRt => {
                f.write_str("on a GPU a server does without TensorRT, which takes no unsigned 8-bit values")
            }
        }
    }
}

/// Returns the files of a model repository, as paths in it and contents: the configuration first,
/// so that no new model is run by an older one.
///
/// `engines` is the folder in which the server keeps TensorRT's engines. Only the server's user
/// should be able to write to it: an engine is code that the GPU runs.
///
/// # Errors
/// When the model has no hash, because its graph cannot be written.
pub fn repository(
    model: &Model,
    name: &str,
    bytes: Vec<u8>,
    engines: &Path,
) -> Result<[(PathBuf, Vec<u8>); 2], ModelError> {
    let [model_path, config_path] = paths(name);
    let id = model.id()?;
    // ONNX Runtime names an engine by the file's name and the graph's edges, never by its
    // constants, so the folder must tell models apart: those of other weights, and those of the
    // same weights with another calibration, mean or size.
    let engines = engines.join(id.get(..ENGINES_NAME_LEN).unwrap_or(&id));
    let mut config = String::new();
    write_config(&mut config, model, name, &engines).expect("a String takes any text");
    Ok([(config_path, config.into_bytes()), (model_path, bytes)])
}

/// Returns the paths of a model's files in a repository: those of the model and of its
/// configuration.
pub fn paths(name: &str) -> [PathBuf; 2] {
    let folder = Path::new(name);
    [folder.join("1").join("model.onnx"), folder.join("config.pbtxt")]
}

/// Returns the name under which a server offers the model of a file: the file's name without its
/// extension and without characters that have a meaning in an address.
pub fn model_name(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let name: String = stem.chars().enumerate().map(|(place, c)| in_address(place, c)).collect();
    if name.is_empty() { "model".into() } else { name }
}

/// Returns a character of a name as an address takes it.
fn in_address(place: usize, c: char) -> char {
    match c {
        '.' if place > 0 => c,
        '-' | '_' => c,
        _ if c.is_ascii_alphanumeric() => c,
        _ => '_',
    }
}

/// Returns the limits of a server with a GPU for the model.
pub fn limits(model: &Model) -> Vec<Limit> {
    let input = &model.contract.input;
    if has_unsigned(&model.graph) {
        vec![Limit::NoTensorRt]
    } else if (input.form.size, input.size) == (None, SizePolicy::Native) {
        let Sizes { smallest, largest, .. } = Sizes::from_contract(&model.contract);
        vec![Limit::Sides { smallest: smallest[0], largest: largest[0] }]
    } else {
        Vec::new()
    }
}

/// Returns whether values are quantised to unsigned integers.
fn has_unsigned(graph: &Graph) -> bool {
    let is_unsigned = |op: &Op, data_type| matches!(op, Op::QuantizeLinear { .. }) && data_type == DataType::U8;
    graph.nodes.iter().any(|node| is_unsigned(&node.op, node.output.data_type))
}

fn write_config(text: &mut String, Model { graph, contract, .. }: &Model, name: &str, engines: &Path) -> fmt::Result {
    // A server that gathers requests leaves the first axis to itself, so its shapes begin after it.
    let is_batched = contract.input.form.batch.is_none();
    let batch_max = if is_batched { BATCH_MAX } else { 0 };
    let skipped = usize::from(is_batched);
    writeln!(text, "name: {}\nbackend: \"onnxruntime\"\nmax_batch_size: {batch_max}", string(name))?;
    for input in &graph.inputs {
        writeln!(text, "input [ {} ]", edge(&input.name, &input.tensor_type, skipped))?;
    }
    for output in &graph.outputs {
        let tensor_type = graph.tensor_type(output).expect("an output of a checked graph is a node");
        writeln!(text, "output [ {} ]", edge(output, tensor_type, skipped))?;
    }
    if is_batched {
        writeln!(text, "dynamic_batching {{ max_queue_delay_microseconds: {QUEUE_DELAY_US} }}")?;
    }
    let sizes = Sizes::from_contract(contract);
    if !has_unsigned(graph) {
        let block = "optimization { execution_accelerators { gpu_execution_accelerator [ {";
        writeln!(text, "{block}\n  name: \"tensorrt\"")?;
        for (key, value) in accelerator(graph, engines, &sizes, batch_max) {
            writeln!(text, "  parameters {{ key: \"{key}\" value: {} }}", string(&value))?;
        }
        writeln!(text, "}} ] }} }}")?;
    }
    for input in &graph.inputs {
        // Without it the first request waits until the engine is built.
        let shape = shape(&input.tensor_type, sizes.usual, None);
        let dims = list(&shape[skipped..]);
        writeln!(text, "model_warmup [ {{\n  name: \"one image\"\n  batch_size: {skipped}\n  inputs {{")?;
        let data_type = data_type(input.tensor_type.data_type);
        writeln!(
            text,
            "    key: {}\n    value {{ data_type: {data_type} dims: [ {dims} ] random_data: true }}\n  }}\n}} ]",
            string(&input.name)
        )?;
    }
    Ok(())
}

/// `{ name: ... data_type: ... dims: ... }` of an input or output, without its first axes.
fn edge(name: &str, tensor_type: &TensorType, skipped: usize) -> String {
    let dims =
        list(&tensor_type.shape[skipped..].iter().map(|dim| dim.as_constant().unwrap_or(-1)).collect::<Vec<_>>());
    format!("{{ name: {} data_type: {} dims: [ {dims} ] }}", string(name), data_type(tensor_type.data_type))
}

fn list(dims: &[i64]) -> String {
    dims.iter().map(i64::to_string).collect::<Vec<_>>().join(", ")
}

fn data_type(data_type: DataType) -> &'static str {
    match data_type {
        DataType::F32 => "TYPE_FP32",
        DataType::F16 => "TYPE_FP16",
        DataType::U8 => "TYPE_UINT8",
        DataType::I8 => "TYPE_INT8",
        DataType::I32 => "TYPE_INT32",
        DataType::I64 => "TYPE_INT64",
        DataType::Bool => "TYPE_BOOL",
    }
}

/// The heights and widths that engines are made for.
struct Sizes {
    smallest: [usize; 2],
    usual: [usize; 2],
    largest: [usize; 2],
}

impl Sizes {
    fn from_contract(Contract { input, .. }: &Contract) -> Self {
        let only = match (input.form.size, input.size) {
            (Some(size), _) => size,
            (None, SizePolicy::Resize { height, width }) => [height, width],
            (None, SizePolicy::Native) => {
                let [smallest, usual, largest] = [1, SIDE_USUAL, SIDE_MAX].map(|side| input.next_size([side; 2]));
                return Self { smallest, usual, largest };
            }
        };
        Self { smallest: only, usual: only, largest: only }
    }
}

/// Returns the options of Triton's ONNX Runtime for TensorRT, which keeps its engines in `engines`.
fn accelerator(graph: &Graph, engines: &Path, sizes: &Sizes, batch_max: usize) -> Vec<(&'static str, String)> {
    let is_quantized = graph.nodes.iter().any(|node| matches!(node.op, Op::QuantizeLinear { .. }));
    let has_halves = graph.nodes.iter().any(|node| node.output.data_type == DataType::F16);
    // The graph says what is computed in which precision; this only allows it.
    let precision = if is_quantized {
        "INT8"
    } else if has_halves {
        "FP16"
    } else {
        "FP32"
    };
    let mut options = vec![("precision_mode", precision.to_owned()), ("trt_engine_cache_enable", "true".to_owned())];
    options.push(("trt_engine_cache_path", engines.display().to_string()));
    options.push(("trt_timing_cache_enable", "true".to_owned()));
    let input = &graph.inputs[0];
    if input.tensor_type.shape.iter().any(|dim| dim.as_constant().is_none()) {
        options.push(("trt_profile_min_shapes", profile(input, sizes.smallest, None)));
        options.push(("trt_profile_opt_shapes", profile(input, sizes.usual, None)));
        options.push(("trt_profile_max_shapes", profile(input, sizes.largest, Some(batch_max))));
    }
    options
}

/// Returns a shape of an engine's profile, for example `input:1x3x512x512`.
fn profile(input: &Input, size: [usize; 2], batch: Option<usize>) -> String {
    let shape: Vec<_> = shape(&input.tensor_type, size, batch).iter().map(i64::to_string).collect();
    format!("{}:{}", input.name, shape.join("x"))
}

/// Returns the shape of an input at a size; for a dynamic batch one image, unless more are given.
fn shape(tensor_type: &TensorType, [height, width]: [usize; 2], batch: Option<usize>) -> Vec<i64> {
    let symbols = [(Dim::batch(), batch.unwrap_or(1)), (Dim::height(), height), (Dim::width(), width)];
    let symbols = symbols.map(|(dim, size)| (dim.to_string(), size as i64));
    let bindings = symbols.each_ref().map(|(symbol, size)| (symbol.as_str(), *size));
    let size = |dim: &Dim| dim.evaluate(&bindings).expect("an input's sizes are numbers and these symbols");
    tensor_type.shape.iter().map(size).collect()
}
