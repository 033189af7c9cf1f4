//! Providers that come from elsewhere, the choice among them, and models that do.

#![allow(clippy::unwrap_used)]

mod adopting;
mod choosing;
mod fused;
mod plugins;
#[path = "../../../crates/inference/tests/threshold/mod.rs"]
mod threshold;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use seg_contract::SizePolicy;
use seg_inference::library::{Build, LIBRARY_VARIABLE, Search};

/// A folder with a model, an image and a cache of its own.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        threshold::write(folder.path(), SizePolicy::Native);
        image::RgbImage::new(9, 12).save(folder.path().join("a.png")).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// Runs `seg-runtime` with an ONNX Runtime library.
    fn run(&self, library: &Path, args: &str) -> Output {
        self.command(library, args).output().unwrap()
    }

    fn command(&self, library: &Path, args: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_seg-runtime"));
        command.args(args.split_whitespace()).current_dir(self.0.path());
        command.env(LIBRARY_VARIABLE, library).env("SEG_RUNTIME_CACHE", self.path("cache"));
        command.env_remove("ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER");
        command
    }
}

/// Returns the library of a build of ONNX Runtime.
fn onnx_runtime(build: Build) -> PathBuf {
    Search::from_env(None, build).locate().unwrap().path
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
