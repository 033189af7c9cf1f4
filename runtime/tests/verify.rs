//! `seg-runtime verify` and what hangs on it: certificates, signatures, and `infer
//! --require-certificate`.

#![allow(clippy::unwrap_used)]

#[path = "../../crates/inference/tests/threshold/mod.rs"]
mod threshold;

#[path = "../../crates/verify/tests/framework/mod.rs"]
mod framework;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use image::{ImageBuffer, Rgb};
use ndarray::{Array4, ArrayView4, Axis};
use safetensors::tensor::TensorView;
use seg_contract::{ColorOrder, Element, InputForm, OutputKind, SizePolicy};
use seg_inference::library::{Build, Search};
use seg_inference::{ComputePrecision, ModelOutput, Options, Provider, RunError};
use seg_onnx::graph::{Conv, Dim, GraphBuilder, Tensor};
use seg_onnx::precision::{Range, Scheme, quantize};
use seg_onnx::{Model, forms};
use seg_verify::bounds::{CPU_FLOAT32, ModelPrecision};
use seg_verify::{
    CertifyRequest, ExactEvaluator, FileRecord, Finding, FrameworkOutput, ModelUnderTest, Reference, Runner,
    amplification, certify, proof_inputs, prove,
};

/// A folder with the model `threshold.onnx`, its reference and an image.
struct Workplace(tempfile::TempDir);

impl Workplace {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let model =
            Model::from_bytes(&fs::read(threshold::write(place.0.path(), SizePolicy::Native)).unwrap()).unwrap();
        let reference = reference(model);
        fs::write(place.path("threshold.reference.onnx"), reference.to_bytes().unwrap()).unwrap();
        picture(&place.path("a.png"), 7);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, model: &Model) {
        fs::write(self.path("threshold.onnx"), model.to_bytes().unwrap()).unwrap();
    }

    /// Lists the criteria that fail by the certificate's page.
    fn failing_criteria(&self) -> Vec<String> {
        let page = fs::read_to_string(self.path("threshold.cpu.certificate.html")).unwrap();
        let rows = page.split("<tr>").skip(1).filter(|row| row.contains("<strong>fails</strong>"));
        rows.map(|row| row.split(['<', '>']).nth(2).unwrap().to_owned()).collect()
    }

    /// Returns the exit code and all output.
    fn run(&self, args: &str) -> (Option<i32>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_seg-runtime"));
        let output = command.args(args.split_whitespace()).current_dir(self.0.path()).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    }

    #[track_caller]
    fn expect(&self, args: &str, code: i32, part: &str) {
        let (found, text) = self.run(args);
        assert_eq!(found, Some(code), "{args}: {text}");
        assert!(text.contains(part), "{args}: {text}");
    }
}

/// Writes an image whose red grows by `step` from column to column.
fn picture(path: &Path, step: u32) {
    image::RgbImage::from_fn(20, 20, |x, y| Rgb([(step * x + y) as u8, 90, 90])).save(path).unwrap();
}

/// Returns the model as a reference.
fn reference(model: Model) -> Reference {
    let (parameters, framework_outputs) = (BTreeMap::new(), BTreeMap::new());
    let tool = "a test".into();
    let mut reference = Reference { model: model.clone(), parameters, passes: Vec::new(), tool, framework_outputs };
    framework::record(&mut reference, &model);
    reference
}

fn model() -> Model {
    threshold::model(SizePolicy::Native)
}

const INFER: &str = "infer --model threshold.onnx --out out --require-certificate a.png";

