//! The two sides: programs that measure and print one line of JSON.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fmt};

use anyhow::{Context, Result, ensure};
use seg_benches::{bench_file, typed_program};
use seg_nets::device::DeviceChoice;
use seg_nets::precision::Precision;

use crate::measure::{Measured, Measurement};

/// The variable that names the Python.
pub(crate) const PYTHON: &str = "SEG_BENCH_PYTHON";

/// The settings of PyTorch; on a GPU it looks for the fastest convolutions first in each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    /// True if the channels of a pixel lie side by side.
    pub(crate) channels_last: bool,
    pub(crate) numbers: Numbers,
}

/// The numbers in PyTorch's products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Numbers {
    Fp32,
    /// float32 rounded to 10 bits, on a GPU's tensor cores.
    Tf32,
    /// bfloat16 where autocast uses it, TF32 elsewhere.
    Bf16,
}

impl Setting {
    /// Returns the settings to compare with for a precision of ours: every setting that may be the
    /// fastest there.
    pub(crate) fn all(precision: Precision, device: DeviceChoice) -> Vec<Self> {
        let numbers: &[Numbers] = match (precision, device) {
            (Precision::Bf16, _) => &[Numbers::Bf16],
            (Precision::Fp32, DeviceChoice::Cpu) => &[Numbers::Fp32],
            (Precision::Fp32, _) => &[Numbers::Fp32, Numbers::Tf32],
        };
        let layouts = |numbers: &Numbers| [false, true].map(|channels_last| Self { channels_last, numbers: *numbers });
        numbers.iter().flat_map(layouts).collect()
    }

    /// Returns the flags of `pytorch/measure.py`.
    fn flags(self) -> impl Iterator<Item = &'static str> {
        let numbers: &[&str] = match self.numbers {
            Numbers::Fp32 => &[],
            Numbers::Tf32 => &["--tf32"],
            Numbers::Bf16 => &["--tf32", "--amp"],
        };
        numbers.iter().copied().chain(self.channels_last.then_some("--channels-last"))
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers = match self.numbers {
            Numbers::Fp32 => "fp32",
            Numbers::Tf32 => "tf32",
            Numbers::Bf16 => "bf16",
        };
        write!(f, "PyTorch, {numbers}, {}", if self.channels_last { "channels last" } else { "contiguous" })
    }
}

/// The side that is measured.
#[derive(Clone, Debug)]
pub(crate) enum Side {
    /// This program.
    Ours,
    /// A Python that has PyTorch, eager.
    PyTorch(PathBuf, Setting),
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
            Self::PyTorch(python, setting) => {
                let mut command = Command::new(python);
                command.arg(bench_file("pytorch/measure.py")).args(["--threads", &threads.to_string()]);
                command.args(setting.flags());
                command
            }
        };
        command.args(["--network", measurement.network.as_str()]);
        command.args(["--task", measurement.task.name(), "--size"]).args(measurement.size.iter().map(usize::to_string));
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
            Self::PyTorch(python, _) => python.display().to_string(),
        }
    }
}

/// Returns the Python of the flag, or else of the environment.
pub(crate) fn python(flag: Option<&Path>) -> Result<PathBuf> {
    let variable = || env::var(PYTHON).ok().map(|name| typed_program(&name)).transpose();
    let python = flag.map_or_else(variable, |python| Ok(Some(python.into())))?;
    python.with_context(|| {
        let requirements = bench_file("pytorch/requirements.txt");
        let requirements = requirements.display();
        format!(
            "no Python with PyTorch to compare with; make one by `python3 -m venv VENV && VENV/bin/pip install -r {requirements}` and name it by `--python VENV/bin/python` or {PYTHON}"
        )
    })
}
