//! OpenVINO on the processor, from end to end: what it computes, where, and how fast it is said to
//! be.

#![allow(clippy::unwrap_used)]

#[path = "../../crates/inference/tests/threshold/mod.rs"]
mod threshold;

use std::process::{Command, Output};

use image::{Rgb, RgbImage};
use seg_contract::SizePolicy;
use seg_inference::library::{Build, Search};
use seg_inference::{Options, Provider, Session, openvino_devices, probe};
use seg_runtime::bench::example_input;
use serde_json::Value;

#[test]
fn openvino_computes_all_of_a_model_and_what_the_definition_says() {
    let environment = Search::from_env(None, Build::OpenVino).locate().unwrap().load().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = threshold::write(folder.path(), SizePolicy::Native);
    let options = Options { provider: Provider::OpenVino, ..Options::default() };

    // `probe` compares with the evaluator and refuses nodes on another provider.
    let runs_on = probe(&environment, &options).unwrap();
    assert_eq!(runs_on.provider, Provider::OpenVino);
    assert_eq!(runs_on.nodes.keys().collect::<Vec<_>>(), ["OpenVINOExecutionProvider"]);

    let mut session = Session::open(&environment, &path, &options).unwrap();
    assert!(session.runs_on().elsewhere.is_empty());
    for shape in [[1, 3, 8, 8], [3, 3, 33, 20], [1, 3, 64, 100]] {
        let input = example_input(shape);
        let output = session.run(input.view()).unwrap();
        for ((n, y, x), red) in input.index_axis(ndarray::Axis(1), 0).indexed_iter() {
            assert_eq!([output[[n, 0, y, x]], output[[n, 1, y, x]]], [-red, *red], "{shape:?}");
        }
    }

    let library = Search::from_env(None, Build::OpenVino).locate().unwrap();
    assert!(openvino_devices(&library.path).unwrap().contains(&"CPU".into()));
    let error = openvino_devices(std::path::Path::new("/absent/libonnxruntime.so")).unwrap_err();
    assert!(error.starts_with("libopenvino_c.so: "), "{error}");

    let absent = Options { openvino_device: Some("GPU.7".into()), ..options };
    let error = Session::open(&environment, &path, &absent).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("choose `--openvino-device CPU`"), "{error}: {source}");
}

#[test]
fn bench_measures_each_case_and_names_what_cannot_be_measured() {
    let folder = tempfile::tempdir().unwrap();
    threshold::write(folder.path(), SizePolicy::Native);
    RgbImage::from_pixel(40, 30, Rgb([200, 90, 90])).save(folder.path().join("a.png")).unwrap();
    let run = |args: &str| -> (Output, Vec<Value>) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_seg-runtime"));
        let output = command.args(args.split_whitespace()).current_dir(folder.path()).output().unwrap();
        let rows = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (output, rows)
    };
    let (output, rows) = run(
        "bench threshold.onnx --json --warm-up 1 --runs 4 --ep cpu,openvino --batch 1,2 --size 16x16,8x24 --images a.png",
    );
    assert_eq!((output.status.code(), rows.len()), (Some(0), 8), "{output:?}");
    for row in &rows {
        let latency = &row["latency_ms"];
        let [p50, p99] = ["p50", "p99"].map(|key| latency[key].as_f64().unwrap());
        assert!(0.0 < p50 && p50 <= p99, "{row}");
        assert_eq!(row["runs_on"]["provider"], row["ep"], "{row}");
        let images = row["batch"].as_f64().unwrap() * 1e3 / p50;
        assert!((row["images_per_second"].as_f64().unwrap() / images - 1.0).abs() < 1e-9, "{row}");
        assert!(row["peak_memory_bytes"].as_u64().unwrap() > 1 << 20, "{row}");
        assert_eq!(row["stages"].is_object(), row["batch"] == 1, "{row}");
    }

    let (output, rows) = run("bench threshold.onnx --against threshold.onnx --json --warm-up 1 --runs 4");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let quartiles: Vec<_> =
        rows[0]["against"]["ratio_quartiles"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
    assert!(quartiles.is_sorted() && quartiles[0] > 0.0, "{quartiles:?}");

    let (output, rows) = run("bench threshold.onnx --json --warm-up 1 --runs 1 --precision fp32,tf32");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(rows[0]["error"].is_null(), "{}", rows[0]);
    assert_eq!(rows[1]["error"], "the CPU has no `--precision tf32`");
    assert!(String::from_utf8_lossy(&output.stderr).ends_with("error: 1 of 2 cases could not be measured\n"));
}