#[test]
fn a_model_that_is_its_reference_is_certified_and_only_then_required_ones_run() {
    let place = Workplace::new();
    place.expect(INFER, 1, "`threshold.onnx` has no certificate for `--ep cpu`");
    place.expect("verify threshold.onnx --layers --data .", 0, "`threshold.onnx` is the trained network on the CPU");
    let json = fs::read_to_string(place.path("threshold.cpu.certificate.json")).unwrap();
    let page = fs::read_to_string(place.path("threshold.cpu.certificate.html")).unwrap();
    for part in ["is the trained network", "noise 8x32x32", "image a.png", "CPUExecutionProvider"] {
        assert!(page.contains(part), "{part}");
    }
    place.expect(INFER, 0, "");
    place.expect("verify --certificate threshold.cpu.certificate.json", 0, "holds on this machine, to the last figure");
    place.expect("verify threshold.onnx --layers --data .", 0, "is the trained network");
    assert_eq!(fs::read_to_string(place.path("threshold.cpu.certificate.json")).unwrap(), json, "the same each time");

    // A certificate is for one file, one provider and one build of ONNX Runtime.
    for (name, from, to, part) in [
        ("against", "\"holds\": true", "\"holds\": false", "says that the model failed"),
        (
            "another provider",
            "\"provider\": \"cpu\"",
            "\"provider\": \"cuda\"",
            "the provider is cpu, certified was cuda",
        ),
        ("another device", "\"device\": null", "\"device\": \"GPU\"", "the device is default, certified was GPU"),
        ("another runtime", "\"onnx_runtime\": \"", "\"onnx_runtime\": \"an older ", "ONNX Runtime is"),
        (
            "what speaks against it",
            "\"findings\": []",
            "\"findings\": [{ \"finding\": \"nothing\" }]",
            "says that the model failed",
        ),
        ("another layout", "\"format\": 2", "\"format\": 1", "has format 1"),
        ("no certificate", "{", "", "is not a certificate"),
    ] {
        fs::write(place.path("threshold.cpu.certificate.json"), json.replacen(from, to, 1)).unwrap();
        place.expect(INFER, 1, part);
        assert!(json.contains(from), "{name}");
    }
    fs::write(place.path("threshold.cpu.certificate.json"), &json).unwrap();
    let mut other = model();
    other.contract.classes[1].name = "cell".into();
    place.write(&other);
    place.expect(INFER, 1, "is stale: the model's file is");
}

#[test]
fn what_is_not_the_reference_is_refused_with_its_place() {
    type Fault = fn(&mut Model);
    let rows: [(Fault, &str, &[&str]); 3] = [
        (
            exchange_classes,
            "to blame     the file: node `logits`",
            &["Error of the output", "Root mean square error", "Flipped pixels", "Intermediate values"],
        ),
        (|m| m.contract.classes.reverse(), "to blame     the contract: `classes`", &["Contract"]),
        // The same pixels become other numbers.
        (
            |m| m.contract.input.mean[0] = 0.25,
            "to blame     the contract: `input.mean`",
            &["Contract", "Error of the output", "Root mean square error", "Flipped pixels"],
        ),
    ];
    for (fault, part, criteria) in rows {
        let place = Workplace::new();
        let mut faulty = model();
        fault(&mut faulty);
        place.write(&faulty);
        place.expect("verify threshold.onnx --bisect", 1, part);
        assert_eq!(place.failing_criteria(), criteria, "{part}");
        place.expect(INFER, 1, "says that the model failed");
    }
}

#[test]
fn a_certificate_holds_only_where_the_same_was_proven_again() {
    const AGAIN: &str = "verify --certificate threshold.cpu.certificate.json";
    let place = Workplace::new();
    for (folder, images) in [("one", &["a"][..]), ("two", &["a", "b"]), ("other", &["b"]), ("changed", &["a"])] {
        fs::create_dir(place.path(folder)).unwrap();
        for image in images {
            let step = if folder == "changed" { 9 } else { 7 };
            picture(&place.path(&format!("{folder}/{image}.png")), step);
        }
    }
    place.expect("verify threshold.onnx --data one", 0, "is the trained network");
    for (folder, code, parts) in [
        ("one", 0, &["holds on this machine, to the last figure"][..]),
        ("two", 0, &["the input image b.png: asked, but not certified", "holds on this machine, with the differences"]),
        (
            "other",
            1,
            &["the input image a.png: not asked, but certified", "is for other inputs, image a.png; name the"],
        ),
        (
            "changed",
            1,
            &["the input image a.png: other numbers than were", "is for other inputs, image a.png; name the"],
        ),
    ] {
        for part in parts {
            place.expect(&format!("{AGAIN} --data {folder}"), code, part);
        }
    }

    let json = fs::read_to_string(place.path("threshold.cpu.certificate.json")).unwrap();
    // As older versions did, it asks for more than the bounds in force.
    let mut stricter: serde_json::Value = serde_json::from_str(&json).unwrap();
    let inputs = stricter["proof"]["cases"].as_array_mut().unwrap();
    let subnormal = inputs.iter_mut().find(|input| input["name"].as_str().unwrap().starts_with("denormal")).unwrap();
    assert!(subnormal["times_allowed"].is_null());
    subnormal["times_allowed"] = 2.0.into();
    fs::write(place.path("threshold.cpu.certificate.json"), stricter.to_string()).unwrap();
    place.expect(AGAIN, 0, "of the scale, any number times training's, certified was");

    for (from, to, code, part) in [
        ("\"CPUExecutionProvider\": ", "\"CPUExecutionProvider\": 1", 0, "another      the nodes: "),
        ("\"per_pixel\": ", "\"per_pixel\": 1", 1, "contradicts itself or its model"),
        ("\"holds\": true", "\"holds\": false", 1, "says that the model failed; verify the model itself"),
    ] {
        assert!(json.contains(from), "{from}");
        fs::write(place.path("threshold.cpu.certificate.json"), json.replacen(from, to, 1)).unwrap();
        place.expect(AGAIN, code, part);
    }
    // A proof that would be another one does not begin.
    for (from, to, part) in [
        (
            "\"provider\": \"cpu\"",
            "\"provider\": \"cuda\"",
            "the certificate is for CUDA, but the CPU would run the model; choose",
        ),
        (
            "\"device\": null",
            "\"device\": \"GPU.1\"",
            "the certificate is for the device `GPU.1`, but the device `default` would run the model; choose",
        ),
        (
            "\"precision\": \"float32\"",
            "\"precision\": \"float16\"",
            "the certificate is for float16, but the model would be comp",
        ),
    ] {
        assert!(json.contains(from), "{from}");
        fs::write(place.path("threshold.cpu.certificate.json"), json.replacen(from, to, 1)).unwrap();
        for flags in ["--ep cpu", "--ep cpu --allow-fallback"] {
            let (code, text) = place.run(&format!("{AGAIN} {flags}"));
            // With a fallback, the provider is not known yet when the certificate is read.
            let is_refused = text.contains(part) || flags.contains("fallback") && text.contains("contradicts itself");
            assert!(code == Some(1) && is_refused && !text.contains("noise "), "{flags}: {text}");
        }
    }
}

