//! Measures one model in a process of its own.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use seg_benches::bench_file;
use serde::Deserialize;

/// The model to run and the device to run it on.
pub(crate) struct Measurement<'c> {
    pub(crate) python: &'c Path,
    pub(crate) model: &'c Path,
    pub(crate) provider: &'c str,
    pub(crate) size: [usize; 2],
    /// True if a model of any size is opened for this one alone.
    pub(crate) for_size: bool,
    pub(crate) threads: usize,
    pub(crate) runs: usize,
}

/// The measured times.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Measured {
    /// The build of ONNX Runtime.
    pub(crate) version: String,
    pub(crate) seconds_median: f64,
    /// The processor time of one run over all threads.
    pub(crate) cpu_seconds: f64,
    /// The peak of the process's memory in bytes, above what it had before the session.
    pub(crate) rss_growth: u64,
    /// The sum of the outputs' absolute values.
    pub(crate) output_sum: f64,
}

impl Measurement<'_> {
    /// Starts the process and reads its output.
    pub(crate) fn run(&self) -> Result<Measured> {
        let script = bench_file("onnxruntime/measure.py");
        let [height, width] = self.size.map(|side| side.to_string());
        let output = Command::new(self.python)
            .args([script.as_path(), self.model])
            .args(["--provider", self.provider, "--size", &height, &width])
            .args(["--threads", &self.threads.to_string(), "--runs", &self.runs.to_string()])
            .args(self.for_size.then_some("--for-size"))
            .output()
            .with_context(|| format!("cannot start `{}`", self.python.display()))?;
        let model = self.model.display();
        ensure!(output.status.success(), "cannot run `{model}`: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).with_context(|| format!("cannot read what was measured of `{model}`"))
    }
}
