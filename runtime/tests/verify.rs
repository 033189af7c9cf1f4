//! `seg-runtime verify` and what hangs on it: certificates, signatures, and `infer --require-certificate`.

#![allow(clippy::unwrap_used)]

mod threshold;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use ndarray::{Array4, ArrayView4};
use seg_onnx::{
    Model,
    contract::SizePolicy,
    graph::{Conv, Dim, GraphBuilder, Tensor},
    precision::{Activations, Range, quantize},
};
use seg_runtime::{
    Answer, Options, Provider, RunError,
    library::{Build, Search},
    provider,
    verify::{
        Deployed, FileFacts, Order, Reference, Subject, Trained, Yardstick, amplification,
        bounds::{CPU_FLOAT32, Precision},
        cases, certify, prove,
    },
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

    /// The criteria that fail by the certificate's page.
    fn failing_criteria(&self) -> Vec<String> {
        let page = fs::read_to_string(self.path("threshold.cpu.certificate.html")).unwrap();
        let rows = page.split("<tr>").filter(|row| row.contains("<strong>fails</strong>"));
        rows.map(|row| row.split(['<', '>']).nth(2).unwrap().to_owned()).collect()
    }

    /// The exit code and all that is said.
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
    image::RgbImage::from_fn(20, 20, |x, y| image::Rgb([(step * x + y) as u8, 90, 90])).save(path).unwrap();
}

/// The model as what others are held against.
fn reference(model: Model) -> Reference {
    let (parameters, trained) = (BTreeMap::new(), BTreeMap::new());
    Reference { model, parameters, passes: Vec::new(), tool: "a test".into(), trained }
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
        ("against", "\"holds\": true", "\"holds\": false", "says that the model does not hold"),
        (
            "another provider",
            "\"provider\": \"cpu\"",
            "\"provider\": \"cuda\"",
            "the provider is cpu, certified was cuda",
        ),
        ("another runtime", "\"onnx_runtime\": \"", "\"onnx_runtime\": \"an older ", "ONNX Runtime is"),
        ("another layout", "\"format\": 1", "\"format\": 2", "has format 2"),
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
            &["Error of the output", "Flipped pixels", "Values inside"],
        ),
        (|m| m.contract.classes.reverse(), "to blame     the contract: `classes`", &["Contract"]),
        // The same pixels become other numbers.
        (
            |m| m.contract.input.mean[0] = 0.25,
            "to blame     the contract: `input.mean`",
            &["Contract", "Error of the output", "Flipped pixels"],
        ),
    ];
    for (fault, part, criteria) in rows {
        let place = Workplace::new();
        let mut faulty = model();
        fault(&mut faulty);
        place.write(&faulty);
        place.expect("verify threshold.onnx --bisect", 1, part);
        assert_eq!(place.failing_criteria(), criteria, "{part}");
        place.expect(INFER, 1, "says that the model does not hold");
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
    for (from, to, code, part) in [
        ("\"CPUExecutionProvider\": ", "\"CPUExecutionProvider\": 1", 0, "another      the nodes: "),
        ("\"per_pixel\": ", "\"per_pixel\": 1", 0, "another      the bounds: "),
        ("\"holds\": true", "\"holds\": false", 1, "says that the model does not hold; verify the model itself"),
    ] {
        assert!(json.contains(from), "{from}");
        fs::write(place.path("threshold.cpu.certificate.json"), json.replacen(from, to, 1)).unwrap();
        place.expect(AGAIN, code, part);
    }
    // What would be another proof does not begin.
    for (from, to, part) in [
        (
            "\"provider\": \"cpu\"",
            "\"provider\": \"cuda\"",
            "certified was CUDA, and the CPU would compute the model; choose",
        ),
        (
            "\"precision\": \"float32\"",
            "\"precision\": \"float16\"",
            "certified was float16, and the model would be comp",
        ),
    ] {
        assert!(json.contains(from), "{from}");
        fs::write(place.path("threshold.cpu.certificate.json"), json.replacen(from, to, 1)).unwrap();
        for flags in ["--ep cpu", "--ep cpu --allow-fallback"] {
            let (code, text) = place.run(&format!("{AGAIN} {flags}"));
            assert!(code == Some(1) && text.contains(part) && !text.contains("noise "), "{flags}: {text}");
        }
    }
}

/// The sixteenth power of what a convolution gives, which amplifies its roundings as many times.
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

/// The exact answers to a case, but for one that is off by so much.
struct Off(Array4<f64>, f64);

impl Deployed for Off {
    fn answer(&mut self, _: ArrayView4<'_, f32>) -> Result<Answer, RunError> {
        let mut answer = self.0.clone();
        answer[[0, 0, 0, 0]] += self.1;
        Ok(Answer::Scores(answer.mapv(|value| value as f32)))
    }
}

