//! The responses of the program `export` to command lines.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use burn::tensor::Device;
use safetensors::tensor::{Dtype, TensorView};
use seg_contract::{Contract, Element, Input, InputForm, OutputKind, SizePolicy};
use seg_nets::amsunet::AmsUnetConfig;
use seg_nets::checkpoint::Checkpoint;
use seg_nets::network::NetworkName;
use seg_nets::runs::BEST;
use seg_nets::weights::{Borrowed, Weights};
use seg_onnx::graph::DataType;
use seg_onnx::{Model, Opset};
use serde_json::Value;
use tempfile::TempDir;

/// Returns a folder with `net.safetensors`, which carries no contract.
fn folder() -> TempDir {
    folder_of(1)
}

/// Returns the same with the weights that a seed draws.
fn folder_of(seed: u64) -> TempDir {
    let (folder, device) = (tempfile::tempdir().unwrap(), Device::flex());
    device.seed(seed);
    Weights::from_network(&AmsUnetConfig::new().with_base_width(4).init(&device))
        .write(&folder.path().join("net.safetensors"), None)
        .unwrap();
    folder
}

/// The options of the published network, which names and shapes of weights do not tell.
const PUBLISHED: &str = "--network-option norm=bf,residual=n,dilation=1-1-1-3-5";

/// Runs the program; weights without a contract are said to be of the published network unless
/// `flags` say something else.
fn export(folder: &Path, flags: &str) -> Output {
    let is_told = flags.contains("--network-option") || !flags.contains(".safetensors");
    run(folder, &if is_told { flags.to_owned() } else { format!("{flags} {PUBLISHED}") })
}

fn run(folder: &Path, flags: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_export")).current_dir(folder).args(flags.split_whitespace()).output().unwrap()
}

