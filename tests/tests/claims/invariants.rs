//! Invariants of the project as a whole: the dependencies that each crate must not have, and
//! repeatable exports.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use seg_export::{Options, export};
use seg_nets::checkpoint::Checkpoint;
use seg_tests::reference::Reference;

/// Returns the folder of the workspace.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Lists the names of all packages that a package is built from.
fn packages(package: &str) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "--edges", "normal,build", "--prefix", "none", "--package", package])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn each_crate_is_free_of_what_it_must_not_know() {
    for (package, needs, forbidden) in [
        ("seg-contract", "serde", &["burn", "ort", "seg-onnx", "seg-data", "seg-metrics"][..]),
        ("seg-onnx", "prost", &["burn", "ort", "seg-data", "seg-nets", "seg-inference"]),
        ("seg-data", "image", &["burn", "ort", "seg-onnx", "seg-nets", "seg-inference"]),
        ("seg-metrics", "seg-contract", &["burn", "ort", "seg-onnx", "seg-data"]),
        ("seg-report", "seg-data", &["burn", "ort", "seg-onnx"]),
        ("seg-page", "seg-page", &["burn", "ort", "seg-contract"]),
        ("seg-kernels", "rayon", &["burn", "ort", "seg-contract", "seg-onnx"]),
        ("seg-nets", "burn", &["ort", "seg-onnx", "seg-train", "seg-inference"]),
        ("seg-inference", "ort", &["burn", "seg-nets", "seg-verify", "seg-runtime"]),
        ("seg-verify", "ort", &["burn", "seg-nets", "seg-export", "seg-runtime"]),
        ("seg-serve", "axum", &["burn", "seg-nets", "seg-export", "seg-runtime"]),
        ("seg-runtime", "ort", &["burn", "seg-nets", "seg-train", "seg-export"]),
        ("seg-train", "burn", &["ort", "seg-onnx", "seg-export", "seg-runtime"]),
        ("seg-export", "burn", &["seg-train", "seg-runtime", "seg-serve"]),
    ] {
        let packages = packages(package);
        assert!(packages.iter().any(|name| name == needs), "{package}: `{needs}` is not seen, nor would the others be");
        for name in packages {
            let is = |forbidden: &&&str| name == **forbidden || name.starts_with(&format!("{forbidden}-"));
            assert_eq!(forbidden.iter().find(is), None, "{package} contains {name}");
        }
    }
}

/// Lists the Rust files below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

/// Returns whether a text holds `word` other than as the end of a longer one.
fn holds(text: &str, word: &str) -> bool {
    let longer = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| !text[..at].ends_with(longer))
}

#[test]
fn the_waist_does_no_input_or_output() {
    let words = ["fs::", "io::", "net::", "process::", "env::", "print!", "println!", "eprint!", "eprintln!"];
    let found = |folder: &str| -> Vec<_> {
        let sources = sources(&root().join(folder));
        let texts = sources.iter().map(|path| (path, fs::read_to_string(path).unwrap()));
        let found = texts.flat_map(|(path, text)| words.map(|word| holds(&text, word).then(|| (path.clone(), word))));
        found.flatten().collect()
    };
    assert_eq!(found("onnx/src"), []);
    assert_eq!(found("crates/contract/src"), []);
    assert!(!found("runtime/src").is_empty(), "nothing is found where there is something");
}

#[test]
fn the_same_weights_give_the_same_bytes_whatever_file_they_come_from() {
    let reference = Reference::open();
    let folder = tempfile::tempdir().unwrap();
    let rewritten = folder.path().join("rewritten.safetensors");
    reference.weights.write(&rewritten, None).unwrap();
    let bytes = |path: &Path| export(&Checkpoint::read(path).unwrap(), &Options::default()).unwrap().bytes;
    let [pytorch, safetensors] = ["checkpoint.pth", "weights.safetensors"].map(|name| reference.folder.join(name));
    let expected = bytes(&safetensors);
    for (name, path) in [("once more", &safetensors), ("from PyTorch's file", &pytorch), ("rewritten", &rewritten)] {
        assert!(bytes(path) == expected, "{name}: the bytes differ");
    }
}