#[test]
fn a_network_that_amplifies_rounding_may_be_off_by_as_many_times_as_much() {
    for (model, amplifies) in [(power(), true), (model(), false)] {
        let reference = reference(model);
        let one = &cases(&reference.model, false, &[]).unwrap()[1..2];
        let input = one[0].load(&reference.model.contract).unwrap().tensor;
        let mut yardstick = Yardstick::new(&reference.model.graph);
        let exact = yardstick.answer(&one[0], input.view()).unwrap().output.clone();
        let scale =
            exact.fold(0.0_f64, |high, &value| high.max(value)) - exact.fold(0.0_f64, |low, &value| low.min(value));
        let rounding = yardstick.rounding(input.view(), exact.view()).unwrap();
        let amplified = amplification(rounding, scale);
        assert_eq!(amplified.is_some(), amplifies, "{amplified:?}");
        let allowed = CPU_FLOAT32.at(16) * scale;
        let most = allowed * amplified.unwrap_or(1.0);
        for (off, holds, is_looked_at) in
            [(0.9 * allowed, true, false), (0.9 * most, true, amplifies), (1.1 * most, false, amplifies)]
        {
            let subject = Subject { reference: &reference, model: &reference.model, bound: &CPU_FLOAT32 };
            let proof = prove(subject, &mut yardstick, &mut Off(exact.clone(), off), one, |_| {}).unwrap();
            let case = &proof.cases[0];
            assert_eq!(case.findings.is_empty(), holds, "{off:e} of {most:e}: {:?}", case.findings);
            assert_eq!(case.amplification.is_some(), is_looked_at, "{off:e} of {most:e}");
        }
    }
}

#[test]
fn what_was_seen_at_export_counts_for_the_same_image_only() {
    let place = Workplace::new();
    fs::create_dir(place.path("seen")).unwrap();
    picture(&place.path("seen/a.png"), 7);
    let mut reference = reference(model());
    let mut yardstick = Yardstick::new(&reference.model.graph);
    for case in cases(&model(), false, &[place.path("seen")]).unwrap() {
        let input = case.load(&model().contract).unwrap().tensor;
        let exact = &yardstick.answer(&case, input.view()).unwrap().output;
        let found = exact.mapv(|value| value as f32);
        reference.trained.insert(case.name, Trained::of(input.view(), found.view(), exact.view()));
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
    reference.trained.get_mut("noise 1x16x16").unwrap().input_sha256 = "ab".into();
    write(&reference);
    place.expect("verify threshold.onnx", 1, "the training framework saw another input");
}

#[test]
fn after_a_fallback_the_certificate_names_what_computed() {
    let environment = Search::from_env(None, Build::Cpu).locate().unwrap().load().unwrap();
    let (reference, bytes) = (reference(model()), model().to_bytes().unwrap());
    let order = Order {
        model: Path::new("threshold.onnx"),
        bytes: &bytes,
        reference: &reference,
        reference_file: &FileFacts::of(Path::new("threshold.reference.onnx"), &[], Path::new("."), None),
        certified: None,
        checkpoint: None,
        data: &[],
        thorough: false,
        layers: false,
        bisect: false,
    };
    let options = Options {
        provider: Provider::TensorRt,
        precision: provider::Precision::Fp16,
        allow_fallback: true,
        ..Options::default()
    };
    let mut yardstick = Yardstick::new(&reference.model.graph);
    // Nothing of NVIDIA's is in the library for the CPU.
    let certificate = certify(&environment, order, &options, &mut yardstick, |_| {}).unwrap();
    assert_eq!((certificate.provider, certificate.precision), (Provider::Cpu, Precision::Float32));
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

/// The model with a convolution in 8-bit integers, its scores of these weights.
fn int8(weights: [f32; 2]) -> Model {
    let mut model = model();
    scores(&mut model, weights);
    let range = Range { min: -1.0, max: 1.0 };
    let ranges = ["input", "red"].map(|name| (name.to_owned(), range)).into();
    model.graph = quantize(&model.graph, &["red"].into(), &ranges, Activations::U8).unwrap().graph;
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
    place.expect(INFER, 1, "says that the model does not hold");
    // Of each class more than a hundred pixels.
    picture(&place.path("a.png"), 12);
    place.expect(WITH_IMAGES, 0, "is the trained network on the CPU in int8");

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
        let picture = image::RgbImage::from_fn(200, 200, |x, y| image::Rgb([red(x, y), 90, 90]));
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
        for part in parts {
            place.expect(&format!("verify threshold.onnx --data {folder}"), i32::from(!failing.is_empty()), part);
        }
        assert_eq!(place.failing_criteria(), failing, "{folder}");
    }
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
        ("verify threshold.onnx --out proof.html", 1, "its page goes there; choose a name that ends in `.json`"),
        ("verify threshold.onnx --out threshold.onnx", 1, "it is the model or its reference; choose another name"),
    ] {
        place.expect(args, code, part);
    }
}
