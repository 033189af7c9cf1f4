//! `train evaluate` as a user runs it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use burn::tensor::Device;
use image::{GrayImage, RgbImage};
use seg_data::Dataset;
use seg_nets::amsunet::AmsUnetConfig;
use seg_nets::checkpoint::Checkpoint;
use seg_nets::weights::Weights;
use seg_train::data::augment::Augmentation;
use seg_train::run::config::Config;

/// Creates a data set of two parts, each of an image named `1` with its field of view, and a
/// checkpoint for it.
fn workplace(folder: &Path) {
    let data = folder.join("data");
    for part in ["train", "test"] {
        let place = |kind: &str| {
            fs::create_dir_all(data.join(part).join(kind)).unwrap();
            data.join(part).join(kind).join("1.png")
        };
        RgbImage::from_fn(20, 18, |x, y| [90, x as u8 * 9, y as u8 * 9].into()).save(place("images")).unwrap();
        GrayImage::from_fn(20, 18, |x, _| [if x > 8 { 255 } else { 0 }].into()).save(place("masks")).unwrap();
        GrayImage::from_pixel(20, 18, [255].into()).save(place("fields_of_view")).unwrap();
    }
    #[cfg(unix)]
    {
        // A mask that lies elsewhere is no less one of the data set.
        let mask = data.join("train/masks/1.png");
        fs::rename(&mask, folder.join("drawn.png")).unwrap();
        std::os::unix::fs::symlink(folder.join("drawn.png"), mask).unwrap();
    }
    let network = AmsUnetConfig::new().with_base_width(4);
    let weights = Weights::from_network(&network.init(&Device::flex()));
    let config = Config::recipe(data.clone(), network, Augmentation::recipe(None, [16, 16]));
    let contract = Some(config.contract(Dataset::open(&data).unwrap().classes));
    Checkpoint { path: folder.join("net.safetensors"), weights, contract }.write().unwrap();
}

fn evaluate(folder: &Path, arguments: &str) -> Output {
    let arguments = format!("evaluate --data data --checkpoint net.safetensors --device cpu {arguments}");
    Command::new(env!("CARGO_BIN_EXE_train")).current_dir(folder).args(arguments.split(' ')).output().unwrap()
}

/// Reads all files in a folder.
fn content(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = paths
        .flat_map(|path| if path.is_dir() { content(&path) } else { [(path.clone(), fs::read(path).unwrap())].into() });
    files.collect()
}

#[test]
fn nothing_that_is_read_is_written_over() {
    let root = tempfile::tempdir().unwrap();
    workplace(root.path());
    let before = content(root.path());
    for (arguments, part) in [
        ("--split train --save-masks data/train/masks", "data/train/masks/1.png` is the checkpoint or belongs to"),
        ("--split test --save-masks data/train/../test/images", "test/images/1.png` is the checkpoint or belongs to"),
        ("--split test --save-masks data/train/masks", "choose another `--save-masks`"),
        ("--split test --save-masks data/test/fields_of_view", "choose another `--save-masks`"),
        ("--split train --save-masks data/test/fields_of_view", "choose another `--save-masks`"),
        ("--split all --save-masks new", "two images are named `1`"),
        ("--split test --out data/train/images/1.png", "choose another `--out`"),
        ("--split test --out net.safetensors", "choose another `--out`"),
    ] {
        let output = evaluate(root.path(), arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments}: {error}");
        assert!(error.contains(part), "{arguments}: {error}");
        assert_eq!(content(root.path()), before, "{arguments}");
    }
    let output = evaluate(root.path(), "--split test --save-masks new --out scores.json");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(image::image_dimensions(root.path().join("new/1.png")).unwrap(), (20, 18));
    assert!(root.path().join("scores.json").is_file());
}
