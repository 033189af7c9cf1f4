//! The exact evaluator agrees with PyTorch in float64, and every exported form passes a proof at
//! every size and batch of its list.

use std::path::Path;

use burn::tensor::Device;
use ndarray::Ix4;
use seg_contract::{Element, InputForm, OutputKind, Sides};
use seg_export::calibration::Calibration;
use seg_export::precision::halve;
use seg_export::{Options, export, lower, verify_inputs};
use seg_nets::checkpoint::Checkpoint;
use seg_nets::network::NetworkName;
use seg_onnx::graph::{Data, Tensor};
use seg_onnx::passes::PASSES;
use seg_onnx::{Model, Opset, Target};
use seg_tests::fixtures::{NARROW, checkpoint, narrow, network, randomised};
use seg_tests::reference::Reference as PyTorch;
use seg_tests::runtime::environment;
use seg_tests::tolerance::YARDSTICK;
use seg_verify::{
    CertifyRequest, ExactEvaluator, ExactValues, FileRecord, Finding, FrameworkOutput, InputReport, Reference, certify,
    check_graph, proof_inputs,
};

#[test]
fn the_exact_evaluator_agrees_with_pytorchs_float64() {
    let pytorch = PyTorch::open();
    let net = pytorch.weights.to_network(&Device::flex()).unwrap();
    let graph = lower::to_graph(&net, "input", "logits").unwrap();
    for case in ["even", "odd"] {
        let input = pytorch.tensor(&format!("{case}.input")).mapv(|value| value as f32);
        let input = input.into_dimensionality::<Ix4>().unwrap();
        let found = &ExactValues::compute(&graph, input.view(), &["logits"]).unwrap().values["logits"];
        let expected = pytorch.tensor(&format!("{case}.logits_f64"));
        assert_eq!(found.shape(), expected.shape());
        let error = (found - expected).iter().fold(0.0, |worst: f64, error| worst.max(error.abs()));
        assert!(error <= YARDSTICK.max, "{case}: {error:e}, allowed {:e}: {}", YARDSTICK.max, YARDSTICK.reason);
        // PyTorch's own 32 bits pass as the trained network's, by the proof's bounds.
        let exact = found.clone().into_dimensionality::<Ix4>().unwrap();
        let float32 = pytorch.tensor(&format!("{case}.logits")).mapv(|value| value as f32);
        let trained =
            FrameworkOutput::compare(input.view(), float32.into_dimensionality::<Ix4>().unwrap().view(), exact.view());
        let (report, findings) = trained.check(&exact, trained.logits.scale);
        assert!(findings.is_empty() && report.relative > 0.0, "{case}: {findings:?}");
    }
}

/// The form that is also converted to half precision.
const HALF: &str = "half precision";

/// Lists the forms of a file, each with a name.
fn forms() -> Vec<(&'static str, Options)> {
    let plain = Options::default;
    let bytes = InputForm { element: Element::U8, ..InputForm::default() };
    let fixed = InputForm { size: Some([71, 93]), batch: Some(2), ..InputForm::default() };
    vec![
        ("portable", plain()),
        ("for the CPU", Options { target: Target::Cpu, ..plain() }),
        ("for CUDA", Options { target: Target::Cuda, ..plain() }),
        ("for TensorRT", Options { target: Target::TensorRt, ..plain() }),
        (HALF, plain()),
        ("opset 17", Options { opset: Opset::V17, ..plain() }),
        ("bytes", Options { input: bytes, ..plain() }),
        ("probabilities", Options { output: OutputKind::Probabilities, ..plain() }),
        ("bytes to mask", Options { input: bytes, output: OutputKind::Mask, ..plain() }),
        ("two images of one size", Options { input: fixed, ..plain() }),
        ("two images of one size for the CPU", Options { input: fixed, target: Target::Cpu, ..plain() }),
    ]
}

#[test]
fn the_passes_make_every_exported_file_again() {
    let checkpoint = checkpoint(&network(NARROW, 2));
    for target in Target::ALL {
        for opset in [Opset::V17, Opset::V20] {
            for (form, options) in forms().into_iter().filter(|(form, _)| *form != HALF) {
                let place = format!("{target}, opset {opset}, {form}");
                let mut export = export(&checkpoint, &Options { target, opset, ..options }).unwrap();
                let bytes = verify_inputs::reference(&export).to_bytes().unwrap();
                let reference = Reference::from_bytes(Path::new("model.reference.onnx"), &bytes).unwrap();
                let model = Model::from_bytes(&export.bytes).unwrap();
                assert_eq!(check_graph(&reference, &model, PASSES).unwrap(), Some(Vec::new()), "{place}");
                // Any one constant that is changed.
                let constant =
                    export.model.graph.initializers.values_mut().find(|constant| constant.as_f32().is_some());
                let constant = constant.unwrap();
                let values =
                    constant.as_f32().unwrap().iter().map(|value| f32::from_bits(value.to_bits() ^ 1)).collect();
                *constant = Tensor::new(constant.shape(), Data::F32(values)).unwrap();
                let findings = check_graph(&reference, &export.model, PASSES).unwrap().unwrap();
                assert!(matches!(findings[..], [Finding::File { .. }]), "{place}: {findings:?}");
            }
        }
    }
}

