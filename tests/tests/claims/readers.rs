//! An exported file means to others what it means here: the official `onnx` package accepts it, and another runtime
//! computes the same.

use std::fs;
use std::path::Path;

use ndarray::ArrayD;
use rten_tensor::prelude::*;
use seg_export::{Options, export};
use seg_onnx::Opset;
use seg_tests::fixtures::{NARROW, checkpoint, network, noise};
use seg_tests::parity::{check, stages};
use seg_tests::python::Python;
use seg_tests::tolerance::RTEN_CPU;
use seg_train::model::AmsUnet;

const OPSETS: [Opset; 2] = [Opset::V20, Opset::V17];

fn model(net: &AmsUnet, opset: Opset) -> Vec<u8> {
    export(&checkpoint(net), &Options { opset, ..Options::default() }).unwrap().bytes
}

#[test]
fn the_official_package_accepts_the_file() {
    let python = Python::install(Path::new(env!("CARGO_TARGET_TMPDIR")));
    let folder = tempfile::tempdir().unwrap();
    let model = |opset| model(&network(NARROW, 1), opset);
    // The operator set of the file, and a version in which `Gelu` was not there yet.
    let [stated, older] = [20, 17].map(|version| [0x42, 4, 0x0a, 0, 0x10, version]);
    let mut misstated = model(Opset::V20);
    let position = misstated.windows(stated.len()).position(|bytes| bytes == stated).unwrap();
    misstated[position..][..older.len()].copy_from_slice(&older);
    let whole = model(Opset::V20);
    for (name, bytes, refusal) in [
        ("opset 20", model(Opset::V20), None),
        ("opset 17", model(Opset::V17), None),
        ("an operator that its opset lacks", misstated, Some("No Op registered for Gelu")),
        ("half of a file", whole[..whole.len() / 2].to_vec(), Some("DecodeError")),
    ] {
        let path = folder.path().join("model.onnx");
        fs::write(&path, bytes).unwrap();
        let output = python.run("check_models.py", &[path]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), refusal.is_none(), "{name}: {stderr}");
        assert!(refusal.is_none_or(|refusal| stderr.contains(refusal)), "{name}: {stderr}");
    }
}

#[test]
fn another_runtime_computes_the_same() {
    let net = network(NARROW, 1);
    for opset in OPSETS {
        let rten = rten::Model::load(model(&net, opset)).unwrap();
        for (seed, shape) in (0..).zip([[1, 3, 16, 16], [2, 3, 64, 96], [1, 3, 71, 93], [2, 3, 33, 50]]) {
            let input = noise(&shape, seed);
            let values = rten_tensor::NdTensor::from_data(shape, input.iter().copied().collect::<Vec<_>>());
            let output = rten.run_one(values.view().into(), None).unwrap();
            let output: rten_tensor::NdTensor<f32, 4> = output.try_into().unwrap();
            let found = ArrayD::from_shape_vec(output.shape().to_vec(), output.to_vec()).unwrap();
            let (_, expected) = stages(&net, &input).pop().unwrap();
            check(&format!("rten, opset {opset}, {shape:?}"), &found, &expected.mapv(f64::from), &RTEN_CPU).unwrap();
        }
    }
}
