//! `seg-runtime verify` and what hangs on it: certificates, signatures, and `infer
//! --require-certificate`.

#![allow(clippy::unwrap_used)]

#[path = "../../../crates/inference/tests/threshold/mod.rs"]
mod threshold;

#[path = "../../../crates/verify/tests/framework/mod.rs"]
mod framework;

mod floats;
mod kinds;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use image::Rgb;
use safetensors::tensor::TensorView;
use seg_contract::SizePolicy;
use seg_inference::library::{Build, Search};
use seg_inference::{ComputePrecision, Options, Provider};
use seg_onnx::Model;
use seg_onnx::graph::Tensor;
use seg_verify::bounds::ModelPrecision;
use seg_verify::{CertifyRequest, ExactEvaluator, FileRecord, FrameworkOutput, Reference, certify, proof_inputs};

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