#[test]
fn a_certificate_is_proven_again_from_any_folder() {
    let place = Workplace::new();
    for folder in ["proofs", "photos"] {
        fs::create_dir(place.path(folder)).unwrap();
    }
    picture(&place.path("photos/a.png"), 7);
    place.expect(
        "verify threshold.onnx --data photos --out proofs/c.json",
        0,
        "`threshold.onnx` is the trained network",
    );
    let from = |folder: &str, args: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_seg-runtime"));
        let output = command.args(args.split_whitespace()).current_dir(place.path(folder)).output().unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(text.contains("holds on this machine, to the last figure"), "{folder}, {args}: {text}");
    };
    from(".", "verify --certificate proofs/c.json");
    from("proofs", "verify --certificate c.json");
    from("photos", "verify --certificate ../proofs/c.json");
    fs::rename(place.path("photos"), place.path("moved")).unwrap();
    place.expect(
        "verify --certificate proofs/c.json",
        1,
        "which is not there; name the folder of its images with `--data",
    );
    from("moved", "verify --certificate ../proofs/c.json --data .");
    // One certificate replaces another, with its page.
    place.expect("verify threshold.onnx --out proofs/c.json", 0, "certificate  proofs/c.json");
}

/// Builds the sixteenth power of a convolution's output, which amplifies its rounding as many
/// times.
fn power() -> Model {
    let mut builder = GraphBuilder::new("power");
    let image = builder.input("input", [Dim::batch(), Dim::from(3), Dim::height(), Dim::width()]).unwrap();
    let mut root = builder.root();
    let weight = Tensor::new([2, 3, 1, 1], vec![0.7, 0.3, 1.1, -0.9, 1.3, 0.1]).unwrap();
    let mut x = root.conv("conv", image, weight, None, Conv::default()).unwrap();
    for name in ["second", "fourth", "eighth", "logits"] {
        x = root.mul(name, x, x).unwrap();
    }
    Model { graph: builder.finish(&[("logits", x)]).unwrap(), ..model() }
}

/// A runner that gives the exact output, with one value off by a given error.
struct Off(Array4<f64>, f64);

impl Runner for Off {
    fn run_batch(&mut self, _: ArrayView4<'_, f32>) -> Result<ModelOutput, RunError> {
        let mut answer = self.0.clone();
        answer[[0, 0, 0, 0]] += self.1;
        Ok(ModelOutput::Scores(answer.mapv(|value| value as f32)))
    }
}

