//! The program `seg-runtime`: what it writes, what it says, and how it ends.

#![allow(clippy::unwrap_used)]

mod threshold;

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use image::{GrayImage, Luma, Rgb, RgbImage};
use safetensors::{Dtype, tensor::TensorView};
use seg_onnx::contract::SizePolicy;
use seg_runtime::library::{Build, LIBRARY_VARIABLE, Search};
use serde_json::Value;

/// A folder with the model `threshold.onnx`, in which the program is run.
struct Workplace(tempfile::TempDir);

impl Workplace {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        threshold::write(folder.path(), SizePolicy::Native);
        Self(folder)
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }

    /// Saves an image whose left half is red, in the format of its extension.
    fn image(&self, name: &str, width: u32, height: u32) {
        let red = |x, _| Rgb([if 2 * x < width { 200 } else { 20 }, 90, 90]);
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        RgbImage::from_fn(width, height, red).save(path).unwrap();
    }

    /// Saves the mask of such an image.
    fn mask(&self, name: &str, width: u32, height: u32) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        GrayImage::from_fn(width, height, |x, _| Luma([if 2 * x < width { 255 } else { 0 }])).save(path).unwrap();
    }

    fn command<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_seg-runtime"));
        command.args(args).current_dir(self.0.path());
        command
    }

    /// Runs the program with arguments that have no spaces of their own.
    fn run(&self, args: &str) -> Ended {
        Ended::of(self.command(args.split_whitespace()).output().unwrap())
    }

    fn json_lines(&self, name: &str) -> Vec<Value> {
        fs::read_to_string(self.path(name)).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// How the program ended.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ended {
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

#[test]
fn infer_writes_a_mask_an_overlay_and_a_line_for_each_image() {
    let place = Workplace::new();
    for (name, width, height) in [
        ("in/a.png", 1, 1),
        ("in/b.bmp", 33, 20),
        ("in/c.tiff", 7, 50),
        ("in/d.gif", 16, 9),
        ("in/e.webp", 12, 12),
        ("more/a.jpg", 64, 40),
    ] {
        place.image(name, width, height);
    }
    let ended = place.run("infer --model threshold.onnx --out out in more/*.jpg");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""), "{ended:?}");
    let lines = place.json_lines("out/predictions.jsonl");
    let names = ["a", "b", "c", "d", "e", "a-2"];
    assert_eq!(lines.len(), names.len());
    for (line, name) in lines.iter().zip(names) {
        assert_eq!((&line["name"], &line["orientation"]), (&name.into(), &1.into()));
        assert_eq!(line["files"][0]["path"], format!("masks/{name}.png"));
        assert_eq!(line["files"][1]["path"], format!("overlays/{name}.png"));
        assert_eq!(line["provider"], "cpu");
        for stage in ["decode_ms", "preprocess_ms", "infer_ms", "postprocess_ms", "encode_ms"] {
            assert!(line[stage].as_f64().unwrap() >= 0.0, "{name}: {stage}");
        }
        let size = (line["width"].as_u64().unwrap() as u32, line["height"].as_u64().unwrap() as u32);
        assert_eq!(image::image_dimensions(place.path(format!("out/overlays/{name}.png"))).unwrap(), size, "{name}");
        assert_eq!(image::image_dimensions(place.path(format!("out/masks/{name}.png"))).unwrap(), size, "{name}");
        let red = u64::from(size.0.div_ceil(2)) * u64::from(size.1);
        assert_eq!(line["area"][1]["class"], "nucleus", "{name}");
        assert_eq!(line["area"][1]["pixels"], red, "{name}");
    }
}