fn succeed(folder: &Path, flags: &str) -> (String, String) {
    let Output { status, stdout, stderr } = export(folder, flags);
    let [stdout, stderr] = [stdout, stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(status.success(), "{flags}: {stderr}");
    (stdout, stderr)
}

fn read(path: &Path) -> Model {
    Model::from_bytes(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_model_is_written_and_the_assumptions_are_told() {
    let folder = folder();
    let (stdout, stderr) = succeed(folder.path(), "--checkpoint net.safetensors");
    assert_eq!(stdout, "");
    for flag in ["--mean", "--std", "--classes"] {
        assert!(stderr.lines().any(|line| line.starts_with("warning: ") && line.contains(flag)), "{flag}: {stderr}");
    }
    let model = read(&folder.path().join("amsunet.onnx"));
    assert_eq!(model.opset, Opset::V20);
    assert_eq!(model.contract.provenance.assumptions.len(), 5);
}

#[test]
fn a_reference_is_a_checkpoint_and_a_rewritten_graph_is_none() {
    let folder = folder();
    succeed(
        folder.path(),
        "--checkpoint net.safetensors --out net.onnx --mean 0.5,0.25,0.1 --classes background,vessel",
    );
    let weights = |name: &str| Weights::read(&folder.path().join(name));
    assert_eq!(weights("net.reference.onnx").unwrap(), weights("net.safetensors").unwrap());
    succeed(folder.path(), "--checkpoint net.reference.onnx --out again.onnx");
    let [model, again] = ["net.onnx", "again.onnx"].map(|name| read(&folder.path().join(name)));
    assert!(again.graph == model.graph);
    assert_eq!(again.contract, model.contract);
    let message = weights("net.onnx").unwrap_err().to_string();
    assert!(message.contains("`.reference.onnx`") && message.contains("net.onnx"), "{message}");
    fs::write(folder.path().join("damaged.reference.onnx"), "not a graph").unwrap();
    let message = weights("damaged.reference.onnx").unwrap_err().to_string();
    assert!(message.contains("it is not a reference file"), "{message}");
}

#[test]
fn options_that_weights_cannot_tell_are_taken_by_their_names() {
    let folder = folder();
    let named = "--checkpoint net.safetensors --no-verify";
    for (given, open) in [
        ("", "norm, residual and dilation of AMSUnet; say each by"),
        ("--network-option norm=bf", "residual and dilation of AMSUnet; say each by"),
        ("--network-option norm=bf,dilation=1-1-1-3-5", "do not tell residual of AMSUnet; say it by"),
        ("--network-option norm=bf,dilation=1-1-1-3-5,residual=o", "do not tell closing_gelu of AMSUnet; say it by"),
    ] {
        let output = run(folder.path(), &format!("{named} {given}"));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{given}: {stderr}");
        assert!(stderr.contains("`net.safetensors`") && stderr.contains(open), "{given}: {stderr}");
        assert!(!folder.path().join("amsunet.onnx").exists(), "{given}");
    }
    let stderr = String::from_utf8(run(folder.path(), named).stderr).unwrap();
    for part in ["residual is n (one, then GELU) or o (one around each part)", PUBLISHED] {
        assert!(stderr.contains(part), "no {part} in: {stderr}");
    }
    succeed(folder.path(), &format!("{named} {PUBLISHED}"));
    let published = read(&folder.path().join("amsunet.onnx"));
    assert_eq!(published.contract.provenance.configuration, "base_width=4");
    let others = "--network-option norm=bb,dilation=1-1-1-3-5 --network-option residual=o,closing_gelu=false";
    succeed(folder.path(), &format!("{named} {others}"));
    let model = read(&folder.path().join("amsunet.onnx"));
    assert_eq!(model.contract.provenance.configuration, "base_width=4,norm=bb,residual=o");
    assert!(model.graph != published.graph);
}

#[test]
fn every_flag_is_honoured() {
    let folder = folder();
    let flags = "--checkpoint net.safetensors --out other.onnx --opset 17 --dump --reference reference.safetensors --card card.md --triton models \
                 --mean 0.5,-0.25,0 --std 0.5,0.25,1 --classes background,vessel";
    let (stdout, stderr) = succeed(folder.path(), flags);
    let Model { graph, opset, contract } = read(&folder.path().join("other.onnx"));
    assert_eq!(stdout, graph.to_string());
    assert_eq!(opset, Opset::V17);
    assert_eq!(contract.input.mean, [0.5, -0.25, 0.0]);
    assert_eq!(contract.input.std, [0.5, 0.25, 1.0]);
    assert_eq!(contract.classes[1].name, "vessel");
    assert!(!stderr.contains("--mean") && !stderr.contains("--classes"), "{stderr}");
    assert!(folder.path().join("reference.safetensors").exists());
    let model = fs::read(folder.path().join("other.onnx")).unwrap();
    assert_eq!(fs::read(folder.path().join("models/other/1/model.onnx")).unwrap(), model);
    assert!(folder.path().join("models/other/config.pbtxt").exists());
    assert!(stderr.contains("triton      models/other\n"), "{stderr}");
    assert!(
        stderr.contains("hint        on a GPU a server takes images with sides of 16 to 1024 pixels only"),
        "{stderr}"
    );
    let card = fs::read_to_string(folder.path().join("card.md")).unwrap();
    assert!(card.starts_with("# amsunet: vessel\n") && card.contains("`other.onnx`, ONNX opset 17"), "{card}");
}

#[test]
fn a_server_offers_models_by_their_files_names_and_a_replaced_one_is_told() {
    let folder = folder();
    let named = "--checkpoint net.safetensors --no-verify --triton models";
    let replaced = ", instead of the model that was there";
    for (out, told) in [("polyps.onnx", false), ("vessels.onnx --size 32x48", false), ("vessels.onnx", true)] {
        let (_, stderr) = succeed(folder.path(), &format!("{named} --out {out}"));
        assert_eq!(stderr.contains(replaced), told, "{out}: {stderr}");
    }
    for name in ["polyps", "vessels"] {
        assert!(folder.path().join(format!("models/{name}/1/model.onnx")).exists(), "{name}");
    }
}

#[test]
fn a_model_is_proven_unless_that_is_switched_off() {
    let folder = folder();
    let made = |name: &str| {
        ["reference.onnx", "cpu.certificate.json", "cpu.certificate.html"]
            .map(|end| folder.path().join(format!("{name}.{end}")).exists())
    };
    let (_, stderr) = succeed(folder.path(), "--checkpoint net.safetensors --out proven.onnx");
    assert!(stderr.contains("proven      18 inputs"), "{stderr}");
    assert_eq!(made("proven"), [true; 3]);
    let certificate = fs::read_to_string(folder.path().join("proven.cpu.certificate.json")).unwrap();
    assert!(certificate.contains("\"holds\": true"), "{certificate}");
    succeed(folder.path(), "--checkpoint net.safetensors --out unproven.onnx --no-verify");
    assert_eq!(made("unproven"), [false; 3]);
    // The proof changes nothing of the model.
    assert_eq!(
        fs::read(folder.path().join("proven.onnx")).unwrap(),
        fs::read(folder.path().join("unproven.onnx")).unwrap()
    );

    let images = folder.path().join("images");
    fs::create_dir(&images).unwrap();
    seg_data::write_png(
        &images.join("a.png"),
        &image::RgbImage::from_fn(40, 33, |x, y| image::Rgb([(5 * x) as u8, (7 * y) as u8, 90])),
    )
    .unwrap();
    let (_, stderr) = succeed(folder.path(), "--checkpoint net.safetensors --out images.onnx --verify images");
    assert!(stderr.contains("proven      19 inputs"), "{stderr}");
}

#[test]
fn the_model_has_the_form_that_the_flags_say() {
    let folder = folder();
    let flags = "--checkpoint net.safetensors --input u8 --output mask --size 32x48 --batch 4 --opset 25";
    let (_, stderr) = succeed(folder.path(), flags);
    let Model { opset, contract, .. } = read(&folder.path().join("amsunet.onnx"));
    assert_eq!(opset, Opset::NEWEST);
    assert_eq!(contract.input.form, InputForm { element: Element::U8, batch: Some(4), size: Some([32, 48]) });
    assert_eq!(contract.output.kind, OutputKind::Mask);
    for line in ["input       input: u8[4, 32, 48, 3]", "output      mask: u8[4, 32, 48]"] {
        assert!(stderr.lines().any(|found| found == line), "{line}: {stderr}");
    }
}

#[test]
fn bytes_and_sizes_are_proven_on_images_that_are_none_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::flex();
    device.seed(1);
    let gray = AmsUnetConfig::new().with_in_channels(1).with_base_width(4).init(&device);
    Weights::from_network(&gray).write(&folder.path().join("gray.safetensors"), None).unwrap();
    fs::create_dir(folder.path().join("images")).unwrap();
    for (name, width, height) in [("wide.png", 61, 30), ("small.png", 20, 18)] {
        let image = image::ImageBuffer::from_fn(width, height, |x, y| {
            image::Rgb([911 * x, 1203 * y, 307 * (x + y)].map(|v| v as u16))
        });
        image.save(folder.path().join("images").join(name)).unwrap();
    }
    let flags = "--checkpoint gray.safetensors --input u8 --size 32x48 --verify images";
    let (_, stderr) = succeed(folder.path(), flags);
    assert!(stderr.contains("proven "), "{stderr}");
    let (_, stderr) = succeed(folder.path(), &format!("{flags} --precision fp16 --calibrate images"));
    assert!(stderr.contains("calibrated  on 2 images"), "{stderr}");
}

#[test]
fn few_bits_are_chosen_on_images_and_told() {
    let folder = folder();
    let images = concat!(env!("CARGO_MANIFEST_DIR"), "/../sample/nuclei/test/images");
    let named = "--checkpoint net.safetensors --size dynamic";
    let (_, stderr) = succeed(folder.path(), &format!("{named} --precision fp16"));
    assert!(stderr.contains("warning: the precision is chosen on made-up images"), "{stderr}");
    assert!(stderr.contains("float32     up1.rsc.average: it adds up a whole image"), "{stderr}");
    assert!(stderr.lines().any(|line| line.starts_with("agreement ")), "{stderr}");
    let half = read(&folder.path().join("amsunet.onnx"));
    assert!(half.graph.nodes.iter().any(|node| node.output.data_type == DataType::F16));

    let flags = format!(
        "{named} --precision int8 --calibrate {images} --calibration-method entropy --out int8.onnx --triton ."
    );
    // A model that returns one class everywhere is as good in integers, which proves nothing.
    let refused = export(folder.path(), &flags);
    let stderr = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("only one class has 100 pixels: name images that show others"), "{stderr}");
    assert!(stderr.contains("`int8.onnx` is not written: it is not proven to be the trained network"), "{stderr}");
    assert!(stderr.contains("proving     19/30 image "), "{stderr}");
    assert!(!folder.path().join("int8.onnx").exists());

    let folder = folder_of(4);
    let (_, stderr) = succeed(folder.path(), &format!("{flags} --mean 0.1,0.1,0.1 --std 0.05,0.05,0.05"));
    assert!(stderr.contains("Dice loss   ") && stderr.contains("int8        "), "{stderr}");
    assert!(stderr.contains("a server does without TensorRT") && stderr.contains("`--activations i8`"), "{stderr}");
    let precision = read(&folder.path().join("int8.onnx")).contract.provenance.precision;
    assert!(precision.starts_with("int8 in "), "{precision}");
}

#[test]
fn an_explanation_says_where_each_rewrite_fired_and_what_it_saved() {
    let folder = folder();
    let flags = "--checkpoint net.safetensors --target tensorrt --explain --passes -crop_instead_of_pad";
    let (stdout, stderr) = succeed(folder.path(), flags);
    assert_eq!(stdout, "");
    for line in [
        "target      tensorrt",
        "pass        fold_batch_norm_into_previous_conv: 10, saves 10 nodes, 0.0 M multiply-adds",
        "            at down1.amse.norm2",
        "pass        compose_pointwise_convs: 9, saves 9 nodes",
        "pass        merge_depthwise_sum: 9, saves 81 nodes",
        "            at up4.amse.attention.ams.sum_11",
        "pass        drop_identities: nowhere",
    ] {
        assert!(stderr.lines().any(|found| found.starts_with(line)), "{line}: {stderr}");
    }
    assert!(!stderr.contains("crop_instead_of_pad") && !stderr.contains("slice_wide_middle"), "{stderr}");
}

#[test]
fn the_newest_run_is_exported_with_its_contract() {
    let folder = folder();
    succeed(folder.path(), "--checkpoint net.safetensors --out first.onnx --classes background,polyp");
    let contract = read(&folder.path().join("first.onnx")).contract;
    let write_run = |contract| {
        let run = folder.path().join("runs/polyps");
        fs::create_dir_all(&run).unwrap();
        let weights = Weights::read(&folder.path().join("net.safetensors")).unwrap();
        Checkpoint { path: run.join(BEST), weights, contract: Some(contract) }.write().unwrap();
    };
    write_run(contract.clone());

    let (_, stderr) = succeed(folder.path(), "");
    assert!(stderr.contains("runs/polyps, the newest run"), "{stderr}");
    assert!(!stderr.contains("warning"), "{stderr}");
    let [first, second] = ["first.onnx", "amsunet.onnx"].map(|name| fs::read(folder.path().join(name)).unwrap());
    assert_eq!(first, second, "the same weights and the same contract, by another way");

    let refused = export(folder.path(), "--checkpoint runs/polyps --mean 1,1,1");
    let stderr = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr.contains("the mean [1.0, 1.0, 1.0]: the checkpoint's contract says [0.0, 0.0, 0.0]"), "{stderr}");

    let size = SizePolicy::Resize { height: 32, width: 48 };
    write_run(Contract { input: Input { size, ..contract.input.clone() }, ..contract });
    let images = concat!(env!("CARGO_MANIFEST_DIR"), "/../sample/nuclei/test/images");
    succeed(folder.path(), &format!("--out bytes.onnx --input u8 --verify {images}"));
    for (flags, hinted, size) in [("--no-verify", true, "256x256"), ("--no-verify --size 32x48", false, "32x48")] {
        let (_, stderr) = succeed(folder.path(), flags);
        assert_eq!(stderr.contains("with `--size 32x48` the graph is faster"), hinted, "{stderr}");
        let counted = |line: &str| stderr.lines().any(|found| found.starts_with(line) && found.ends_with(size));
        assert!(counted("lowered ") && counted("exported "), "{stderr}");
    }
}

