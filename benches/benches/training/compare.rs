//! The comparison: what is measured, how often, and its table.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use burn::tensor::Device;
use seg_benches::{median, median_ratio};
use seg_train::device::DeviceChoice;
use seg_train::model::AmsUnetConfig;
use seg_train::precision::Precision;
use seg_train::weights::Weights;

use crate::measure::{Measured, Measurement, Task};
use crate::side::Side;

/// A name, what a step is, the size, the images and the timed steps.
type Case = (&'static str, Task, [usize; 2], usize, usize);

const CPU_CASES: &[Case] = &[
    ("train 2x3x256x256", Task::Train, [256, 256], 2, 3),
    ("train 1x3x480x480", Task::Train, [480, 480], 1, 3),
    ("forward 1x3x512x512", Task::Forward, [512, 512], 1, 5),
];
/// The first steps, which choose kernels, are in no median of so many.
const GPU_CASES: &[Case] = &[
    ("train 8x3x256x256", Task::Train, [256, 256], 8, 40),
    ("train 16x3x256x256", Task::Train, [256, 256], 16, 40),
    ("train 8x3x480x480", Task::Train, [480, 480], 8, 40),
    ("train 16x3x480x480", Task::Train, [480, 480], 16, 40),
];
/// Small, so that many steps are quick.
const LOSSES_SIZE: [usize; 2] = [64, 64];
const LOSSES_STEPS: usize = 20;
/// How far the losses of the two sides may part within [`LOSSES_STEPS`], relative to the loss: rounding in another order comes to
/// some 1e-6, while AdamW with Burn's own epsilon is off by a fifth.
const LOSSES_TOLERANCE: f64 = 1e-4;
/// How far the weights may part, relative to how far they have moved, both as L2 norms over what is learned: AdamW divides a
/// gradient by its own size, so where one is nearly zero, its rounding moves a weight as far as any other.
const WEIGHTS_TOLERANCE: f64 = 0.05;
/// How far our losses in bf16 may depart from those in float32, beside how far PyTorch's autocast departs: both round at the same places
/// but for what PyTorch keeps in 32 bits, and neither rounds as the other.
const BF16_DEPARTURE: f64 = 2.0;
const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// Ours against PyTorch.
pub(crate) struct Comparison {
    /// The Python of the other side.
    pub(crate) python: PathBuf,
    /// What computes on both sides.
    pub(crate) device: DeviceChoice,
    /// How often each case is measured.
    pub(crate) rounds: usize,
    /// The threads of each side.
    pub(crate) threads: usize,
}

impl Comparison {
    /// Measures everything and prints it.
    pub(crate) fn run(&self) -> Result<()> {
        let folder = tempfile::tempdir()?;
        let weights = folder.path().join("weights.safetensors");
        let device = Device::flex();
        device.seed(0);
        Weights::of(&AmsUnetConfig::new().init(&device)).write(&weights, None)?;
        self.compare_steps(&weights)?;
        let (cases, precisions): (_, &[Precision]) = match self.device {
            DeviceChoice::Cpu => (CPU_CASES, &[Precision::Fp32]),
            _ => (GPU_CASES, &[Precision::Fp32, Precision::Bf16]),
        };
        println!(
            "{} rounds in turn on {}, {} threads; ours, PyTorch and ours / PyTorch",
            self.rounds, self.device, self.threads
        );
        for (name, task, size, batch, steps) in cases.iter().copied() {
            for precision in precisions.iter().copied() {
                let (size, weights, device) = (size.to_vec(), weights.clone(), self.device);
                println!("{name}");
                let (checkpoint_activations, save) = (false, None);
                self.compare(&Measurement {
                    task,
                    size,
                    batch,
                    steps,
                    weights,
                    device,
                    precision,
                    checkpoint_activations,
                    save,
                })?;
            }
        }
        Ok(())
    }

    /// Prints the losses of both sides and how far their weights part, and fails where the steps are not the same.
    fn compare_steps(&self, weights: &Path) -> Result<()> {
        let pytorch = Side::PyTorch(self.python.clone());
        let measure = |side: &Side, precision: Precision| -> Result<_> {
            let learned = weights.with_file_name("learned.safetensors");
            let (size, save) = (LOSSES_SIZE.to_vec(), Some(learned.clone()));
            let (steps, weights, device) = (LOSSES_STEPS, weights.into(), self.device);
            let measurement = Measurement {
                task: Task::Train,
                size,
                batch: 2,
                steps,
                weights,
                device,
                precision,
                checkpoint_activations: false,
                save,
            };
            Ok((side.measure(&measurement, self.threads)?, Weights::read(&learned)?))
        };
        let (ours, our_weights) = measure(&Side::Ours, Precision::Fp32)?;
        let (theirs, their_weights) = measure(&pytorch, Precision::Fp32)?;
        println!("{} against {}, the same weights and the same batch", ours.version, theirs.version);
        let apart = losses_apart(&ours, &theirs);
        println!(
            "loss after {LOSSES_STEPS} steps: {:.6} and {:.6}; at most {apart:.1e} apart on the way",
            ours.losses[LOSSES_STEPS], theirs.losses[LOSSES_STEPS]
        );
        ensure!(
            apart <= LOSSES_TOLERANCE,
            "the losses part by more than {LOSSES_TOLERANCE:e}: the steps are not the same"
        );
        let moved = distance(&Weights::read(weights)?, &our_weights);
        let apart = distance(&our_weights, &their_weights) / moved;
        println!("the weights have moved by {moved:.3} (L2), and are {apart:.1e} of that apart");
        ensure!(
            apart <= WEIGHTS_TOLERANCE,
            "the weights part by more than {WEIGHTS_TOLERANCE} of their way: the steps are not the same"
        );
        let [(ours_bf16, _), (theirs_bf16, _)] =
            [measure(&Side::Ours, Precision::Bf16)?, measure(&pytorch, Precision::Bf16)?];
        let [ours, theirs] = [losses_apart(&ours_bf16, &ours), losses_apart(&theirs_bf16, &theirs)];
        println!("in bf16 the losses depart from those in float32 by at most {ours:.1e} and {theirs:.1e}");
        ensure!(
            ours <= BF16_DEPARTURE * theirs,
            "our losses depart more than {BF16_DEPARTURE} times as far as PyTorch's: bf16 loses what it need not"
        );
        Ok(())
    }

    fn compare(&self, measurement: &Measurement) -> Result<()> {
        let peer = Side::PyTorch(self.python.clone());
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            ours.push(Side::Ours.measure(measurement, self.threads)?);
            theirs.push(peer.measure(measurement, self.threads)?);
        }
        type Quantity = fn(&Measured) -> f64;
        let quantities: [(&str, Quantity); 4] = [
            ("ms per step", |side| side.seconds_median * 1e3),
            ("processor ms per step", |side| side.cpu_seconds * 1e3),
            ("peak memory in MiB, whole process", |side| side.rss_peak as f64 / MEBIBYTE),
            ("peak memory in MiB, above the start", |side| (side.rss_peak - side.rss_before) as f64 / MEBIBYTE),
        ];
        println!("  {} and {}", ours[0].version, theirs[0].version);
        for (name, quantity) in quantities {
            let [ours, theirs] = [&ours, &theirs].map(|side| side.iter().map(quantity).collect::<Vec<_>>());
            let ratio = median_ratio(&ours, &theirs);
            println!("  {name:36} {:9.0} {:9.0} {ratio:8.2}", median(ours), median(theirs));
        }
        Ok(())
    }
}

/// How far the losses of two sides are apart at most, relative to the loss.
fn losses_apart(one: &Measured, other: &Measured) -> f64 {
    one.losses.iter().zip(&other.losses).map(|(one, other)| (one / other - 1.0).abs()).fold(0.0, f64::max)
}

/// The L2 norm of the difference over all that is learned: not over running statistics, which are of another order.
fn distance(from: &Weights, to: &Weights) -> f64 {
    let learned = from.tensors().iter().filter(|(name, _)| !name.contains("running_"));
    let squares = learned.map(|(name, from)| {
        let pairs = from.iter().zip(&to.tensors()[name]);
        pairs.map(|(from, to)| f64::from(from - to).powi(2)).sum::<f64>()
    });
    squares.sum::<f64>().sqrt()
}
