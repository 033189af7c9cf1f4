//! The two sides: programs that measure and print one line of JSON.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use seg_train::precision::Precision;

use crate::measure::{Measured, Measurement, Task};

/// The variable that names the Python.
pub(crate) const PYTHON: &str = "SEG_BENCH_PYTHON";

/// Who measures.
#[derive(Clone, Debug)]
pub(crate) enum Side {
    /// This program.
    Ours,
    /// A Python that has PyTorch, eager; in bf16 with what else suits a GPU best: channels last, and TF32 where autocast keeps 32 bits.
    PyTorch(PathBuf),
}

impl Side {
    /// Measures in a new process.
    pub(crate) fn measure(&self, measurement: &Measurement, threads: usize) -> Result<Measured> {
        let mut command = match self {
            Self::Ours => {
                let mut command = Command::new(env::current_exe().context("cannot find this program")?);
                command.args(["measure", "--precision", measurement.precision.name()]);
                command.env("RAYON_NUM_THREADS", threads.to_string());
                command
            }
            Self::PyTorch(python) => {
                let mut command = Command::new(python);
                command.arg(pytorch_folder().join("measure.py")).args(["--threads", &threads.to_string()]);
                if measurement.precision == Precision::Bf16 {
                    command.args(["--channels-last", "--amp"]);
                }
                command
            }
        };
        let task = match measurement.task {
            Task::Train => "train",
            Task::Forward => "forward",
        };
        command.args(["--task", task, "--size"]).args(measurement.size.iter().map(usize::to_string));
        command.args(["--batch", &measurement.batch.to_string(), "--steps", &measurement.steps.to_string()]);
        command.arg("--weights").arg(&measurement.weights).args(["--device", &measurement.device.to_string()]);
        if let Some(save) = &measurement.save {
            command.arg("--save").arg(save);
        }
        let output = command.output().with_context(|| format!("cannot start `{}`", self.program()))?;
        let messages = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`{}` cannot measure: {}\n{messages}", self.program(), output.status);
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("`{}` printed no measurement\n{messages}", self.program()))
    }

    fn program(&self) -> String {
        match self {
            Self::Ours => "training measure".into(),
            Self::PyTorch(python) => python.display().to_string(),
        }
    }
}

/// The Python of the flag, or else of the environment.
pub(crate) fn python(flag: Option<&Path>) -> Result<PathBuf> {
    let python = flag.map(PathBuf::from).or_else(|| env::var_os(PYTHON).map(PathBuf::from));
    python.with_context(|| {
        let requirements = pytorch_folder().join("requirements.txt");
        let requirements = requirements.display();
        format!(
            "no Python with PyTorch to compare with; make one by `python3 -m venv VENV && VENV/bin/pip install -r {requirements}` and name it by `--python VENV/bin/python` or {PYTHON}"
        )
    })
}

fn pytorch_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("pytorch")
}
