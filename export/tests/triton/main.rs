//! The model repository for a Triton Inference Server.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod text_format;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::LazyLock;

use burn::tensor::Device;
use seg_contract::{Element, InputForm, OutputKind};
use seg_export::contract::GivenFacts;
use seg_export::triton::{Limit, limits, model_name, repository};
use seg_export::{Export, Options, export};
use seg_nets::amsunet::AmsUnetConfig;
use seg_nets::checkpoint::Checkpoint;
use seg_nets::weights::Weights;
use seg_onnx::Model;
use seg_onnx::precision::{Range, Scheme, quantizable, quantize, values_around};
use text_format::{Field, Message};

/// The server's folder of engines.
const ENGINES: &str = "/srv/engines";

/// Random weights, drawn once: all threads share the device's generator, and each export draws from
/// it.
static WEIGHTS: LazyLock<Weights> =
    LazyLock::new(|| Weights::from_network(&AmsUnetConfig::new().with_base_width(4).init(&Device::flex())));

fn exported(options: &Options) -> Export {
    let checkpoint = Checkpoint { path: "net.safetensors".into(), weights: WEIGHTS.clone(), contract: None };
    export(&checkpoint, options).unwrap()
}

fn config(model: &Model) -> Message {
    let [(path, text), _] = repository(model, "polyps", Vec::new(), ENGINES.as_ref()).unwrap();
    assert_eq!(path.to_str(), Some("polyps/config.pbtxt"));
    Message::parse(std::str::from_utf8(&text).unwrap())
}

/// The model with all that can be in 8 bits, as if its values were within -1 and 1.
fn quantized(model: &Model, scheme: Scheme) -> Model {
    let nodes = quantizable(&model.graph, scheme).into_iter().collect();
    let range = Range { min: -1.0, max: 1.0 };
    let ranges =
        values_around(&model.graph, &nodes, scheme).into_iter().map(|value| (value.to_owned(), range)).collect();
    let graph = quantize(&model.graph, &nodes, &ranges, scheme).unwrap().graph;
    Model { graph, ..model.clone() }
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
    let model = exported(&Options::default()).model;
    let config = config(&model);
    assert_eq!(config.scalar("name"), Some("polyps"));
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
    assert_eq!(limits(&model), [Limit::Sides { smallest: 16, largest: 1024 }]);
}

#[test]
fn a_fixed_model_is_offered_as_it_is() {
    let input = InputForm { element: Element::U8, batch: Some(2), size: Some([32, 48]) };
    let model = exported(&Options { input, output: OutputKind::Mask, ..Options::default() }).model;
    let config = config(&model);
    assert_eq!(config.scalar("max_batch_size"), Some("0"));
    assert!(config.all("dynamic_batching").is_empty());
    for (edge, name, dims) in [("input", "input", &["2", "32", "48", "3"][..]), ("output", "mask", &["2", "32", "48"])]
    {
        let edge = config.message(&[edge]);
        assert_eq!((edge.scalar("name"), edge.scalar("data_type")), (Some(name), Some("TYPE_UINT8")));
        assert_eq!(edge.list("dims"), dims);
    }
    assert_eq!(config.message(&["model_warmup"]).scalar("batch_size"), Some("0"));
    assert_eq!(config.message(&["model_warmup", "inputs", "value"]).list("dims"), ["2", "32", "48", "3"]);
    assert_eq!(parameter(&config, "trt_profile_min_shapes"), None);
    assert_eq!(limits(&model), []);
}

#[test]
fn a_repository_holds_the_model_under_its_name() {
    let Export { model, bytes, .. } = exported(&Options::default());
    let [_, (path, content)] = repository(&model, "polyps", bytes.clone(), ENGINES.as_ref()).unwrap();
    assert_eq!((path.to_str(), content), (Some("polyps/1/model.onnx"), bytes));
}

#[test]
fn a_model_is_offered_under_a_name_that_an_address_takes() {
    for (file, name) in [
        ("amsunet.onnx", "amsunet"),
        ("models/polyps-2.1.onnx", "polyps-2.1"),
        ("my polyps/große Darm.onnx", "gro_e_Darm"),
        ("..onnx", "_"),
        ("...onnx", "_."),
        (".onnx", "_onnx"),
        ("", "model"),
    ] {
        assert_eq!(model_name(Path::new(file)), name, "{file}");
    }
}

#[test]
fn an_engine_serves_no_other_model() {
    let folder = |model: &Model| parameter(&config(model), "trt_engine_cache_path").unwrap().to_owned();
    let model = exported(&Options::default()).model;
    let own = folder(&model);
    assert_eq!(own, folder(&exported(&Options::default()).model));
    let mean = GivenFacts { mean: Some(vec![0.25; 3]), ..GivenFacts::default() };
    let size = InputForm { size: Some([64, 48]), ..InputForm::default() };
    let mut others = BTreeSet::from([own.clone()]);
    for (name, other) in [
        ("another mean", exported(&Options { given: mean, ..Options::default() }).model),
        ("one size", exported(&Options { input: size, ..Options::default() }).model),
        ("8 bits", quantized(&model, Scheme::TensorRt)),
    ] {
        assert_eq!(other.contract.provenance.weights_sha256, model.contract.provenance.weights_sha256, "{name}");
        assert!(others.insert(folder(&other)), "{name}");
    }
    let name = own.strip_prefix(ENGINES).and_then(|name| name.strip_prefix('/')).unwrap();
    assert!(name.len() == 16 && name.chars().all(|digit| digit.is_ascii_hexdigit()), "{own}");
}

#[test]
fn tensorrt_is_not_asked_for_unsigned_values() {
    let model = exported(&Options::default()).model;
    let signed = quantized(&model, Scheme::TensorRt);
    assert_eq!(parameter(&config(&signed), "precision_mode"), Some("INT8"));
    let unsigned = quantized(&model, Scheme::Cpu);
    assert!(config(&unsigned).all("optimization").is_empty());
    assert_eq!(limits(&unsigned), [Limit::NoTensorRt]);
    // Bytes that are an image's are cast at once.
    let input = InputForm { element: Element::U8, ..InputForm::default() };
    let bytes = exported(&Options { input, ..Options::default() }).model;
    assert_eq!(parameter(&config(&bytes), "precision_mode"), Some("FP32"));
}