#[test]
fn infer_goes_past_bad_images_and_names_them() {
    let place = Workplace::new();
    place.image("good.png", 9, 9);
    place.image("whole.jpg", 64, 64);
    let jpeg = fs::read(place.path("whole.jpg")).unwrap();
    fs::write(place.path("cut.jpg"), &jpeg[..jpeg.len() / 2]).unwrap();
    fs::write(place.path("text.png"), "no image").unwrap();
    fs::write(place.path("empty.png"), "").unwrap();
    std::os::unix::fs::symlink("nowhere", place.path("dangling.png")).unwrap();
    let ended = place.run("infer --model threshold.onnx --out out cut.jpg text.png good.png empty.png dangling.png");
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.ends_with("error: 4 of 5 images were skipped\n"), "{ended:?}");
    for name in ["cut.jpg", "text.png", "empty.png", "dangling.png"] {
        let named = |line: &str| line.starts_with("skipped: ") && line.contains(name);
        assert!(ended.stderr.lines().any(named), "{name}: {ended:?}");
    }
    let lines = place.json_lines("out/predictions.jsonl");
    let skipped: Vec<_> = lines.iter().filter(|line| line["error"].is_string()).collect();
    assert_eq!((lines.len(), skipped.len()), (5, 4));
    let masks: Vec<_> = fs::read_dir(place.path("out/masks")).unwrap().collect();
    assert_eq!(masks.len(), 1);
}

#[test]
fn infer_stops_where_results_cannot_be_written() {
    let place = Workplace::new();
    place.image("a.png", 9, 9);
    place.image("b.png", 9, 9);
    fs::create_dir_all(place.path("out/overlays/b.png")).unwrap();
    let ended = place.run("infer --model threshold.onnx --out out a.png b.png");
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("error: stopped after 1 of 2 images; `--continue` goes on from there"), "{ended:?}");
    assert!(ended.stderr.contains("cannot write `out/overlays/b.png`"), "{ended:?}");
    let lines = place.json_lines("out/predictions.jsonl");
    assert_eq!(lines.len(), 1, "the report of what was done is lost: {lines:?}");
    assert_eq!(lines[0]["files"][0]["path"], "masks/a.png");
}

#[test]
fn what_cannot_be_done_ends_with_1_and_what_was_not_said_rightly_with_2() {
    let place = Workplace::new();
    place.image("a.png", 9, 9);
    fs::create_dir(place.path("empty")).unwrap();
    fs::write(place.path("text.onnx"), "no model").unwrap();
    let graph = threshold::model(SizePolicy::Native).graph;
    fs::write(place.path("foreign.onnx"), seg_onnx::proto::write(&graph, seg_onnx::Opset::V20, &[]).unwrap()).unwrap();
    for (name, args, code, part) in [
        ("an empty folder", "infer --model threshold.onnx --out out empty", 1, "the folder `empty` holds no image"),
        ("no such file", "infer --model threshold.onnx --out out b.png", 1, "there is no file or folder `b.png`"),
        ("no match", "infer --model threshold.onnx --out out *.tif", 1, "the glob pattern `*.tif` matches no file"),
        ("no model", "infer --model absent.onnx --out out a.png", 1, "cannot read the model `absent.onnx`: No such"),
        ("not a model", "infer --model text.onnx --out out a.png", 1, "cannot use `text.onnx` as a model"),
        ("no contract", "infer --model foreign.onnx --out out a.png", 1, "no `seg.contract` in its metadata"),
        ("a file as a folder", "infer --model threshold.onnx --out a.png a.png", 1, "cannot create the folder"),
        (
            "no such library",
            "infer --model threshold.onnx --ort-lib no.so --out out a.png",
            1,
            "cannot load the ONNX Runtime library `no.so` named by `--ort-lib`",
        ),
        ("no data set", "eval --model threshold.onnx --data absent", 1, "absent"),
        ("no input", "infer --model threshold.onnx --out out", 2, "<INPUT>"),
        ("unknown provider", "infer --model threshold.onnx --ep gpu --out out a.png", 2, "cpu, cuda, tensorrt"),
        ("unordered shapes", "infer --model threshold.onnx --shapes 2x1x1,1x1x1,1x1x1 --out out a.png", 2, "--shapes"),
        ("no such level", "infer --model threshold.onnx --builder-level 6 --out out a.png", 2, "--builder-level"),
        (
            "no CPU",
            "infer --model threshold.onnx --precision fp16 --out out a.png",
            1,
            "the CPU has no `--precision fp16`",
        ),
        ("no threads", "infer --model threshold.onnx --threads 0 --out out a.png", 2, "--threads"),
        ("no such share", "eval --model threshold.onnx --data d --confidence 95", 2, "between 0 and 1"),
        ("no such distance", "eval --model threshold.onnx --data d --tolerance-px=-1", 2, "not negative"),
        ("no such size", "inspect --size 0x5 threshold.onnx", 2, "HEIGHTxWIDTH"),
        (
            "no such bound",
            "compare --model threshold.onnx --tensors t --input x --expect y --max-abs nan",
            2,
            "not negative",
        ),
    ] {
        let ended = place.run(args);
        assert_eq!(ended.code, Some(code), "{name}: {ended:?}");
        assert!(ended.stderr.contains(part), "{name}: {ended:?}");
        assert!(ended.stderr.starts_with("error: "), "{name}: {ended:?}");
        assert!(!place.path("out").exists(), "{name}");
    }
}

