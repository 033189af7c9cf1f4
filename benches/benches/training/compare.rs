//! The comparison: what is measured, how often, and its table.

use std::path::Path;

use anyhow::{Result, ensure};
use burn::tensor::Device;
use seg_benches::{median, median_ratio};
use seg_train::model::AmsUnetConfig;
use seg_train::weights::Weights;

use crate::measure::{Measured, Measurement, Task};
use crate::side::Side;

/// The cases: a name, what a step is, the size, the images and the timed steps.
const CASES: [(&str, Task, [usize; 2], usize, usize); 3] = [
    ("train 2x3x256x256", Task::Train, [256, 256], 2, 3),
    ("train 1x3x480x480", Task::Train, [480, 480], 1, 3),
    ("forward 1x3x512x512", Task::Forward, [512, 512], 1, 5),
];
/// Small, so that many steps are quick.
const LOSSES_SIZE: [usize; 2] = [64, 64];
const LOSSES_STEPS: usize = 20;
/// How far the losses of the two sides may part within [`LOSSES_STEPS`], relative to the loss: rounding in another order comes to
/// some 1e-6, while AdamW with Burn's own epsilon is off by a fifth.
const LOSSES_TOLERANCE: f64 = 1e-4;
const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// Ours against PyTorch.
pub(crate) struct Comparison {
    /// The other side.
    pub(crate) pytorch: Side,
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
        self.compare_losses(&weights)?;
        println!("{} rounds in turn, {} threads; ours, PyTorch and ours / PyTorch", self.rounds, self.threads);
        for (name, task, size, batch, steps) in CASES {
            let measurement = Measurement { task, size: size.to_vec(), batch, steps, weights: weights.clone() };
            println!("{name}");
            self.compare(&measurement)?;
        }
        Ok(())
    }

    /// Prints the losses of both sides, and fails where they are not those of the same steps.
    fn compare_losses(&self, weights: &Path) -> Result<()> {
        let (task, size, weights) = (Task::Train, LOSSES_SIZE.to_vec(), weights.into());
        let measurement = Measurement { task, size, batch: 2, steps: LOSSES_STEPS, weights };
        let ours = Side::Ours.measure(&measurement, self.threads)?;
        let theirs = self.pytorch.measure(&measurement, self.threads)?;
        println!("{} against {}, the same weights and the same batch", ours.version, theirs.version);
        let apart = ours.losses.iter().zip(&theirs.losses).map(|(ours, theirs)| (ours / theirs - 1.0).abs());
        let apart = apart.fold(0.0, f64::max);
        let [ours, theirs] = [&ours, &theirs].map(|side| side.losses[LOSSES_STEPS]);
        println!("loss after {LOSSES_STEPS} steps: {ours:.6} and {theirs:.6}; at most {apart:.1e} apart on the way");
        ensure!(
            apart <= LOSSES_TOLERANCE,
            "the losses part by more than {LOSSES_TOLERANCE:e}: the steps are not the same"
        );
        Ok(())
    }

    fn compare(&self, measurement: &Measurement) -> Result<()> {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            ours.push(Side::Ours.measure(measurement, self.threads)?);
            theirs.push(self.pytorch.measure(measurement, self.threads)?);
        }
        type Quantity = fn(&Measured) -> f64;
        let quantities: [(&str, Quantity); 4] = [
            ("ms per step", |side| side.seconds_median * 1e3),
            ("processor ms per step", |side| side.cpu_seconds * 1e3),
            ("peak memory in MiB, whole process", |side| side.rss_peak as f64 / MEBIBYTE),
            ("peak memory in MiB, above the start", |side| (side.rss_peak - side.rss_before) as f64 / MEBIBYTE),
        ];
        for (name, quantity) in quantities {
            let [ours, theirs] = [&ours, &theirs].map(|side| side.iter().map(quantity).collect::<Vec<_>>());
            let ratio = median_ratio(&ours, &theirs);
            println!("  {name:36} {:9.0} {:9.0} {ratio:8.2}", median(ours), median(theirs));
        }
        Ok(())
    }
}
