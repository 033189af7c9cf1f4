//! `train compare-networks` as a user runs it: `train` itself learns; scripts stand for the
//! programs that export and run models, which other tests are about.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use image::{GrayImage, Luma, Rgb, RgbImage};
use seg_data::{write_mask_png, write_png};
use serde_json::Value;

/// Stands for `export`: writes a file where the model belongs.
const EXPORT: &str = r#"#!/bin/sh
echo "export $@" >> "$(dirname "$0")/calls"
while [ $# -gt 0 ]; do [ "$1" = --out ] && echo model > "$2"; shift; done
"#;

/// Stands for `seg-runtime`: AMSUnet is better than the others, and every model as fast.
const RUNTIME: &str = r#"#!/bin/sh
echo "$@" >> "$(dirname "$0")/calls"
case "$*" in *amsunet*) dice=0.75;; *) dice=0.5;; esac
case "$1" in
  eval)
    while [ $# -gt 0 ]; do [ "$1" = --out ] && out=$2; shift; done
    mkdir -p "$out"
    image='"overall": {"dice": '$dice', "mean_iou": 0.25}}'
    echo '{"images": [{"name": "a", '$image', {"name": "b", '$image']}' > "$out/scores.json" ;;
  bench) echo '[{"height": 32, "width": 32, "latency_ms": {"p50": 2.0, "p95": 3.0}, "peak_memory_bytes": 7}]' ;;
  inspect) echo '{"multiply_adds": 9}' ;;
esac
"#;