#[test]
fn a_network_that_amplifies_rounding_may_be_off_by_as_many_times_as_much() {
    for (model, amplifies) in [(power(), true), (model(), false)] {
        let mut reference = reference(model);
        // Only the error itself is judged.
        reference.framework_outputs.clear();
        let one = &proof_inputs(&reference.model, false, &[]).unwrap()[1..2];
        let input = one[0].load(&reference.model.contract).unwrap().tensor;
        let mut evaluator = ExactEvaluator::new(&reference.model.graph);
        let exact = evaluator.output(&one[0], input.view()).unwrap().output.clone();
        let scale =
            exact.fold(0.0_f64, |high, &value| high.max(value)) - exact.fold(0.0_f64, |low, &value| low.min(value));
        let rounding = evaluator.rounding_error(input.view(), exact.view()).unwrap();
        let amplified = amplification(rounding, scale);
        assert_eq!(amplified.is_some(), amplifies, "{amplified:?}");
        let allowed = CPU_FLOAT32.at(16) * scale;
        let most = allowed * amplified.unwrap_or(1.0);
        for (off, holds, is_looked_at) in
            [(0.9 * allowed, true, false), (0.9 * most, true, amplifies), (1.1 * most, false, amplifies)]
        {
            let tested = ModelUnderTest { reference: &reference, model: &reference.model, bound: &CPU_FLOAT32 };
            let proof = prove(tested, &mut evaluator, &mut Off(exact.clone(), off), one, |_| {}).unwrap();
            let case = &proof.inputs[0];
            assert_eq!(case.findings.is_empty(), holds, "{off:e} of {most:e}: {:?}", case.findings);
            assert_eq!(case.amplification.is_some(), is_looked_at, "{off:e} of {most:e}");
        }
    }
}

/// These answers, whatever is asked.
struct Given(Array4<f32>);

impl Runner for Given {
    fn run_batch(&mut self, _: ArrayView4<'_, f32>) -> Result<ModelOutput, RunError> {
        Ok(ModelOutput::Scores(self.0.clone()))
    }
}

/// Returns the model with weights whose background logit no 32-bit float holds.
fn beyond_float32() -> Model {
    let mut model = model();
    for (name, weights) in [("red.weight", vec![1e30_f32, 0.0, 0.0]), ("scores.weight", vec![-1e30, 1e-30])] {
        let weight = model.graph.initializers.get_mut(name).unwrap();
        *weight = Tensor::new(weight.shape(), weights).unwrap();
    }
    model
}

#[test]
fn what_no_float_holds_is_neither_hidden_nor_proven() {
    let place = Workplace::new();
    let reference = reference(beyond_float32());
    let all = proof_inputs(&reference.model, false, &[place.path("a.png")]).unwrap();
    let image = &all[all.len() - 1..];
    let input = image[0].load(&reference.model.contract).unwrap().tensor;
    let mut evaluator = ExactEvaluator::new(&reference.model.graph);
    let logits = evaluator.output(&image[0], input.view()).unwrap().output.mapv(|logit| logit as f32);
    assert!(
        logits.iter().any(|logit| *logit == f32::INFINITY) && logits.iter().any(|logit| *logit == f32::NEG_INFINITY)
    );
    // As 32-bit floats have it: not a number where the largest logit is infinite, and else right.
    let mut softmax = logits.clone();
    for mut pixel in softmax.lanes_mut(Axis(1)) {
        let largest = pixel.fold(f32::NEG_INFINITY, |most, logit| most.max(*logit));
        pixel.mapv_inplace(|logit| (logit - largest).exp());
        let sum = pixel.sum();
        pixel.mapv_inplace(|share| share / sum);
    }
    for (name, kind, answer, is_hidden) in [
        ("logits", OutputKind::Logits, logits.clone(), false),
        ("logits that are cut off", OutputKind::Logits, logits.mapv(|logit| logit.clamp(f32::MIN, f32::MAX)), true),
        ("probabilities", OutputKind::Probabilities, softmax, false),
        ("probabilities of something else", OutputKind::Probabilities, logits.mapv(|_| 0.5), true),
    ] {
        let mut model = reference.model.clone();
        model.contract.output.kind = kind;
        let tested = ModelUnderTest { reference: &reference, model: &model, bound: &CPU_FLOAT32 };
        let proof = prove(tested, &mut evaluator, &mut Given(answer), image, |_| {}).unwrap();
        let found = &proof.inputs[0].findings;
        let hidden = found.iter().filter(|finding| matches!(finding, Finding::Hidden { .. })).count();
        assert_eq!(hidden, usize::from(is_hidden), "{name}: {found:?}");
        assert_eq!(found.last(), Some(&Finding::NothingOfImage), "{name}: {found:?}");
        assert_eq!(proof.is_undecided(), !is_hidden, "{name}: {found:?}");
    }
}