#[test]
fn weights_and_their_average_are_named_and_a_key_takes_either() {
    let folder = folder_of(1);
    let at = |name: &str| folder.path().join(name);
    let device = Device::flex();
    device.seed(2);
    let plain = Weights::read(&at("net.safetensors")).unwrap();
    let average = Weights::from_network(&AmsUnetConfig::new().with_base_width(4).init(&device));
    let both = [("state_dict.", &plain), ("ema.module.", &average)].into_iter().flat_map(|(prefix, weights)| {
        weights.tensors().iter().map(move |(name, tensor)| (format!("{prefix}{name}"), Borrowed(tensor)))
    });
    fs::write(at("both.safetensors"), safetensors::serialize(both, None).unwrap()).unwrap();
    for (flags, weights, told) in [
        (
            "",
            &plain,
            "weights     `state_dict`; the file holds others, too\nhint        for those under `ema.module` (a moving average): `--weights-key ema.module`\n",
        ),
        (
            "--weights-key ema",
            &average,
            "weights     `ema.module` (a moving average); the file holds others, too\nhint        for those under `state_dict`: `--weights-key state_dict`\n",
        ),
    ] {
        let (_, stderr) = succeed(folder.path(), &format!("--no-verify --checkpoint both.safetensors {flags}"));
        assert!(stderr.contains(told), "{flags}: {stderr}");
        let sha256 = read(&at("amsunet.onnx")).contract.provenance.weights_sha256;
        assert_eq!(sha256, weights.sha256(), "{flags}");
    }
    let (_, stderr) = succeed(folder.path(), "--no-verify --checkpoint net.safetensors");
    assert!(!stderr.contains("weights     "), "{stderr}");
    let Output { status, stderr, .. } = export(folder.path(), "--checkpoint both.safetensors --weights-key best");
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("none under `best`; it holds them under `state_dict`, `ema.module`"), "{stderr}");
}