#[test]
fn a_provider_that_cannot_be_had_is_an_error_and_never_the_cpu() {
    let place = Workplace::new();
    place.image("a.png", 9, 9);
    let cpu_build = Search::from_env(None, Build::Cpu).locate().unwrap().path;
    for (ep, provider, library) in [
        ("cuda", "CUDA", "libonnxruntime_providers_cuda.so"),
        ("tensorrt", "TensorRT", "libonnxruntime_providers_tensorrt.so"),
    ] {
        let mut command = place.command(["infer", "--model", "threshold.onnx", "--out", "out", "--ep", ep, "a.png"]);
        let ended = Ended::of(command.env(LIBRARY_VARIABLE, &cpu_build).output().unwrap());
        let expected = format!("error: cannot load `threshold.onnx` with {provider}: {library}: not part of");
        assert_eq!(ended.code, Some(1), "{ep}: {ended:?}");
        assert!(ended.stderr.starts_with(&expected), "{ep}: {ended:?}");
        assert!(ended.stderr.ends_with("or choose `--ep cpu`\n"), "{ep}: {ended:?}");
        assert!(!place.path("out").exists(), "{ep}");
    }
}

#[test]
fn a_library_that_cannot_be_fetched_is_an_error_with_a_remedy() {
    let place = Workplace::new();
    place.image("a.png", 9, 9);
    for (name, variable, value, part) in [
        ("offline", "SEG_RUNTIME_OFFLINE", "1", "nothing may be fetched now"),
        ("no pip", "PATH", "", "cannot fetch onnxruntime 1.31.1 with pip"),
    ] {
        let mut command = place.command(["infer", "--model", "threshold.onnx", "--out", "out", "a.png"]);
        command.env_remove(LIBRARY_VARIABLE).env("SEG_RUNTIME_CACHE", place.path("cache")).env(variable, value);
        let ended = Ended::of(command.output().unwrap());
        assert_eq!(ended.code, Some(1), "{name}: {ended:?}");
        assert!(ended.stderr.contains(part) && ended.stderr.contains("`--ort-lib`"), "{name}: {ended:?}");
    }
}

#[test]
fn setup_keeps_to_what_is_there_when_it_may_not_fetch() {
    let place = Workplace::new();
    let mut command = place.command(["setup", "--offline"]);
    let ended = Ended::of(command.env("SEG_RUNTIME_CACHE", place.path("cache")).output().unwrap());
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("run `seg-runtime setup` where there is a network"), "{ended:?}");
    assert!(!place.path("cache").exists());

    let library = Search::from_env(None, Build::Cpu).locate().unwrap().path;
    let ended = place.run("setup --offline");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains(library.file_name().unwrap().to_str().unwrap()), "{ended:?}");
}

#[test]
fn warm_leaves_nothing_to_wait_for_and_inspect_says_who_computes_what() {
    let place = Workplace::new();
    let ended = place.run("warm threshold.onnx");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.starts_with("`threshold.onnx` is ready to run with the CPU after "), "{ended:?}");

    let ended = place.run("inspect threshold.onnx --placement");
    let placement = ended.stdout.split_once("placement\n").unwrap().1;
    assert!(placement.starts_with("CPUExecutionProvider  ") && placement.contains("Conv 2"), "{placement}");

    let ended = place.run("inspect threshold.onnx --ep cuda");
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("`--ep` and what goes with it need `--placement`"), "{ended:?}");
}