#[test]
fn what_was_seen_at_export_counts_for_the_same_image_only() {
    let place = Workplace::new();
    fs::create_dir(place.path("seen")).unwrap();
    picture(&place.path("seen/a.png"), 7);
    let mut reference = reference(model());
    let mut evaluator = ExactEvaluator::new(&reference.model.graph);
    for case in proof_inputs(&model(), false, &[place.path("seen")]).unwrap() {
        let input = case.load(&model().contract).unwrap().tensor;
        let exact = &evaluator.output(&case, input.view()).unwrap().output;
        let found = exact.mapv(|value| value as f32);
        reference
            .framework_outputs
            .insert(case.name, FrameworkOutput::compare(input.view(), found.view(), exact.view()));
    }
    let write = |reference: &Reference| {
        fs::write(place.path("threshold.reference.onnx"), reference.to_bytes().unwrap()).unwrap();
    };
    write(&reference);
    // Another image of the same name, and the same image.
    picture(&place.path("a.png"), 9);
    for (data, is_known) in [(".", false), ("seen", true)] {
        place.expect(&format!("verify threshold.onnx --data {data}"), 0, "is the trained network");
        let json = fs::read(place.path("threshold.cpu.certificate.json")).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        let cases = json["proof"]["cases"].as_array().unwrap();
        let image = cases.iter().find(|case| case["name"] == "image a.png").unwrap();
        assert_eq!(image["trained"].is_object(), is_known, "{data}: {image}");
    }
    // A fixed input is the same wherever it is made.
    reference.framework_outputs.get_mut("noise 1x16x16").unwrap().input_sha256 = "ab".into();
    write(&reference);
    place.expect("verify threshold.onnx", 1, "the training framework saw another input");
}

#[test]
fn after_a_fallback_the_certificate_names_what_computed() {
    let environment = Search::from_env(None, Build::Cpu).locate().unwrap().load().unwrap();
    let (reference, bytes) = (reference(model()), model().to_bytes().unwrap());
    let request = CertifyRequest {
        folder: Path::new("."),
        model: Path::new("threshold.onnx"),
        bytes: &bytes,
        reference: &reference,
        reference_file: &FileRecord::new(Path::new("threshold.reference.onnx"), &[], Path::new("."), None),
        certified: None,
        checkpoint: None,
        data: &[],
        thorough: false,
        layers: false,
        bisect: false,
    };
    let options = Options {
        provider: Provider::TensorRt,
        precision: ComputePrecision::Fp16,
        allow_fallback: true,
        ..Options::default()
    };
    let mut evaluator = ExactEvaluator::new(&reference.model.graph);
    // Nothing of NVIDIA's is in the library for the CPU.
    let certificate = certify(&environment, request, &options, &mut evaluator, |_| {}).unwrap();
    assert_eq!((certificate.provider, certificate.precision), (Provider::Cpu, ModelPrecision::Float32));
    assert!(certificate.holds);
}

#[test]
fn a_file_that_only_looks_like_the_network_is_refused_where_this_version_made_it() {
    let place = Workplace::new();
    // One rounding of a weight, which no bound on the output sees.
    let mut nearly = model();
    scores(&mut nearly, [-1.0, 1.0 + f32::EPSILON]);
    place.write(&nearly);
    let this = concat!("a test ", env!("CARGO_PKG_VERSION"));
    for (tool, code, part) in [
        ("a test 0.0.0", 0, "is the trained network"),
        (this, 1, "the file's node `logits` (Conv) is not what the passes make of the reference: its constant"),
        (this, 1, "to blame     the file: node `logits`"),
    ] {
        let reference = Reference { tool: tool.into(), ..reference(model()) };
        fs::write(place.path("threshold.reference.onnx"), reference.to_bytes().unwrap()).unwrap();
        place.expect("verify threshold.onnx --bisect", code, part);
        let json = fs::read_to_string(place.path("threshold.cpu.certificate.json")).unwrap();
        assert!(json.contains(&format!("\"rebuilt\": {}", tool == this)), "{tool}: {json}");
    }
    place.write(&model());
    place.expect("verify threshold.onnx", 0, "is the trained network");
}

/// Returns the model with a convolution in 8-bit integers and its scores of these weights.
fn int8(weights: [f32; 2]) -> Model {
    let mut model = model();
    scores(&mut model, weights);
    let range = Range { min: -1.0, max: 1.0 };
    let ranges = ["input", "red"].map(|name| (name.to_owned(), range)).into();
    model.graph = quantize(&model.graph, &["red"].into(), &ranges, Scheme::Cpu).unwrap().graph;
    model
}

