//! A model as a Triton Inference Server takes it: a folder `NAME/config.pbtxt` and `NAME/1/model.onnx`.
//!
//! The configuration follows from the graph's own inputs and outputs. Where the batch is dynamic, Triton gathers requests
//! of one size into batches. On a GPU its ONNX Runtime uses TensorRT, with engines for the stated range of sizes; the block
//! that says so means nothing to an instance on the CPU.

use std::fmt::{self, Write};
use std::path::{Path, PathBuf};

use seg_onnx::Model;
use seg_onnx::contract::{Contract, SizePolicy};
use seg_onnx::graph::{DataType, Dim, Op, TensorType};

/// The most images that Triton gathers into a batch.
const BATCH_MAX: usize = 8;
/// How long a request waits for others, in microseconds: little beside the time that a batch takes.
const QUEUE_DELAY_US: u32 = 2000;
/// The side in pixels that engines are made for first, where images have any size.
const SIDE_USUAL: usize = 512;
/// The longest side in pixels that engines are made for; a larger image makes TensorRT build another one.
const SIDE_MAX: usize = 1024;

/// The files of a model repository, as paths in it and contents: the model first, then what makes Triton see it.
pub fn repository(model: &Model, bytes: Vec<u8>) -> [(PathBuf, Vec<u8>); 2] {
    let name = model_name(&model.contract);
    let folder = Path::new(name);
    [(folder.join("1").join("model.onnx"), bytes), (folder.join("config.pbtxt"), config(model, name).into_bytes())]
}

/// The name under which the server offers the model.
pub fn model_name(contract: &Contract) -> &str {
    let network = contract.provenance.network.as_str();
    if network.is_empty() { "model" } else { network }
}

fn config(model: &Model, name: &str) -> String {
    let mut text = String::new();
    write_config(&mut text, model, name).expect("a String takes any text");
    text
}

fn write_config(text: &mut String, Model { graph, contract, .. }: &Model, name: &str) -> fmt::Result {
    // A server that gathers requests leaves the first axis to itself, so its shapes begin after it.
    let is_batched = contract.input.form.batch.is_none();
    let batch_max = if is_batched { BATCH_MAX } else { 0 };
    let skipped = usize::from(is_batched);
    writeln!(text, "name: \"{name}\"\nbackend: \"onnxruntime\"\nmax_batch_size: {batch_max}")?;
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
    let sizes = Sizes::of(contract);
    writeln!(text, "optimization {{ execution_accelerators {{ gpu_execution_accelerator [ {{\n  name: \"tensorrt\"")?;
    for (key, value) in accelerator(graph, contract, &sizes, batch_max) {
        writeln!(text, "  parameters {{ key: \"{key}\" value: \"{value}\" }}")?;
    }
    writeln!(text, "}} ] }} }}")?;
    for input in &graph.inputs {
        // Without it the first request waits until the engine is built.
        let shape = shape(&input.tensor_type, sizes.usual, None);
        let dims = list(&shape[skipped..]);
        writeln!(text, "model_warmup [ {{\n  name: \"one image\"\n  batch_size: {skipped}\n  inputs {{")?;
        let data_type = data_type(input.tensor_type.data_type);
        writeln!(
            text,
            "    key: \"{}\"\n    value {{ data_type: {data_type} dims: [ {dims} ] random_data: true }}\n  }}\n}} ]",
            input.name
        )?;
    }
    Ok(())
}

/// `{ name: ... data_type: ... dims: ... }` of an input or output, without its first axes.
fn edge(name: &str, tensor_type: &TensorType, skipped: usize) -> String {
    let dims =
        list(&tensor_type.shape[skipped..].iter().map(|dim| dim.as_constant().unwrap_or(-1)).collect::<Vec<_>>());
    format!("{{ name: \"{name}\" data_type: {} dims: [ {dims} ] }}", data_type(tensor_type.data_type))
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
    fn of(Contract { input, .. }: &Contract) -> Self {
        let only = match (input.form.size, input.size) {
            (Some(size), _) => Some(size),
            (None, SizePolicy::Resize { height, width }) => Some([height, width]),
            (None, SizePolicy::Native) => None,
        };
        let side_min = input.side_min;
        let any = || Self {
            smallest: [side_min; 2],
            usual: [SIDE_USUAL.max(side_min); 2],
            largest: [SIDE_MAX.max(side_min); 2],
        };
        only.map_or_else(any, |size| Self { smallest: size, usual: size, largest: size })
    }
}