#[test]
fn inspect_prints_cost_and_contract() {
    let ended = Workplace::new().run("inspect threshold.onnx --size 10x20");
    let (cost, contract) = ended.stdout.split_once("contract\n").unwrap();
    assert_eq!(
        cost,
        "model          threshold (ONNX opset 20)\n\
         input          input: f32[batch, 3, height, width]\n\
         output         logits: f32[batch, 2, height, width]\n\
         parameters     5\n\
         constants      68 bytes\n\
         multiply-adds  1,000 at 10x20\n\
         operators      7: Concat 1, Conv 2, Pad 1, Shape 2, Sub 1\n"
    );
    assert_eq!(contract.trim_end(), threshold::model(SizePolicy::Native).contract.to_json());
}

#[test]
fn compare_fails_above_the_bound_and_at_what_is_not_a_number() {
    let place = Workplace::new();
    // Two pixels; the model answers -red and red.
    let image = [1.0_f32, 2.0, 7.0, 7.0, 7.0, 7.0];
    let exact = [-1.0_f64, -2.0, 1.0, 2.0];
    let far = [-1.0_f64, -2.0, 1.0, -2.5];
    let broken = [-1.0_f64, f64::NAN, 1.0, 2.0];
    let bytes = |values: &[f64]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>();
    let image: Vec<_> = image.iter().flat_map(|value| value.to_le_bytes()).collect();
    let (exact, far, broken) = (bytes(&exact), bytes(&far), bytes(&broken));
    let expected = |bytes| TensorView::new(Dtype::F64, vec![1, 2, 1, 2], bytes).unwrap();
    let tensors = [
        ("image", TensorView::new(Dtype::F32, vec![1, 3, 1, 2], &image).unwrap()),
        ("exact", expected(&exact)),
        ("far", expected(&far)),
        ("broken", expected(&broken)),
    ];
    fs::write(place.path("t.safetensors"), safetensors::serialize(tensors, None).unwrap()).unwrap();
    for (name, expect, bound, code, part) in [
        ("equal", "exact", "--max-abs 0", 0, "same class   100.0000 % of the pixels"),
        ("no bound", "far", "", 0, "max absolute 4.500e0 at [0, 1, 0, 1]: found 2, expected -2.5"),
        ("above the bound", "far", "--max-abs 4.4", 1, "the largest absolute error is 4.5e0, the bound 4.4e0"),
        ("not a number", "broken", "", 1, "1 of 4 elements are infinite or not a number"),
        ("another shape", "image", "", 1, "found [1, 2, 1, 2], expected [1, 3, 1, 2]"),
        ("no such tensor", "none", "", 1, "it holds `broken`, `exact`, `far`, `image`"),
    ] {
        let args =
            format!("compare --model threshold.onnx --tensors t.safetensors --input image --expect {expect} {bound}");
        let ended = place.run(&args);
        assert_eq!(ended.code, Some(code), "{name}: {ended:?}");
        assert!(format!("{}{}", ended.stdout, ended.stderr).contains(part), "{name}: {ended:?}");
    }
}

