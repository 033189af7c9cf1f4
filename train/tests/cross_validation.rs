//! `train --folds K --all` as a user runs it; a script stands for `export`, which other tests are
//! about.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use image::{GrayImage, Luma, Rgb, RgbImage};
use seg_data::{write_mask_png, write_png};
use serde_json::Value;

/// Stands for `export`: writes a file where the model belongs.
const EXPORT: &str = r#"#!/bin/sh
echo "$@" >> "$(dirname "$0")/calls"
while [ $# -gt 0 ]; do [ "$1" = --out ] && echo model > "$2"; shift; done
"#;

/// Creates `train` and the stand-in in `bin/`.
fn programs(folder: &Path) {
    let bin = folder.join("bin");
    fs::create_dir(&bin).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_train"), bin.join("train")).unwrap();
    fs::write(bin.join("export"), EXPORT).unwrap();
    fs::set_permissions(bin.join("export"), fs::Permissions::from_mode(0o755)).unwrap();
}

/// Returns the calls of the stand-in since the last look, line by line.
fn exports(folder: &Path) -> Vec<String> {
    let calls = folder.join("bin/calls");
    let text = fs::read_to_string(&calls).unwrap();
    fs::remove_file(calls).unwrap();
    text.lines().map(Into::into).collect()
}

/// Creates a folder of seven pictures of bright discs on a dark ground.
fn discs(folder: &Path) {
    for name in ["images", "masks"] {
        fs::create_dir_all(folder.join(name)).unwrap();
    }
    for number in 0..7u32 {
        let inside = |x: u32, y: u32| (x.abs_diff(12 + number)).pow(2) + y.abs_diff(14).pow(2) < 50;
        let image =
            RgbImage::from_fn(32, 36, |x, y| Rgb([if inside(x, y) { 200 - 9 * number as u8 } else { 30 }, 40, 60]));
        let mask = GrayImage::from_fn(32, 36, |x, y| Luma([u8::from(inside(x, y))]));
        write_png(&folder.join(format!("images/{number}.png")), &image).unwrap();
        write_mask_png(&folder.join(format!("masks/{number}.png")), &mask, &[[0; 3], [255; 3]]).unwrap();
    }
}

fn train(folder: &Path, arguments: &str) -> Output {
    let arguments = arguments.split_whitespace();
    Command::new(folder.join("bin/train")).current_dir(folder).args(arguments).output().unwrap()
}

fn succeed(folder: &Path, arguments: &str) -> String {
    let Output { status, stdout, stderr } = train(folder, arguments);
    let [stdout, stderr] = [stdout, stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(status.success(), "{arguments}: {stderr}");
    stdout
}

fn outcome(folder: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(folder.join("cv/cross-validation.json")).unwrap()).unwrap()
}

#[test]
fn every_image_is_predicted_by_the_fold_that_has_not_learned_from_it() {
    let root = tempfile::tempdir().unwrap();
    programs(root.path());
    discs(&root.path().join("data"));
    let flags = "--data data --out cv --folds 3 --all --epochs 2 --base-width 4 --crop 32 --device cpu --plain";
    let said = succeed(root.path(), flags);
    let first = outcome(root.path());
    let images = first["images"].as_array().unwrap();
    let names: BTreeSet<_> = images.iter().map(|image| image["name"].as_str().unwrap()).collect();
    assert_eq!((images.len(), names.len()), (7, 7), "{first}");
    for image in images {
        let split = root.path().join(format!("cv/fold-{}/split.json", image["fold"]));
        let split: Value = serde_json::from_str(&fs::read_to_string(split).unwrap()).unwrap();
        assert!(split["validation"].as_array().unwrap().contains(&image["name"]), "{image} in {split}");
        let map = root.path().join(format!("cv/out-of-fold/{}.png", image["name"].as_str().unwrap()));
        assert_eq!(image::image_dimensions(map).unwrap(), (32, 36));
    }
    // Each fold's own validation has the same networks on the same images.
    let by_fold = |fold: usize| {
        let own: Vec<_> =
            images.iter().filter(|image| image["fold"] == fold).map(|image| image["dice"].as_f64()).collect();
        own.iter().flatten().sum::<f64>() / own.len() as f64
    };
    let logged = first["folds"]["metrics"]["validation dice_per_image"]["values"].as_array().unwrap();
    for (fold, logged) in (1..).zip(logged) {
        assert!((by_fold(fold) - logged.as_f64().unwrap()).abs() < 1e-9, "fold {fold}: {} {logged}", by_fold(fold));
    }
    let exported = [1, 2, 3].map(|fold| format!("--checkpoint cv/fold-{fold} --out cv/fold-{fold}.onnx"));
    assert_eq!(exports(root.path()), exported);
    assert!(said.contains("next:\n  seg infer --model cv/fold-1.onnx --model cv/fold-2.onnx"), "{said}");
    for file in ["report.html", "images.csv"] {
        assert!(root.path().join("cv").join(file).exists(), "{file}");
    }

    // It goes on where it stopped, here before the second fold.
    for file in ["best.safetensors", "last.safetensors", "log.jsonl", "sessions.jsonl", "report.html"] {
        fs::remove_file(root.path().join("cv/fold-2").join(file)).unwrap();
    }
    fs::remove_file(root.path().join("cv/cross-validation.json")).unwrap();
    let said = succeed(root.path(), "--resume cv --plain");
    for (part, count) in [("fold       1 of 3 is done", 1), ("fold       2 of 3 is done", 0), ("epoch 2/2", 1)] {
        assert_eq!(said.matches(part).count(), count, "{part}: {said}");
    }
    assert_eq!(outcome(root.path())["images"], first["images"]);
    assert_eq!(exports(root.path()), exported[1..2], "only the fold that learned again is exported again");

    // Without the program beside it, the commands are given.
    fs::remove_file(root.path().join("bin/export")).unwrap();
    let Output { status, stdout, stderr } = train(root.path(), "--resume cv --plain");
    let [stdout, stderr] = [stdout, stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(status.success() && stderr.contains("the folds are not exported: there is no program"), "{stderr}");
    assert!(stdout.contains("seg export --checkpoint cv/fold-3 --out cv/fold-3.onnx\n  seg infer"), "{stdout}");
}

#[test]
fn what_cannot_begin_or_go_on_is_named() {
    let root = tempfile::tempdir().unwrap();
    programs(root.path());
    discs(&root.path().join("data"));
    fs::create_dir(root.path().join("taken")).unwrap();
    fs::write(root.path().join("taken/a.txt"), "mine").unwrap();
    for (arguments, status, part) in [
        ("--data data --folds 3", 2, "--fold <I>|--all"),
        ("--data data --all", 2, "--folds <K>"),
        ("--data data --folds 3 --fold 1 --all", 2, "cannot be used with"),
        ("--data data --folds 3 --all --print-config", 2, "cannot be used with"),
        ("--data data --folds 9 --all --out cv", 1, "cannot cut 9 parts from 7 image(s)"),
        ("--data data --folds 3 --all --crop 32 --base-width 4 --out taken", 1, "`taken`: it is not empty"),
    ] {
        let output = train(root.path(), arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{arguments}: {error}");
        assert!(error.contains(part), "{arguments}: {error}");
    }
    assert!(!root.path().join("cv").exists());
}
