//! The comparison: what is measured, how often, and its table.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use burn::tensor::Device;
use seg_benches::{median, median_ratio};
use seg_train::device::DeviceChoice;
use seg_train::model::AmsUnetConfig;
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
        let pytorch = Side::PyTorch(self.python.clone());
        let (cases, peers) = match self.device {
            DeviceChoice::Cpu => (CPU_CASES, vec![pytorch]),
            _ => (GPU_CASES, vec![pytorch, Side::PyTorchAtBest(self.python.clone())]),
        };
        println!(
            "{} rounds in turn on {}, {} threads; ours, PyTorch and ours / PyTorch",
            self.rounds, self.device, self.threads
        );
        for (name, task, size, batch, steps) in cases.iter().copied() {
            let weights = weights.clone();
            let measurement =
                Measurement { task, size: size.to_vec(), batch, steps, weights, device: self.device, save: None };
            for peer in &peers {
                println!("{name}");
                self.compare(&measurement, peer)?;
            }
        }
        Ok(())
    }

    /// Prints the losses of both sides and how far their weights part, and fails where the steps are not the same.
    fn compare_steps(&self, weights: &Path) -> Result<()> {
        let measure = |side: &Side, name: &str| -> Result<_> {
            let save = weights.with_file_name(name);
            let (task, size, weights) = (Task::Train, LOSSES_SIZE.to_vec(), weights.into());
            let save = Some(save);
            let measurement =
                Measurement { task, size, batch: 2, steps: LOSSES_STEPS, weights, device: self.device, save };
            let measured = side.measure(&measurement, self.threads)?;
            let learned = Weights::read(measurement.save.as_deref().expect("it was named above"))?;
            Ok((measured, learned))
        };
        let (ours, our_weights) = measure(&Side::Ours, "ours.safetensors")?;
        let (theirs, their_weights) = measure(&Side::PyTorch(self.python.clone()), "pytorch.safetensors")?;
        println!("{} against {}, the same weights and the same batch", ours.version, theirs.version);
        let apart = ours.losses.iter().zip(&theirs.losses).map(|(ours, theirs)| (ours / theirs - 1.0).abs());
        let apart = apart.fold(0.0, f64::max);
        let [ours, theirs] = [&ours, &theirs].map(|side| side.losses[LOSSES_STEPS]);
        println!("loss after {LOSSES_STEPS} steps: {ours:.6} and {theirs:.6}; at most {apart:.1e} apart on the way");
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
        Ok(())
    }

    fn compare(&self, measurement: &Measurement, peer: &Side) -> Result<()> {
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
        println!("  {}", theirs[0].version);
        for (name, quantity) in quantities {
            let [ours, theirs] = [&ours, &theirs].map(|side| side.iter().map(quantity).collect::<Vec<_>>());
            let ratio = median_ratio(&ours, &theirs);
            println!("  {name:36} {:9.0} {:9.0} {ratio:8.2}", median(ours), median(theirs));
        }
        Ok(())
    }
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