#[test]
fn a_contract_whose_names_leave_their_place_is_refused() {
    let folder = folder();
    let weights = Weights::read(&folder.path().join("net.safetensors")).unwrap();
    let hostile = include_str!("../../tests/data/hostile/names-in-contract.json");
    let mut contract: Value = serde_json::from_str(hostile).unwrap();
    contract["provenance"]["weights_sha256"] = weights.sha256().into();
    let input = (r#"`input.name` is `x" } ]\u{a}instance_group [ { kind: KIND_CPU } ] #`"#, "input");
    let output = (r#"`output.name` is `y"\\u{a}`"#, "logits");
    let class = (r#"`classes.name` is `t"\u{a}<img src=x onerror=alert(1)>`"#, "target");
    let data = (r"`provenance.data` is `<script>alert(1)</script>\u{a}# heading\u{a}|a|b|`", "cells");
    // Each is refused once the ones before it are repaired.
    for ((message, repaired), place) in
        [(input, "/input/name"), (output, "/output/name"), (class, "/classes/1/name"), (data, "/provenance/data")]
    {
        weights.write(&folder.path().join("hostile.safetensors"), Some(("contract", contract.to_string()))).unwrap();
        let flags = "--no-verify --checkpoint hostile.safetensors --out e.onnx --triton T --card C.md";
        let Output { status, stderr, .. } = export(folder.path(), flags);
        let stderr = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(1), "{place}: {stderr}");
        assert!(stderr.contains(message) && stderr.contains("`hostile.safetensors`"), "{place}: {stderr}");
        assert_eq!(stderr.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{place}: {stderr}");
        for name in ["e.onnx", "T", "C.md"] {
            assert!(!folder.path().join(name).exists(), "{place}: {name} is there");
        }
        *contract.pointer_mut(place).unwrap() = repaired.into();
    }
    weights.write(&folder.path().join("net.safetensors"), Some(("contract", contract.to_string()))).unwrap();
    succeed(folder.path(), "--no-verify --checkpoint net.safetensors --out e.onnx --triton T --card C.md");
}

#[test]
fn a_failure_of_one_file_leaves_the_older_model_and_no_new_one() {
    for (name, flags, blocked) in [
        ("the card", "--no-verify --card c.md", "c.md"),
        ("the tensors", "--no-verify --reference r.safetensors", "r.safetensors"),
        ("Triton's configuration", "--no-verify --triton T", "T/e/config.pbtxt"),
        ("Triton's model", "--no-verify --triton T", "T/e/1/model.onnx"),
        ("Triton's configuration beside a proof", "--triton T", "T/e/config.pbtxt"),
        ("the proof's reference", "", "e.reference.onnx"),
        ("the certificate", "", "e.cpu.certificate.json"),
        ("the certificate's page", "", "e.cpu.certificate.html"),
        ("the model", "--no-verify --card c.md --triton T", "e.onnx"),
    ] {
        for older in [None, Some("an older model")] {
            let folder = folder();
            let at = |name: &str| folder.path().join(name);
            if let Some(older) = older.filter(|_| blocked != "e.onnx") {
                fs::write(at("e.onnx"), older).unwrap();
            }
            fs::create_dir_all(at(blocked)).unwrap();
            let before = files_in(folder.path());
            let flags = format!("--checkpoint net.safetensors --out e.onnx {flags}");
            let Output { status, stderr, .. } = export(folder.path(), &flags);
            let stderr = String::from_utf8(stderr).unwrap();
            assert_eq!(status.code(), Some(1), "{name}: {stderr}");
            assert!(stderr.contains(&format!("cannot write `{blocked}`")), "{name}: {stderr}");
            assert_eq!(files_in(folder.path()), before, "{name}");
        }
    }
}

/// Returns the files below a folder with their contents.
fn files_in(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_in(&path));
        } else {
            found.insert(path.clone(), fs::read(path).unwrap());
        }
    }
    found
}

