//! Measures ours, in a process of its own.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use burn::tensor::Tensor;
use clap::{Args, ValueEnum};
use seg_benches::median;
use seg_nets::device::DeviceChoice;
use seg_nets::network::NetworkName;
use seg_nets::precision::Precision;
use seg_nets::weights::Weights;
use seg_train::learn::learner::Learner;
use seg_train::learn::optimizer::Optimizer;
use seg_train::run::config::TrainingConfig;
use serde::{Deserialize, Serialize};

use crate::batch::batch;

const LEARNING_RATE: f64 = 2e-4;
const WEIGHT_DECAY: f32 = 5e-5;
/// The unit of the times in `/proc/self/stat`.
const TICKS_PER_SECOND: f64 = 100.0;

/// The measurement of one process; `pytorch/measure.py` has the same flags.
///
/// The number of threads is `RAYON_NUM_THREADS`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Measurement {
    /// The network that the weights are of
    #[arg(long, default_value_t = NetworkName::AmsUnet)]
    pub(crate) network: NetworkName,
    /// The kind of a step
    #[arg(long)]
    pub(crate) task: Task,
    /// The height and width of the images, in pixels
    #[arg(long, num_args = 2, value_names = ["HEIGHT", "WIDTH"])]
    pub(crate) size: Vec<usize>,
    /// Images of a step
    #[arg(long)]
    pub(crate) batch: usize,
    /// Timed steps, after one that is not
    #[arg(long)]
    pub(crate) steps: usize,
    /// A `.safetensors` file to start from
    #[arg(long)]
    pub(crate) weights: PathBuf,
    /// The device
    #[arg(long)]
    pub(crate) device: DeviceChoice,
    /// The bits of the maps between layers
    #[arg(long, default_value = "fp32")]
    pub(crate) precision: Precision,
    /// Compute the maps inside a stage again for its gradient
    #[arg(long)]
    pub(crate) checkpoint_activations: bool,
    /// A `.safetensors` file for the weights after the last training step
    #[arg(long)]
    pub(crate) save: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Task {
    /// Forward, loss, backward and the optimizer's step
    Train,
    /// Forward without gradients
    Forward,
}

impl Task {
    /// Returns the name on a command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Forward => "forward",
        }
    }
}

/// The result of a process; both sides print it as one line of JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// The median over the timed steps.
    pub(crate) seconds_median: f64,
    /// The fastest timed step.
    pub(crate) seconds_min: f64,
    /// Processor time of all threads per timed step, in user and system mode.
    pub(crate) cpu_seconds: f64,
    /// The resident memory before the first step, in bytes: the program, the network and the batch.
    pub(crate) rss_before: u64,
    /// The most resident memory at any time, in bytes.
    pub(crate) rss_peak: u64,
    /// The loss of every training step; the first is of the step that is not timed.
    pub(crate) losses: Vec<f64>,
    /// The conditions of the measurement.
    pub(crate) version: String,
}

impl Measurement {
    /// Measures in this process.
    pub(crate) fn run(&self) -> Result<Measured> {
        let batch = batch(self.batch, [self.size[0], self.size[1]]);
        let (device, _) = self.device.open()?;
        let weights = Weights::read(&self.weights)?;
        match self.task {
            Task::Train => {
                let net = weights.to_network(&device.clone().autodiff())?;
                let Self { precision, checkpoint_activations, .. } = *self;
                let training = TrainingConfig { precision, checkpoint_activations, ..TrainingConfig::default() };
                let mut learner = Learner::new(net, &[device], training, Optimizer::new(WEIGHT_DECAY), None);
                let measured = self.time(|| {
                    let [loss, ..] = learner.learn(batch.clone(), 1.0);
                    learner.step(LEARNING_RATE);
                    Some(loss)
                })?;
                if let Some(save) = &self.save {
                    Weights::from_network(&learner.net()).write(save, None)?;
                }
                Ok(measured)
            }
            Task::Forward => {
                let net = weights.to_network(&device)?;
                let images = Tensor::<4>::from_data(batch.images, &device).cast(self.precision.dtype());
                self.time(|| {
                    net.forward(images.clone()).into_data();
                    None
                })
            }
        }
    }

    /// Times a step, which returns its loss if it has one.
    fn time(&self, mut step: impl FnMut() -> Option<f64>) -> Result<Measured> {
        let rss_before = resident("VmRSS")?;
        let mut losses = Vec::from_iter(step());
        let mut seconds = Vec::with_capacity(self.steps);
        let cpu_begun = cpu_seconds()?;
        for _ in 0..self.steps {
            let begun = Instant::now();
            losses.extend(step());
            seconds.push(begun.elapsed().as_secs_f64());
        }
        let cpu_seconds = (cpu_seconds()? - cpu_begun) / self.steps as f64;
        Ok(Measured {
            seconds_min: seconds.iter().copied().fold(f64::INFINITY, f64::min),
            seconds_median: median(seconds),
            cpu_seconds,
            rss_before,
            rss_peak: resident("VmHWM")?,
            losses,
            version: format!("seg-train {}", env!("CARGO_PKG_VERSION")),
        })
    }
}

/// Reads a field of this process's status, in bytes.
fn resident(field: &str) -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status").context("cannot read this process's memory")?;
    let value = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let kibibytes = value.and_then(|value| value.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kibibytes.with_context(|| format!("`/proc/self/status` has no {field} in kB"))? * 1024)
}

/// Returns the time of all threads of this process so far, in user and system mode.
fn cpu_seconds() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat").context("cannot read this process's times")?;
    // The two times are the 14th and 15th field; the second is the program's name in parentheses,
    // which may hold spaces.
    let fields = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().skip(11).take(2));
    let ticks = fields.into_iter().flatten().map(str::parse::<u64>).sum::<Result<u64, _>>();
    Ok(ticks.context("`/proc/self/stat` has no times")? as f64 / TICKS_PER_SECOND)
}
