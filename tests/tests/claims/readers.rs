//! An exported file means to others the same as here: the official `onnx` package accepts it, and
//! another runtime computes the same.

use std::fs;
use std::path::Path;

use ndarray::ArrayD;
use rten_tensor::prelude::*;
use seg_contract::{Element, InputForm, OutputKind};
use seg_export::calibration::{Calibration, View};
use seg_export::precision::{self, Quantization};
use seg_export::{Export, Options, export};
use seg_nets::network::Network;
use seg_onnx::precision::{CalibrationMethod, Scheme};
use seg_onnx::{Opset, Target};
use seg_tests::fixtures::{NARROW, checkpoint, network, noise};
use seg_tests::parity::{check, stages};
use seg_tests::python::Python;
use seg_tests::runtime::environment;
use seg_tests::tolerance::RTEN_CPU;

const OPSETS: [Opset; 2] = [Opset::V20, Opset::V17];

fn model(net: &Network, opset: Opset) -> Vec<u8> {
    export(&checkpoint(net), &Options { opset, ..Options::default() }).unwrap().bytes
}

/// Creates a file of every operator set, one of every form and precision at the oldest, the usual
/// and the newest one, and of every target in two forms. Those in reduced precision have been run
/// by ONNX Runtime.
fn variants(net: &Network) -> Vec<(String, Vec<u8>)> {
    let mut variants: Vec<_> = Opset::all().map(|opset| (format!("opset {opset}"), model(net, opset))).collect();
    let fixed = InputForm { element: Element::U8, batch: Some(2), size: Some([48, 33]) };
    let bytes = InputForm { element: Element::U8, ..InputForm::default() };
    let mut add = |input, output, opset, target| {
        let options = Options { opset, target, input, output, ..Options::default() };
        let single = export(&checkpoint(net), &options).unwrap();
        let name = format!("{input:?} to {output}, opset {opset}, {target}");
        // Reduced precision changes nothing at the edges, so two forms stand for all.
        if input == fixed || output == OutputKind::Probabilities || target != Target::Portable {
            let lessened = in_fewer_bits(&single);
            variants.extend(lessened.map(|(precision, export)| (format!("{name}, {precision}"), export.bytes)));
        }
        variants.push((name, single.bytes));
    };
    for opset in [Opset::OLDEST, Opset::V20, Opset::NEWEST] {
        for (input, output) in [
            (bytes, OutputKind::Logits),
            (InputForm::default(), OutputKind::Probabilities),
            (bytes, OutputKind::Mask),
            (fixed, OutputKind::Mask),
            (InputForm { batch: Some(3), ..InputForm::default() }, OutputKind::Logits),
        ] {
            add(input, output, opset, Target::Portable);
        }
    }
    for target in [Target::Cpu, Target::Cuda, Target::TensorRt] {
        add(InputForm::default(), OutputKind::Logits, Opset::OLDEST, target);
        add(fixed, OutputKind::Mask, Opset::V20, target);
    }
    variants
}

/// Exports in half precision, and in both kinds of 8 bits.
fn in_fewer_bits(single: &Export) -> [(&'static str, Export); 3] {
    let calibration = Calibration::from_noise(environment(), &single.model.contract);
    let [mut half, mut unsigned, mut signed] = [(); 3].map(|()| single.clone());
    precision::halve(&mut half, &calibration).unwrap();
    for (scheme, export) in [(Scheme::Cpu, &mut unsigned), (Scheme::TensorRt, &mut signed)] {
        let method = CalibrationMethod::MinMax;
        let quantization = Quantization { method, scheme, dice_loss_max: 1.0, flipped_max: 1.0, class_dice_min: 0.0 };
        let report = precision::quantize(export, &calibration, &quantization, |_, _| {});
        assert!(!report.unwrap().quantized.is_empty(), "nothing is quantised");
    }
    for export in [&half, &unsigned, &signed] {
        calibration.masks(&export.model, View::Whole).unwrap();
    }
    [("half", half), ("u8", unsigned), ("i8", signed)]
}

#[test]
fn the_official_package_accepts_every_variant() {
    let python = Python::install(Path::new(env!("CARGO_TARGET_TMPDIR")));
    let folder = tempfile::tempdir().unwrap();
    let variants = variants(&network(NARROW, 1));
    let write = |(number, (_, bytes)): (usize, &(String, Vec<u8>))| {
        let path = folder.path().join(format!("{number}.onnx"));
        fs::write(&path, bytes).unwrap();
        path
    };
    let paths: Vec<_> = variants.iter().enumerate().map(write).collect();
    let output = python.run("check_models.py", &paths);
    let accepted = String::from_utf8_lossy(&output.stdout).lines().count();
    let refused = variants.get(accepted).map(|(name, _)| name);
    assert_eq!(refused, None, "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_official_package_sees_what_is_wrong_with_a_file() {
    let python = Python::install(Path::new(env!("CARGO_TARGET_TMPDIR")));
    let folder = tempfile::tempdir().unwrap();
    let whole = model(&network(NARROW, 1), Opset::V20);
    // The operator set of the file, and a version without `Gelu`.
    let [stated, older] = [20, 17].map(|version| [0x42, 4, 0x0a, 0, 0x10, version]);
    let mut misstated = whole.clone();
    let position = misstated.windows(stated.len()).position(|bytes| bytes == stated).unwrap();
    misstated[position..][..older.len()].copy_from_slice(&older);
    for (name, bytes, refusal) in [
        ("an operator that its opset lacks", &misstated[..], "No Op registered for Gelu"),
        ("half of a file", &whole[..whole.len() / 2], "DecodeError"),
    ] {
        let path = folder.path().join("model.onnx");
        fs::write(&path, bytes).unwrap();
        let output = python.run("check_models.py", &[path]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && stderr.contains(refusal), "{name}: {stderr}");
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