/// Lists the forms in which each network is proven beside AMSUnet and U-Net, which are in all.
fn forms_of(sides: Sides) -> Vec<(&'static str, Options)> {
    let fixed = InputForm { size: Some(sides.next([33, 47])), batch: Some(2), ..InputForm::default() };
    let names = ["portable", "for CUDA", HALF, "bytes to mask"];
    let mut forms: Vec<_> = forms().into_iter().filter(|(form, _)| names.contains(form)).collect();
    let cpu = Options { input: fixed, target: Target::Cpu, opset: Opset::V17, ..Options::default() };
    forms.push(("two images of one size for the CPU, opset 17", cpu));
    forms
}

#[test]
fn every_network_is_proven() {
    for name in &NetworkName::ALL[2..] {
        let net = narrow(*name, 2);
        let forms = forms_of(net.config().sides());
        prove(name.as_str(), &checkpoint(&net), &forms);
    }
    let supervised =
        narrow(NetworkName::UNetPlusPlus, 2).config().with_settings([("deep_supervision", "true")]).unwrap();
    let net = randomised(supervised.init(&Device::flex()), 2);
    prove("UNet++ with deep supervision", &checkpoint(&net), &forms_of(supervised.sides()));
    for (option, value) in [("residual", "o"), ("norm", "bb"), ("skip", "cbam"), ("skip", "scse")] {
        let config = network(NARROW, 2).config().with_settings([(option, value)]).unwrap();
        let net = randomised(config.init(&Device::flex()), 2);
        prove(&format!("AMSUnet with {option}={value}"), &checkpoint(&net), &forms_of(config.sides())[..1]);
    }
}

#[test]
fn files_for_multiples_are_proven_at_sizes_that_they_take() {
    for (name, number) in super::multiples::NUMBERS {
        let bytes = InputForm { element: Element::U8, ..InputForm::default() };
        let sides = Some(number);
        let forms = [
            ("multiples", Options { sides, ..Options::default() }),
            ("multiples in bytes", Options { sides, input: bytes, output: OutputKind::Mask, ..Options::default() }),
        ];
        prove(name.as_str(), &checkpoint(&narrow(name, 2)), &forms);
    }
}

#[test]
fn every_exported_form_is_proven_at_every_size_and_batch() {
    let pytorch = PyTorch::open();
    let random = checkpoint(&network(NARROW, 2));
    let unet = checkpoint(&narrow(NetworkName::UNet, 2));
    let trained = Checkpoint { path: "net.safetensors".into(), weights: pytorch.weights.clone(), contract: None };
    for (weights, checkpoint, forms) in
        [("random", &random, &forms()[..]), ("U-Net", &unet, &forms()[..]), ("PyTorch's", &trained, &forms()[..1])]
    {
        prove(weights, checkpoint, forms);
    }
}

/// Exports a network in each of the forms and proves the files.
fn prove(weights: &str, checkpoint: &Checkpoint, forms: &[(&str, Options)]) {
    // In every form the network was lowered to the same graph.
    let mut evaluator = None;
    for (form, options) in forms {
        let mut export = export(checkpoint, options).unwrap();
        if *form == HALF {
            let noise = Calibration::from_noise(environment(), &export.model.contract);
            halve(&mut export, &noise).unwrap();
        }
        let net = checkpoint.weights.to_network(&Device::flex()).unwrap();
        let mut reference = verify_inputs::reference(&export);
        let evaluator = evaluator.get_or_insert_with(|| ExactEvaluator::new(&reference.model.graph));
        let cases = proof_inputs(&export.model, false, &[]).unwrap();
        reference.framework_outputs = verify_inputs::trained(&net, &reference, &cases, evaluator).unwrap();
        // A reference that is read back from its file serves as well.
        let path = Path::new("model.reference.onnx");
        let bytes = reference.to_bytes().unwrap();
        let reference = Reference::from_bytes(path, &bytes).unwrap();
        let request = CertifyRequest {
            folder: Path::new("."),
            model: Path::new("model.onnx"),
            bytes: &export.bytes,
            reference: &reference,
            reference_file: &FileRecord::new(path, &bytes, Path::new("."), None),
            certified: None,
            checkpoint: None,
            data: &[],
            thorough: false,
            layers: true,
            bisect: true,
        };
        let run = seg_inference::Options::default();
        let certificate = certify(environment(), request, &run, evaluator, |_| {}).unwrap();
        let failing: Vec<_> = certificate.proof.inputs.iter().filter(|case| !case.findings.is_empty()).collect();
        assert!(certificate.holds, "{weights}, {form}: {:?}, {failing:#?}", certificate.proof.findings);
        let gives_scores = options.output != OutputKind::Mask;
        let is_measured = |case: &InputReport| case.beyond_float32 || case.times_trained.is_some() == gives_scores;
        assert!(certificate.proof.inputs.iter().all(is_measured), "{weights}, {form}");
        assert_eq!(certificate.rebuilt, *form != HALF, "{weights}, {form}");
        assert!(!certificate.layers.is_empty() && certificate.diagnosis.is_none(), "{weights}, {form}");
    }
}