#[test]
fn eval_scores_what_can_be_measured() {
    let place = Workplace::new();
    for name in ["a", "b"] {
        place.image(&format!("data/images/{name}.png"), 10, 12);
        place.mask(&format!("data/masks/{name}.png"), 10, 12);
    }
    let eval = "eval --model threshold.onnx --data data --split all";
    let scores = || serde_json::from_slice::<Value>(&fs::read(place.path("scores/scores.json")).unwrap()).unwrap();
    let ended = place.run(&format!("{eval} --out scores --save-masks masks --tolerance-px 1 --bootstrap 50 --seed 7"));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for line in
        ["Dice            1.0000  1.0000 to 1.0000     1.0000", "HD [px]           0.00  0.00 to 0.00", "2 measured"]
    {
        assert!(ended.stdout.contains(line), "{line:?}: {ended:?}");
    }
    let report = scores();
    for (path, expected) in [
        ("/scores/per_image/overall/centerline_dice/value", Value::from(1.0)),
        ("/scores/pooled/classes/nucleus/iou/value", 1.0.into()),
        ("/method/tolerance_px", 1.0.into()),
        ("/method/bootstrap/seed", 7.into()),
        ("/thresholds/roc_auc", 1.0.into()),
        ("/data/part", "all".into()),
        ("/images/1/name", "b".into()),
    ] {
        assert_eq!(report.pointer(path), Some(&expected), "{path}");
    }
    for path in ["/data/sha256", "/models/0/sha256"] {
        assert_eq!(report.pointer(path).unwrap().as_str().unwrap().len(), 64, "{path}");
    }
    assert_eq!(fs::read_to_string(place.path("scores/images.csv")).unwrap().lines().count(), 3);
    assert!(fs::read_to_string(place.path("scores/report.html")).unwrap().contains("alt=\"a, errors\""));
    assert!(place.path("masks/a.png").exists() && place.path("masks/b.png").exists());

    place.mask("data/masks/b.png", 5, 12);
    let ended = place.run(&format!("{eval} --out scores"));
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("the mask `data/masks/b.png` is 5x12, but its image"), "{ended:?}");
    assert!(ended.stderr.ends_with("error: 1 of 2 images were skipped and are not in the scores\n"), "{ended:?}");
    let report = scores();
    assert_eq!(report["images"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&report["skipped"][0]["name"], &report["scores"]["per_image"]["overall"]["dice"]["interval"]),
        (&"b".into(), &Value::Null)
    );

    let ended = place.run(&format!("{eval} --out data/masks/a.png"));
    assert!(ended.stderr.contains("cannot create the folder `data/masks/a.png`"), "{ended:?}");
    let ended = place.run(&format!("{eval} --save-masks data/masks"));
    assert!(ended.stderr.contains("the input `data/masks/a.png` would be overwritten by a result"), "{ended:?}");
    let ended = place.run("eval --model threshold.onnx --data data --split test");
    assert!(ended.stderr.contains("the data set `data` has no images in its part `test`"), "{ended:?}");
}

#[test]
fn eval_saves_no_mask_over_another() {
    let place = Workplace::new();
    for (part, name) in [("train", "a"), ("train", "b"), ("test", "a")] {
        place.image(&format!("data/{part}/images/{name}.png"), 10, 12);
        place.mask(&format!("data/{part}/masks/{name}.png"), 10, 12);
    }
    let eval = |split: &str| {
        place.run(&format!("eval --model threshold.onnx --data data --split {split} --save-masks masks --bootstrap 50"))
    };
    let ended = eval("all");
    let (first, second) = ("`data/train/images/a.png`", "`data/test/images/a.png`");
    let expected =
        format!("error: the masks of {first} and {second} would both be saved as `masks/a.png`; measure one");
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.starts_with(&expected) && !place.path("masks").exists(), "{ended:?}");
    let ended = eval("train");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(place.path("masks/a.png").exists() && place.path("masks/b.png").exists());
}

/// The content of all files below a folder by their paths, without what tells times.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(folder).unwrap().to_path_buf();
        if path.is_dir() {
            found.extend(contents(&path).into_iter().map(|(inner, bytes)| (name.join(inner), bytes)));
        } else if path.extension().is_some_and(|extension| extension != "jsonl" && extension != "lock") {
            found.insert(name, fs::read(&path).unwrap());
        }
    }
    found
}