/// Creates the programs in a folder of their own.
fn programs(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_train"), folder.join("train")).unwrap();
    for (name, text) in [("export", EXPORT), ("seg-runtime", RUNTIME)] {
        fs::write(folder.join(name), text).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// Creates pictures of bright discs on a dark ground in a part of a data set.
fn discs(folder: &Path, count: u32) {
    for name in ["images", "masks"] {
        fs::create_dir_all(folder.join(name)).unwrap();
    }
    for number in 0..count {
        let inside = |x: u32, y: u32| (x.abs_diff(12 + number)).pow(2) + y.abs_diff(14).pow(2) < 50;
        let image = RgbImage::from_fn(32, 32, |x, y| Rgb([if inside(x, y) { 200 } else { 30 }, 40, number as u8 * 9]));
        let mask = GrayImage::from_fn(32, 32, |x, y| Luma([u8::from(inside(x, y))]));
        write_png(&folder.join(format!("images/{number}.png")), &image).unwrap();
        write_mask_png(&folder.join(format!("masks/{number}.png")), &mask, &[[0; 3], [255; 3]]).unwrap();
    }
}

fn compare(folder: &Path, arguments: &str) -> Output {
    let arguments = arguments.split_whitespace();
    Command::new(folder.join("programs/train"))
        .current_dir(folder)
        .arg("compare-networks")
        .args(arguments)
        .output()
        .unwrap()
}

fn succeed(folder: &Path, arguments: &str) -> String {
    let Output { status, stdout, stderr } = compare(folder, arguments);
    let [stdout, stderr] = [stdout, stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(status.success(), "{arguments}: {stderr}\n{stdout}");
    stdout
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn networks_are_trained_alike_and_an_interrupted_comparison_goes_on() {
    let root = tempfile::tempdir().unwrap();
    programs(&root.path().join("programs"));
    discs(&root.path().join("data/train"), 6);
    discs(&root.path().join("data/test"), 2);
    let networks = "--network unet:base_width=2 --network amsunet:base_width=4,skip=plain --seeds 3,1";
    let shared = "--epochs 1 --crop 32 --device cpu --validation 0.4";
    succeed(root.path(), &format!("--data data {networks} --out c --timed-runs 5 -- {shared}"));
    let found = json(&root.path().join("c/comparison.json"));
    let runs = ["unet-base_width-2", "amsunet-base_width-4-skip-plain"];
    let config = |run: &str, seed: u64| json(&root.path().join(format!("c/runs/{run}-seed-{seed}/config.json")));
    let split = |run: &str, seed: u64| json(&root.path().join(format!("c/runs/{run}-seed-{seed}/split.json")));
    for run in runs {
        for seed in [3, 1] {
            assert_eq!(config(run, seed)["seed"], seed, "{run}");
            assert_eq!(split(run, seed), split(runs[0], 3), "{run}, seed {seed}: the split");
        }
    }
    assert_eq!(split(runs[0], 3)["validation"].as_array().unwrap().len(), 2);
    assert_eq!(config(runs[1], 1)["network"]["skip"], "plain");
    let rows = found["rows"].as_array().unwrap();
    assert_eq!((rows.len(), &rows[0]["dice"]["value"], &rows[1]["dice"]["value"]), (2, &0.5.into(), &0.75.into()));
    assert_eq!(rows[1]["difference"]["dice"], 0.25);
    assert!(rows[0]["parameters"].as_u64().unwrap() > 1000 && rows[0]["latency"]["multiply_adds"] == 9, "{found}");
    let calls = fs::read_to_string(root.path().join("programs/calls")).unwrap();
    for (part, count) in
        [("export --checkpoint", 4), ("eval --model", 4), ("--split test", 4), ("bench", 2), ("--runs 5", 2)]
    {
        assert_eq!(calls.matches(part).count(), count, "{part}: {calls}");
    }
    assert!(root.path().join("c/report.html").exists());

    // It goes on where it stopped: here one model is missing, and one run.
    fs::remove_file(root.path().join("c/runs").join(format!("{}-seed-3", runs[1])).join("model.onnx")).unwrap();
    fs::remove_dir_all(root.path().join("c/runs").join(format!("{}-seed-1", runs[0]))).unwrap();
    fs::remove_file(root.path().join("c/comparison.json")).unwrap();
    fs::remove_file(root.path().join("programs/calls")).unwrap();
    succeed(root.path(), "--resume c");
    let calls = fs::read_to_string(root.path().join("programs/calls")).unwrap();
    for (part, count) in [("export --checkpoint", 2), ("eval --model", 1), ("bench", 0)] {
        assert_eq!(calls.matches(part).count(), count, "{part}: {calls}");
    }
    assert_eq!(json(&root.path().join("c/comparison.json"))["rows"][1]["dice"], rows[1]["dice"]);
    assert_eq!(config(runs[0], 1)["seed"], 1);

    // All runs follow from the plan.
    let said = succeed(root.path(), "--plan c/plan.json --out again");
    assert!(said.contains("again/report.html"), "{said}");
    assert_eq!(json(&root.path().join("again/plan.json")), json(&root.path().join("c/plan.json")));
}

#[test]
fn what_cannot_be_compared_is_named_before_anything_is_trained() {
    let root = tempfile::tempdir().unwrap();
    programs(&root.path().join("programs"));
    discs(&root.path().join("data/train"), 6);
    discs(&root.path().join("data/test"), 2);
    discs(&root.path().join("all"), 3);
    let two = "--network unet --network amsunet";
    for (arguments, status, part) in [
        ("--data data", 2, "--network"),
        ("--data data --network unet", 1, "at least two networks"),
        ("--data data --network vnet --network unet", 2, "`vnet` is not a network"),
        ("--data data --network amsunet:norm=bx --network unet", 2, "the settings of `amsunet:norm=bx`"),
        ("--data data --network unet --network unet", 1, "the network unet is named twice"),
        (&format!("--data all {two}"), 1, "holds no images back"),
        (&format!("--data data {two} -- --seed 3"), 1, "`--seed` is decided by the comparison"),
        (&format!("--data data {two} -- --crop 8"), 1, "cannot be trained so"),
        (&format!("--data data {two} -- --epochs many"), 1, "cannot be trained so"),
        ("--resume none", 1, "cannot read the plan"),
        (&format!("--resume none {two}"), 2, "cannot be used with"),
    ] {
        let output = compare(root.path(), &format!("{arguments} "));
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{arguments}: {error}");
        assert!(error.contains(part), "{arguments}: {error}");
        assert!(!root.path().join("runs").exists(), "{arguments}");
    }
    fs::remove_file(root.path().join("programs/export")).unwrap();
    let output = compare(root.path(), &format!("--data data {two}"));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("there is no program `") && error.contains("/export`"), "{error}");
}
