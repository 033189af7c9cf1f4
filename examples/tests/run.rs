//! Each example does what its page says, on a part of the sample and on the CPU.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// The images that are copied from the sample, so that an epoch takes seconds.
const IMAGES: usize = 5;

/// Copies a few images of the sample with their masks into a folder.
fn data() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sample/nuclei/test");
    for part in ["images", "masks"] {
        fs::create_dir(folder.path().join(part)).unwrap();
        let mut files: Vec<PathBuf> =
            fs::read_dir(sample.join(part)).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for file in &files[..IMAGES] {
            fs::copy(file, folder.path().join(part).join(file.file_name().unwrap())).unwrap();
        }
    }
    folder
}

/// Runs a program and returns what it prints.
fn run(program: &str, args: &[&Path]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(output.status.success(), "{program}: {stdout}{stderr}");
    stdout
}

/// Runs a program that must fail, and returns its message.
fn fail(program: &str, args: &[&Path]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(!output.status.success(), "{program} {args:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_network_is_trained_exported_and_used() {
    let (data, out) = (data(), tempfile::tempdir().unwrap());
    let path = |name: &str| out.path().join(name);
    let text = run(env!("CARGO_BIN_EXE_train_epoch"), &[data.path(), &path("run")]);
    assert!(text.contains("step 2: loss ") && text.contains("epoch 1: Dice per image 0."), "{text}");

    let model = path("model.onnx");
    let text = run(env!("CARGO_BIN_EXE_export_checkpoint"), &[&path("run/best.safetensors"), &model]);
    assert!(text.ends_with(&format!(" {} bytes\n", fs::metadata(&model).unwrap().len())), "{text}");

    let images = data.path().join("images");
    let first = fs::read_dir(&images).unwrap().next().unwrap().unwrap().path();
    let segment_image = env!("CARGO_BIN_EXE_segment_image");
    let text = run(segment_image, &[&model, &first, &path("mask.png"), Path::new("cpu")]);
    let size = image::image_dimensions(&first).unwrap();
    assert_eq!(image::image_dimensions(path("mask.png")).unwrap(), size);
    let pixels = |line: &str| line.split_whitespace().nth_back(1).unwrap().parse::<u32>().unwrap();
    assert_eq!(text.lines().map(pixels).sum::<u32>(), size.0 * size.1, "{text}");
    let message = fail(segment_image, &[&model, &first, &path("other.png"), Path::new("abacus")]);
    assert!(message.contains("no provider `abacus`"), "{message}");

    let text = run(env!("CARGO_BIN_EXE_segment_folder"), &[&model, &images, &path("predictions")]);
    assert_eq!(text.lines().count(), IMAGES, "{text}");
    for folder in ["masks", "overlays"] {
        let files = fs::read_dir(path("predictions").join(folder)).unwrap().count();
        assert_eq!(files, IMAGES, "{folder}");
    }
}

#[test]
fn a_pass_is_added() {
    let text = run(env!("CARGO_BIN_EXE_add_pass"), &[]);
    assert!(text.starts_with("drop_repeated_relu: second\n"), "{text}");
    assert!(text.ends_with("both compute the same values\n"), "{text}");
}