#[test]
fn everything_that_can_be_saved_is_saved_and_read_back() {
    let place = Workplace::new();
    place.image("a.png", 40, 30);
    let all = "mask,binary,overlay,contours,probabilities,probabilities-npy,uncertainty,rle,polygons";
    let ended = place.run(&format!("infer --model threshold.onnx --out out --save {all} a.png"));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let line = &place.json_lines("out/predictions.jsonl")[0];
    let files: Vec<_> = line["files"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect();
    let expected = [
        "masks/a.png",
        "binary/1-nucleus/a.png",
        "overlays/a.png",
        "contours/a.png",
        "probabilities/1-nucleus/a.png",
        "probabilities/a.npy",
        "uncertainty/a.png",
        "rle/a.json",
        "polygons/a.geojson",
    ];
    assert_eq!(files, expected);
    let binary = image::open(place.path("out/binary/1-nucleus/a.png")).unwrap().into_luma8();
    assert!(binary.enumerate_pixels().all(|(x, _, pixel)| pixel[0] == if x < 20 { 255 } else { 0 }));
    let probability = image::open(place.path("out/probabilities/1-nucleus/a.png")).unwrap().into_luma16();
    assert!(probability.enumerate_pixels().all(|(x, _, pixel)| (pixel[0] > 32767) == (x < 20)));
    let npy = fs::read(place.path("out/probabilities/a.npy")).unwrap();
    assert!(npy.starts_with(b"\x93NUMPY\x01\x00") && npy.len() == 128 + 2 * 30 * 40 * 4, "{}", npy.len());
    assert!(String::from_utf8_lossy(&npy[..128]).contains("'shape': (2, 30, 40)"));
    let json = |name| -> Value { serde_json::from_slice(&fs::read(place.path(name)).unwrap()).unwrap() };
    assert_eq!(json("out/rle/a.json")["annotations"][0]["bbox"], serde_json::json!([0, 0, 20, 30]));
    let polygons = json("out/polygons/a.geojson");
    let ring = serde_json::json!([[[0, 0], [20, 0], [20, 30], [0, 30], [0, 0]]]);
    assert_eq!(polygons["features"][0]["geometry"]["coordinates"], ring);
}

#[test]
fn results_are_upright_whatever_the_camera_noted() {
    let place = Workplace::new();
    place.image("flat.jpg", 64, 32);
    let jpeg = fs::read(place.path("flat.jpg")).unwrap();
    for orientation in 1..=8_u8 {
        let mut bytes = jpeg[..2].to_vec();
        bytes.extend(b"\xff\xe1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0");
        bytes.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend(&jpeg[2..]);
        fs::create_dir_all(place.path("in")).unwrap();
        fs::write(place.path(format!("in/{orientation}.jpg")), bytes).unwrap();
    }
    let ended = place.run("infer --model threshold.onnx --out out in");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    // Where the red half lies once the image is upright: its first column and row.
    let red = [(0, 0), (32, 0), (32, 0), (0, 0), (0, 0), (0, 0), (0, 32), (0, 32)];
    for (index, line) in place.json_lines("out/predictions.jsonl").iter().enumerate() {
        assert_eq!(line["orientation"], index + 1);
        let mask = image::open(place.path(format!("out/masks/{}.png", index + 1))).unwrap().into_rgb8();
        let size = if index < 4 { (64, 32) } else { (32, 64) };
        assert_eq!((mask.dimensions(), &line["width"]), (size, &size.0.into()), "orientation {}", index + 1);
        let (left, top) = red[index];
        for (x, y, pixel) in mask.enumerate_pixels() {
            let is_red = (left..left + 32).contains(&x) && (top..top + 32).contains(&y);
            assert_eq!(pixel.0 != [0; 3], is_red, "orientation {}: {x}, {y}", index + 1);
        }
    }
}

#[test]
fn a_killed_run_goes_on_and_ends_with_the_same_files() {
    let place = Workplace::new();
    for index in 0..12 {
        place.image(&format!("in/{index:02}.png"), 60 + index, 50);
    }
    assert_eq!(place.run("infer --model threshold.onnx --out whole in").code, Some(0));
    let expected = contents(&place.path("whole"));
    let arguments = "infer --model threshold.onnx --out out --continue in";
    // Each run is killed after another number of lines.
    for lines in [0, 1, 3, 6] {
        let mut child =
            place.command(arguments.split_whitespace()).stderr(std::process::Stdio::null()).spawn().unwrap();
        let record = place.path("out/predictions.jsonl");
        while child.try_wait().unwrap().is_none()
            && fs::read_to_string(&record).unwrap_or_default().lines().count() <= lines
        {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    // A result that somebody damaged, and one that somebody removed.
    let [damaged, removed] = ["out/masks/00.png", "out/overlays/01.png"].map(|name| place.path(name));
    fs::write(damaged, "damaged").unwrap();
    let _ = fs::remove_file(removed);
    let ended = place.run(arguments);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(contents(&place.path("out")), expected);
    assert_eq!(place.json_lines("out/predictions.jsonl").len(), 12);
    let ended = place.run(arguments);
    assert!(ended.stderr.contains("12 of 12 images are complete"), "{ended:?}");

    let ended = place.run("infer --model threshold.onnx --out out --threshold 0.7 --continue in");
    assert!(ended.stderr.contains("another job, which differs in how masks are made"), "{ended:?}");
}

#[test]
fn a_record_that_cannot_be_written_ends_with_a_whole_line() {
    let place = Workplace::new();
    for index in 0..12 {
        place.image(&format!("in/{index:02}.png"), 60, 50);
    }
    let arguments = "infer --model threshold.onnx --out out --continue in";
    // Files of at most 4096 bytes: a few lines, and the beginning of one more.
    let limit = "trap '' XFSZ; ulimit -f 8; exec \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", limit, "sh", env!("CARGO_BIN_EXE_seg-runtime")]).args(arguments.split_whitespace());
    let ended = Ended::of(command.current_dir(place.0.path()).output().unwrap());
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("cannot keep the record in `out/predictions.jsonl`: File too large"), "{ended:?}");
    let text = fs::read_to_string(place.path("out/predictions.jsonl")).unwrap();
    assert!(text.ends_with('\n'), "{text}");
    let kept = place.json_lines("out/predictions.jsonl").len();

    let ended = place.run(arguments);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains(&format!("{kept} of 12 images are complete")), "{ended:?}");
    assert_eq!(place.json_lines("out/predictions.jsonl").len(), 12);
}