#[test]
fn what_cannot_be_done_is_said_once_and_leaves_no_file() {
    let folder = folder();
    fs::write(folder.path().join("text.pth"), "not weights").unwrap();
    fs::create_dir(folder.path().join("empty")).unwrap();
    fs::write(folder.path().join("other.cpu.certificate.html"), "a page of another kind").unwrap();
    for (file, tensor) in [("foreign.safetensors", "conv.weight"), ("part.safetensors", "in_conv.0.weight")] {
        let weight = TensorView::new(Dtype::F32, vec![1; 4], &[0; 4]).unwrap();
        fs::write(folder.path().join(file), safetensors::serialize([(tensor, weight)], None).unwrap()).unwrap();
    }
    let named = "--checkpoint net.safetensors";
    let no_network = format!("none of the networks {}", NetworkName::ALL.map(NetworkName::title).join(", "));
    for (flags, status, expected) in [
        ("", 1, "no run with a `best.safetensors` under `runs`"),
        ("--runs empty", 1, "no run with a `best.safetensors` under `empty`"),
        ("--checkpoint empty", 1, "it is not a run"),
        ("--checkpoint missing.safetensors", 1, "cannot read weights from `missing.safetensors`"),
        ("--checkpoint text.pth", 1, "it is not a PyTorch file"),
        ("--checkpoint foreign.safetensors", 1, &no_network),
        ("--checkpoint part.safetensors", 1, "the weights in `part.safetensors`: the weights lack `out_conv.0.weight`"),
        (&format!("{named} --network-option depth=3"), 1, "AMSUnet has no option `depth`; it has norm, residual"),
        (&format!("{named} --network-option norm=bx"), 1, "the option `norm` cannot be `bx`"),
        (&format!("{named} --network-option skip=se"), 1, "cannot be `se`: the checkpoint is of AMSUnet"),
        (&format!("{named} --network-option norm"), 2, "expected NAME=VALUE"),
        (&format!("{named} --mean 0.5"), 1, "the network has 3 channels"),
        (&format!("{named} --std 1,1,0"), 1, "`input.std` is [1.0, 1.0, 0.0]"),
        (&format!("{named} --classes background,vessel,optic_disc"), 1, "the network has 2 classes"),
        (&format!("{named} --out missing/amsunet.onnx"), 1, "check that the folder exists"),
        (&format!("{named} --card missing/c.md"), 1, "check that the folder exists"),
        (&format!("{named} --card empty"), 1, "a folder or a device has this name"),
        (&format!("{named} --reference missing/r.safetensors"), 1, "check that the folder exists"),
        (
            &format!("{named} --out other.onnx"),
            1,
            "certificate's page to `other.cpu.certificate.html`: another file is there",
        ),
        (&format!("{named} --opset 26"), 2, "opset 26 is not supported: expected 17 to 25"),
        (&format!("{named} --size 8x64"), 1, "AMSUnet for images of 8x64: the network takes sides of at least 16"),
        (&format!("{named} --size 512"), 2, "expected `dynamic` or HEIGHTxWIDTH"),
        (&format!("{named} --batch 0"), 2, "expected `dynamic` or a number from 1"),
        (&format!("{named} --output labels"), 2, "[possible values: logits, probabilities, mask]"),
        (&format!("{named} --precision int8"), 2, "required arguments were not provided"),
        (&format!("{named} --calibrate net.safetensors"), 2, "there is nothing to calibrate"),
        (&format!("{named} --precision fp16 --calibrate empty"), 1, "the folder `empty` holds no image"),
        (
            &format!("{named} --target tensorrt --precision int8 --calibrate empty --activations u8"),
            2,
            "TensorRT takes no `--activations u8`",
        ),
        (&format!("{named} --target tensorrt --activations u8"), 2, "`--activations` says how values become integers"),
        (&format!("{named} --precision fp16 --activations i8"), 2, "`--activations` says how values become integers"),
        (&format!("{named} --calibration-method entropy"), 2, "`--calibration-method` says how values become integers"),
        (&format!("{named} --max-dice-loss 0.5"), 2, "`--max-dice-loss` says how values become integers"),
        (&format!("{named} --no-verify --ort-lib x.so"), 2, "`--ort-lib` has no effect with `--no-verify` in fp32"),
        (&format!("{named} --max-dice-loss 2"), 2, "expected a number from 0 to 1"),
        (&format!("{named} --mean red"), 2, "invalid float literal"),
        (&format!("{named} --out net.safetensors"), 1, "it is the checkpoint"),
        (&format!("{named} --reference amsunet.onnx"), 1, "cannot write both model and reference"),
        (&format!("{named} --card amsunet.onnx"), 1, "cannot write both model and card"),
        (&format!("{named} --card ./amsunet.onnx"), 1, "cannot write both model and card"),
        (&format!("{named} --card empty/../amsunet.onnx"), 1, "cannot write both model and card"),
        (&format!("{named} --out empty/../net.safetensors"), 1, "it is the checkpoint"),
        (&format!("{named} --reference amsunet.reference.onnx"), 1, "both the proof's reference and reference"),
        (&format!("{named} --card amsunet.cpu.certificate.json"), 1, "both certificate and card"),
        (&format!("{named} --card amsunet.cpu.certificate.html"), 1, "both the certificate's page and card"),
        (&format!("{named} --triton . --card amsunet/config.pbtxt"), 1, "both Triton's configuration and card"),
        (&format!("{named} --runs empty"), 2, "cannot be used with"),
        (&format!("{named} --target gpu"), 2, "`gpu` is not a target: expected `portable`, `cpu`"),
        (&format!("{named} --passes fold"), 2, "there is no pass `fold`: expected `fold_batch_norm"),
        (&format!("{named} --verify empty"), 1, "the folder `empty` holds no image"),
        (&format!("{named} --verify --no-verify"), 2, "cannot be used with"),
        ("--onnx amsunet.onnx", 2, "unexpected argument"),
    ] {
        let output = export(folder.path(), flags);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{flags}: {stderr}");
        assert_eq!(stderr.matches(expected).count(), 1, "{flags}: {stderr}");
        assert!(!folder.path().join("amsunet.onnx").exists(), "{flags}");
    }
}
