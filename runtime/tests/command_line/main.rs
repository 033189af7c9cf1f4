//! The program `seg-runtime`: what it writes, what it says, and how it ends. A file per claim, in
//! one test program.

#![allow(clippy::unwrap_used)]

mod adopted;
mod changed;
mod continuing;
mod eval;
mod infer;
mod inspection;
mod pictures;
mod refusals;
mod serving;
mod sharing;
mod shipped;
mod size;
#[path = "../../../crates/inference/tests/threshold/mod.rs"]
mod threshold;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use image::{GrayImage, Luma, Rgb, RgbImage};
use seg_contract::SizePolicy;
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
        Ended::from_output(self.command(args.split_whitespace()).output().unwrap())
    }

    fn json_lines(&self, name: &str) -> Vec<Value> {
        fs::read_to_string(self.path(name)).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// The end of a run of the program.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ended {
    fn from_output(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}