#[test]
fn a_run_that_goes_on_does_again_what_is_another_image() {
    let place = Workplace::new();
    // Files of one size, whatever their pixels are.
    for (name, width) in [("in/a.bmp", 8), ("in/b.bmp", 8), ("other/a.bmp", 8), ("other/b.bmp", 8)] {
        place.image(name, width, 6);
    }
    let mirror = |name: &str| {
        let mirrored = image::imageops::flip_horizontal(&image::open(place.path(name)).unwrap().into_rgb8());
        mirrored.save(place.path(name)).unwrap();
    };
    mirror("other/a.bmp");
    for (name, folder, prepare, complete) in [
        ("the first time", "in", None, 0),
        ("nothing new", "in", None, 2),
        ("another folder", "other", None, 0),
        ("the same again", "other", None, 2),
        ("other pixels in a file", "other", Some("other/b.bmp"), 1),
        ("the first folder", "in", None, 0),
    ] {
        prepare.into_iter().for_each(mirror);
        let ended = place.run(&format!("infer --model threshold.onnx --out out --continue {folder}"));
        assert_eq!(ended.code, Some(0), "{name}: {ended:?}");
        assert!(ended.stderr.contains(&format!("{complete} of 2 images are complete")), "{name}: {ended:?}");
        assert_eq!(place.run(&format!("infer --model threshold.onnx --out fresh {folder}")).code, Some(0), "{name}");
        assert_eq!(contents(&place.path("out")), contents(&place.path("fresh")), "{name}");
        let lines = place.json_lines("out/predictions.jsonl");
        for (line, input) in lines.iter().zip(["a", "b"]) {
            assert_eq!(line["input"], format!("{folder}/{input}.bmp"), "{name}");
        }
        assert_eq!(lines.len(), 2, "{name}");
    }
}

#[test]
fn parts_run_at_the_same_time_and_merge_into_the_whole() {
    let place = Workplace::new();
    for index in 0..7 {
        place.image(&format!("in/{index}.png"), 20 + index, 30);
    }
    assert_eq!(place.run("infer --model threshold.onnx --out whole in").code, Some(0));
    let part = |index: usize| {
        let part = format!("infer --model threshold.onnx --out out --num-parts 3 --part {index} in");
        place.command(part.split_whitespace()).stderr(std::process::Stdio::null()).spawn().unwrap()
    };
    let mut first = [part(1), part(3)];
    assert!(first.iter_mut().all(|child| child.wait().unwrap().success()));
    let ended = place.run("merge out");
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("part 2 of 3 has 0 of 2 images"), "{ended:?}");
    assert!(part(2).wait().unwrap().success());
    let ended = place.run("merge out");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let names = |name| place.json_lines(name).iter().map(|line| line["name"].clone()).collect::<Vec<_>>();
    assert_eq!(names("out/predictions.jsonl"), names("whole/predictions.jsonl"));
    assert_eq!(contents(&place.path("out")), contents(&place.path("whole")));
    let ended = place.run("infer --model threshold.onnx --out out --num-parts 3 --part 4 in");
    assert!(ended.stderr.contains("there is no part 4 of 3"), "{ended:?}");
}