#[test]
fn a_model_of_8_bit_integers_is_proven_on_images_only() {
    const WITH_IMAGES: &str = "verify threshold.onnx --bisect --data .";
    let place = Workplace::new();
    place.write(&int8([-1.0, 1.0]));
    place.expect("verify threshold.onnx --bisect", 1, "is not proven on the CPU in int8: too little was asked");
    let json = fs::read_to_string(place.path("threshold.cpu.certificate.json")).unwrap();
    assert!(json.contains("\"finding\": \"no_image\"") && json.contains("\"diagnosis\": null"), "{json}");
    place.expect("verify threshold.onnx --bisect", 1, "int8 is proven on images only, and there was none: name some");
    place.expect(INFER, 1, "says that the model failed");
    // Each class has more than a hundred pixels.
    picture(&place.path("a.png"), 12);
    place.expect(WITH_IMAGES, 0, "is the trained network on the CPU in int8");

    let certificate = fs::read(place.path("threshold.cpu.certificate.json")).unwrap();
    place.expect("verify threshold.onnx", 1, "kept         threshold.cpu.certificate.json, as too little was asked");
    assert_eq!(fs::read(place.path("threshold.cpu.certificate.json")).unwrap(), certificate);
    place.expect(INFER, 0, "");

    // All answers are zero.
    place.write(&int8([0.0; 2]));
    place.expect("verify threshold.onnx", 1, "is not proven on the CPU in int8");
    place.expect(WITH_IMAGES, 1, "of the pixels have another class, allowed 0.500 %");
    place.expect(WITH_IMAGES, 1, "is not the trained network on the CPU in int8");
}

#[test]
fn on_nearly_empty_images_8_bit_integers_are_judged_by_what_little_they_show() {
    let place = Workplace::new();
    for (folder, side) in [("rare", 11), ("few", 9), ("empty", 0)] {
        fs::create_dir(place.path(folder)).unwrap();
        let red = |x, y| if x < side && y < side { 255 } else { 0 };
        let picture = image::RgbImage::from_fn(200, 200, |x, y| Rgb([red(x, y), 90, 90]));
        picture.save(place.path(folder).join("square.png")).unwrap();
    }
    // All answers of the second are zero: of 40,000 pixels fewer are wrong than half a percent.
    let [right, zero] = [int8([-1.0, 1.0]), int8([0.0; 2])];
    let (lost, none) = ("the exact masks have 121 pixels of it, the model's 0", "only one class has 100 pixels");
    for (model, folder, parts, failing) in [
        (&right, "rare", ["is the trained network on the CPU in int8", ""], &[][..]),
        (&zero, "rare", ["class `nucleus` is lost", lost], &["Class nucleus"]),
        (&right, "few", ["class `nucleus` has 81 pixels only in the exact masks", none], &["Inputs"]),
        (&zero, "empty", ["class `nucleus` does not occur in the exact masks", none], &["Inputs"]),
    ] {
        place.write(model);
        // One that is undecided would not replace one that is not.
        fs::remove_file(place.path("threshold.cpu.certificate.json")).or_else(is_absent).unwrap();
        for part in parts {
            place.expect(&format!("verify threshold.onnx --data {folder}"), i32::from(!failing.is_empty()), part);
        }
        assert_eq!(place.failing_criteria(), failing, "{folder}");
    }
}