/// The options of Triton's ONNX Runtime for TensorRT.
fn accelerator(
    graph: &seg_onnx::graph::Graph,
    contract: &Contract,
    sizes: &Sizes,
    batch_max: usize,
) -> Vec<(&'static str, String)> {
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
    // Engines of different models must not be taken for one another.
    let weights = contract.provenance.weights_sha256.get(..16).unwrap_or("weights");
    options.push(("trt_engine_cache_path", format!("/tmp/triton-engines/{weights}")));
    options.push(("trt_timing_cache_enable", "true".to_owned()));
    let input = &graph.inputs[0];
    let profile = |size, batch| {
        let shape: Vec<_> = shape(&input.tensor_type, size, batch).iter().map(i64::to_string).collect();
        format!("{}:{}", input.name, shape.join("x"))
    };
    if input.tensor_type.shape.iter().any(|dim| dim.as_constant().is_none()) {
        options.push(("trt_profile_min_shapes", profile(sizes.smallest, None)));
        options.push(("trt_profile_opt_shapes", profile(sizes.usual, None)));
        options.push(("trt_profile_max_shapes", profile(sizes.largest, Some(batch_max))));
    }
    options
}

/// The shape of an input at a size; of a dynamic batch one image, unless more are given.
fn shape(tensor_type: &TensorType, [height, width]: [usize; 2], batch: Option<usize>) -> Vec<i64> {
    let symbols = [(Dim::batch(), batch.unwrap_or(1)), (Dim::height(), height), (Dim::width(), width)];
    let symbols = symbols.map(|(dim, size)| (dim.to_string(), size as i64));
    let bindings = symbols.each_ref().map(|(symbol, size)| (symbol.as_str(), *size));
    let size = |dim: &Dim| dim.evaluate(&bindings).expect("an input's sizes are numbers and these symbols");
    tensor_type.shape.iter().map(size).collect()
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use seg_onnx::contract::{Element, InputForm, OutputKind};
    use seg_train::checkpoint::Checkpoint;
    use seg_train::model::AmsUnetConfig;
    use seg_train::weights::Weights;

    use super::*;
    use crate::{Options, export};

    /// A message in protobuf's text format, field by field in the order of the text.
    #[derive(Debug)]
    struct Message(Vec<(String, Field)>);

    #[derive(Debug)]
    enum Field {
        Scalar(String),
        List(Vec<String>),
        Message(Message),
    }

    impl Message {
        /// Reads the whole text, or panics where it is no such message.
        fn parse(text: &str) -> Self {
            let mut tokens = tokens(text);
            tokens.reverse();
            let message = Self::fields(&mut tokens);
            assert!(tokens.is_empty(), "the text goes on: {tokens:?}");
            message
        }

        fn fields(tokens: &mut Vec<String>) -> Self {
            let mut fields = Vec::new();
            while tokens.last().is_some_and(|token| token != "}" && token != "]") {
                let name = tokens.pop().unwrap();
                assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "`{name}` is no field");
                let has_colon = tokens.last().is_some_and(|token| token == ":");
                if has_colon {
                    tokens.pop();
                }
                match tokens.pop().unwrap().as_str() {
                    "{" => {
                        fields.push((name, Field::Message(Self::fields(tokens))));
                        assert_eq!(tokens.pop().as_deref(), Some("}"));
                    }
                    "[" if tokens.last().is_some_and(|token| token == "{") => {
                        while tokens.pop().is_some_and(|token| token == "{") {
                            fields.push((name.clone(), Field::Message(Self::fields(tokens))));
                            assert_eq!(tokens.pop().as_deref(), Some("}"));
                        }
                    }
                    "[" => {
                        let mut items = Vec::new();
                        loop {
                            items.push(tokens.pop().unwrap());
                            match tokens.pop().as_deref() {
                                Some(",") => {}
                                Some("]") => break,
                                other => panic!("`{name}`: expected `,` or `]`, found {other:?}"),
                            }
                        }
                        fields.push((name, Field::List(items)));
                    }
                    scalar => {
                        assert!(has_colon, "`{name}` has a value without a colon");
                        fields.push((name, Field::Scalar(scalar.into())));
                    }
                }
            }
            Self(fields)
        }

        fn all(&self, name: &str) -> Vec<&Field> {
            self.0.iter().filter(|(found, _)| found == name).map(|(_, field)| field).collect()
        }

        fn scalar(&self, name: &str) -> Option<&str> {
            match self.all(name)[..] {
                [Field::Scalar(value)] => Some(value.trim_matches('"')),
                [] => None,
                ref other => panic!("`{name}` is {other:?}"),
            }
        }

        fn list(&self, name: &str) -> Vec<&str> {
            match self.all(name)[..] {
                [Field::List(items)] => items.iter().map(String::as_str).collect(),
                ref other => panic!("`{name}` is {other:?}"),
            }
        }

        fn message(&self, path: &[&str]) -> &Self {
            path.iter().fold(self, |message, name| match message.all(name)[..] {
                [Field::Message(inner)] => inner,
                ref other => panic!("`{name}` is {other:?}"),
            })
        }
    }

    fn tokens(text: &str) -> Vec<String> {
        let mut tokens = Vec::new();
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let len = match first {
                '"' => rest[1..].find('"').expect("the string ends") + 2,
                '{' | '}' | '[' | ']' | ':' | ',' => 1,
                _ => rest.find(|c: char| !(c.is_alphanumeric() || "_-.".contains(c))).unwrap_or(rest.len()),
            };
            assert!(len > 0, "no token at `{rest}`");
            tokens.push(rest[..len].to_owned());
            rest = rest[len..].trim_start();
        }
        tokens
    }

    fn parsed(options: &Options) -> (Message, Vec<u8>) {
        let weights = Weights::of(&AmsUnetConfig::new().with_base_width(4).init(&Device::flex()));
        let checkpoint = Checkpoint { path: "net.safetensors".into(), weights, contract: None };
        let export = export(&checkpoint, options).unwrap();
        let [(model, bytes), (config, text)] = repository(&export.model, export.bytes.clone());
        assert_eq!((model.to_str(), config.to_str()), (Some("amsunet/1/model.onnx"), Some("amsunet/config.pbtxt")));
        assert_eq!(bytes, export.bytes);
        (Message::parse(std::str::from_utf8(&text).unwrap()), bytes)
    }

    fn parameter<'m>(config: &'m Message, key: &str) -> Option<&'m str> {
        let accelerator = config.message(&["optimization", "execution_accelerators", "gpu_execution_accelerator"]);
        assert_eq!(accelerator.scalar("name"), Some("tensorrt"));
        accelerator.all("parameters").into_iter().find_map(|field| match field {
            Field::Message(parameter) if parameter.scalar("key") == Some(key) => parameter.scalar("value"),
            _ => None,
        })
    }

    #[test]
    fn a_dynamic_model_is_offered_in_batches_of_images_of_any_size() {
        let (config, _) = parsed(&Options::default());
        assert_eq!(config.scalar("name"), Some("amsunet"));
        assert_eq!(config.scalar("backend"), Some("onnxruntime"));
        assert_eq!(config.scalar("max_batch_size"), Some("8"));
        assert!(config.message(&["dynamic_batching"]).scalar("max_queue_delay_microseconds").is_some());
        for (edge, name, dims) in [("input", "input", ["3", "-1", "-1"]), ("output", "logits", ["2", "-1", "-1"])] {
            let edge = config.message(&[edge]);
            assert_eq!(edge.scalar("name"), Some(name));
            assert_eq!(edge.scalar("data_type"), Some("TYPE_FP32"));
            assert_eq!(edge.list("dims"), dims);
        }
        let warmup = config.message(&["model_warmup", "inputs"]);
        assert_eq!(config.message(&["model_warmup"]).scalar("batch_size"), Some("1"));
        assert_eq!(warmup.scalar("key"), Some("input"));
        assert_eq!(warmup.message(&["value"]).list("dims"), ["3", "512", "512"]);
        for (key, value) in [
            ("precision_mode", "FP32"),
            ("trt_engine_cache_enable", "true"),
            ("trt_profile_min_shapes", "input:1x3x16x16"),
            ("trt_profile_opt_shapes", "input:1x3x512x512"),
            ("trt_profile_max_shapes", "input:8x3x1024x1024"),
        ] {
            assert_eq!(parameter(&config, key), Some(value), "{key}");
        }
    }

    #[test]
    fn a_fixed_model_is_offered_as_it_is() {
        let input = InputForm { element: Element::U8, batch: Some(2), size: Some([32, 48]) };
        let (config, _) = parsed(&Options { input, output: OutputKind::Mask, ..Options::default() });
        assert_eq!(config.scalar("max_batch_size"), Some("0"));
        assert!(config.all("dynamic_batching").is_empty());
        for (edge, name, dims) in
            [("input", "input", &["2", "32", "48", "3"][..]), ("output", "mask", &["2", "32", "48"])]
        {
            let edge = config.message(&[edge]);
            assert_eq!((edge.scalar("name"), edge.scalar("data_type")), (Some(name), Some("TYPE_UINT8")));
            assert_eq!(edge.list("dims"), dims);
        }
        assert_eq!(config.message(&["model_warmup"]).scalar("batch_size"), Some("0"));
        assert_eq!(config.message(&["model_warmup", "inputs", "value"]).list("dims"), ["2", "32", "48", "3"]);
        assert_eq!(parameter(&config, "trt_profile_min_shapes"), None);
    }
}