/// Accepts the error of removing a file that does not exist.
fn is_absent(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

fn exchange_classes(model: &mut Model) {
    scores(model, [1.0, -1.0]);
}

/// Gives the last convolution other weights.
fn scores(model: &mut Model, weights: [f32; 2]) {
    let weight = model.graph.nodes.iter().find(|node| node.name == "logits").unwrap().inputs[1].clone();
    model.graph.initializers.insert(weight, Tensor::new([2, 1, 1, 1], weights.to_vec()).unwrap());
}

#[test]
fn signatures_are_checked_where_a_key_is_given() {
    let place = Workplace::new();
    place.expect("keygen --out mine", 0, "mine.pub.pem");
    place.expect("keygen --out other", 0, "other.pub.pem");
    place.expect("keygen --out mine", 1, "a key is never replaced");
    place.expect("verify threshold.onnx", 0, "is the trained network");
    place.expect(&format!("{INFER} --public-key mine.pub.pem"), 1, "the certificate is not signed");
    place.expect("verify threshold.onnx --sign mine.pem", 0, "threshold.cpu.certificate.json.sig");
    place.expect(&format!("{INFER} --public-key mine.pub.pem"), 0, "");
    place.expect(&format!("{INFER} --public-key other.pub.pem"), 1, "is not that of this certificate by this key");
    let again = "verify --certificate threshold.cpu.certificate.json --public-key";
    place.expect(&format!("{again} mine.pub.pem"), 0, "holds on this machine");
    place.expect(&format!("{again} other.pub.pem"), 1, "is not that of this certificate by this key");
}

#[test]
fn a_model_of_bytes_is_held_to_the_images_as_bytes() {
    const NATIVE: SizePolicy = SizePolicy::Native;
    let of =
        |size: u32, top: u16| ImageBuffer::from_fn(size, size, |x, y| Rgb([x, y, 3 * x + y].map(|v| v as u16 * top)));
    let rows = [
        ("8 bits", NATIVE, ColorOrder::Rgb, of(20, 257)),
        ("stretched", SizePolicy::Resize { height: 12, width: 17 }, ColorOrder::Rgb, of(20, 257)),
        ("16 bits", NATIVE, ColorOrder::Rgb, of(20, 331)),
        ("gray", NATIVE, ColorOrder::Gray, of(20, 257)),
    ];
    for (name, size, color, image) in rows {
        let place = Workplace::new();
        image.save(place.path("a.png")).unwrap();
        let mut model = if color == ColorOrder::Gray { gray() } else { threshold::model(size) };
        let mut reference = reference(model.clone());
        model.contract.input.form.element = Element::U8;
        forms::apply(&mut model.graph, "logits", &model.contract).unwrap();
        place.write(&model);
        framework::record(&mut reference, &model);
        fs::write(place.path("threshold.reference.onnx"), reference.to_bytes().unwrap()).unwrap();
        let (code, text) = place.run("verify threshold.onnx --data .");
        assert_eq!(code, Some(0), "{name}: {text}");
        let page = fs::read_to_string(place.path("threshold.cpu.certificate.html")).unwrap();
        assert!(page.contains("are rounded to bytes before any output is computed"), "{name}");
    }
}

/// Returns the model for images of one channel.
fn gray() -> Model {
    let mut builder = GraphBuilder::new("gray");
    let image = builder.input("input", [Dim::batch(), Dim::from(1), Dim::height(), Dim::width()]).unwrap();
    let weight = Tensor::new([2, 1, 1, 1], vec![-1.0, 1.0]).unwrap();
    let scores = builder.root().conv("scores", image, weight, None, Conv::default()).unwrap();
    let mut model = Model { graph: builder.finish(&[("logits", scores)]).unwrap(), ..model() };
    let input = &mut model.contract.input;
    (input.color, input.mean, input.std) = (ColorOrder::Gray, vec![0.5], vec![0.5]);
    model
}

#[test]
fn a_model_of_one_size_is_proven_on_the_middle_of_images_of_another() {
    let place = Workplace::new();
    let size = Some([16, 12]);
    let masks = place.path("set/masks");
    fs::create_dir_all(place.path("set/images")).unwrap();
    fs::create_dir_all(&masks).unwrap();
    for (name, width, height) in [("larger", 20, 24), ("wider", 30, 10), ("smaller", 9, 11), ("equal", 12, 16)] {
        let red = |x: u32, y: u32| ((31 * x + 17 * y) % 256) as u8;
        let image = image::RgbImage::from_fn(width, height, |x, y| Rgb([red(x, y), 90, 90]));
        image.save(place.path(&format!("set/images/{name}.png"))).unwrap();
        let mask = image::GrayImage::from_fn(width, height, |x, y| image::Luma([255 * u8::from(red(x, y) > 127)]));
        mask.save(masks.join(format!("{name}.png"))).unwrap();
    }
    for kind in [OutputKind::Logits, OutputKind::Mask] {
        let form = InputForm { size, ..InputForm::default() };
        fs::rename(threshold::write_as(place.0.path(), form, kind), place.path("threshold.onnx")).unwrap();
        place.expect("verify threshold.onnx --data set", 0, "is the trained network");
        let json = fs::read(place.path("threshold.cpu.certificate.json")).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        let cases = json["proof"]["cases"].as_array().unwrap();
        for (name, whole) in [
            ("larger", serde_json::json!([24, 20])),
            ("wider", serde_json::json!([10, 30])),
            ("smaller", serde_json::json!([11, 9])),
            ("equal", serde_json::Value::Null),
        ] {
            let case = cases.iter().find(|case| case["name"] == format!("image {name}")).unwrap();
            assert_eq!(case["middle_of"], whole, "{name}");
            assert_eq!(case["shape"], serde_json::json!([1, 16, 12]), "{name}");
            assert_eq!(case["dice"], serde_json::json!({"exact": 1.0, "exported": 1.0}), "{name}");
        }
        let page = fs::read_to_string(place.path("threshold.cpu.certificate.html")).unwrap();
        assert!(page.contains("image larger (the middle of 24x20)"), "{page}");
    }
}

#[test]
fn an_input_is_the_same_for_models_of_any_and_of_one_size() {
    let place = Workplace::new();
    let mut reference = reference(model());
    let write = |name: &str, reference: &Reference| {
        fs::write(place.path(name), reference.to_bytes().unwrap()).unwrap();
    };
    write("other.reference.onnx", &reference);
    let form = InputForm { batch: Some(1), size: Some([16, 16]), ..InputForm::default() };
    threshold::write_as(place.0.path(), form, OutputKind::Logits);
    const OTHER: &str = "verify other.onnx --bisect --against other.reference.onnx";
    place.expect(OTHER, 0, "is the trained network");
    reference.framework_outputs.get_mut("noise 1x16x16").unwrap().input_sha256 = "ab".into();
    write("other.reference.onnx", &reference);
    place.expect(OTHER, 1, "to blame     the reference: its `noise 1x16x16` is another input; export the model again");
}

#[test]
fn what_cannot_be_verified_is_named() {
    let place = Workplace::new();
    fs::write(place.path("text.onnx"), "no model").unwrap();
    fs::create_dir(place.path("run")).unwrap();
    place.expect("keygen --out mine", 0, "mine.pem");
    let weights =
        safetensors::serialize::<&str, TensorView<'_>, _>([], Some([("contract".into(), "{}".into())].into()));
    fs::write(place.path("odd.safetensors"), weights.unwrap()).unwrap();
    let others = ["run.json", "a.html", "b.json.sig"];
    for name in others {
        fs::write(place.path(name), "{\"format\": 1}").unwrap();
    }
    let files = || {
        let entries = fs::read_dir(place.0.path()).unwrap().map(|entry| entry.unwrap().path());
        entries
            .filter(|path| path.is_file())
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect::<BTreeMap<_, _>>()
    };
    let before = files();
    for (args, code, part) in [
        ("verify", 2, "<MODEL>"),
        ("verify threshold.onnx --certificate c.json", 2, "cannot be used with"),
        ("verify absent.onnx", 1, "cannot read the model `absent.onnx`"),
        ("verify text.onnx", 1, "cannot use `text.onnx` as a model"),
        ("verify threshold.onnx --against threshold.onnx", 1, "is a model and not a reference"),
        ("verify threshold.onnx --against no.onnx", 1, "cannot read the reference `no.onnx`"),
        ("verify threshold.onnx --against run", 1, "run/best.safetensors"),
        ("verify threshold.onnx --data run", 1, "holds no image"),
        ("verify --certificate a.png", 1, "is not a certificate"),
        (
            "verify threshold.onnx --out proof.html",
            1,
            "its page takes its name from it; choose a name that ends in `.json`",
        ),
        ("verify threshold.onnx --out threshold.onnx", 1, "choose a name that ends in `.json`"),
        (
            "verify threshold.onnx --out run.json",
            1,
            "cannot write the certificate to `run.json`: another file is there",
        ),
        (
            "verify threshold.onnx --out a.json",
            1,
            "cannot write the certificate's page to `a.html`: another file is th",
        ),
        ("verify threshold.onnx --out b.json --sign mine.pem", 1, "signature to `b.json.sig`: another file is there"),
        (
            "verify threshold.onnx --out absent/c.json",
            1,
            "cannot write `absent/c.json`: no file can be created in its fold",
        ),
        ("verify threshold.onnx --sign absent.pem", 1, "cannot read the key `absent.pem`"),
        ("verify threshold.onnx --sign mine.pub.pem", 1, "is not an Ed25519 private key"),
        (
            "verify threshold.onnx --against odd.safetensors",
            1,
            "cannot compare with the contract that the checkpoint `odd.",
        ),
    ] {
        place.expect(args, code, part);
        assert!(files() == before, "{args}: a file was written or replaced");
    }
}
