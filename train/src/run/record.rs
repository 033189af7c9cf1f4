//! One epoch of a run, as its log keeps it, and how it is gathered batch by batch.

use std::fs;

use seg_contract::{ConfusionMatrix, Scores};
use serde::{Deserialize, Serialize};

/// One epoch: a line of the run's log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Counted from 1.
    pub epoch: usize,
    /// The steps of the optimizer since the run began.
    pub steps: usize,
    /// The learning rate of its last step.
    pub learning_rate: f64,
    /// The mean loss over its images.
    pub loss: f64,
    /// The cross entropy in it.
    pub cross_entropy: f64,
    /// The Dice loss in it.
    pub dice_loss: f64,
    /// The norm of the gradients, where they are clipped.
    pub gradient_norm: Option<GradientNorm>,
    /// The steps that were left out because the loss or the norm of its gradients was not finite.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: usize,
    /// The metrics on the validation part; `None` in an epoch that was not validated.
    pub validation: Option<Validation>,
    /// True if it was validated and no epoch before it was as good.
    pub best: bool,
    /// Training images seen per second of training.
    pub images_per_second: f64,
    /// The seconds that training took.
    pub training_seconds: f64,
    /// The share of them that was spent waiting for images.
    pub waiting: f64,
    /// The seconds that validation took.
    pub validation_seconds: f64,
    /// Returns the peak memory of the process, in bytes; `None` if the system does not report it.
    pub peak_memory: Option<u64>,
}

/// The sums of an epoch so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// The batches seen.
    pub batches: usize,
    /// The seconds of training.
    pub seconds: f64,
    /// The seconds of them that were spent waiting for images.
    pub waited: f64,
    images: usize,
    /// The loss and its two terms, summed over the images whose loss is finite.
    losses: [f64; 3],
    /// The images whose loss is not finite.
    #[serde(default)]
    without_loss: usize,
    steps: usize,
    /// The steps among them that were left out.
    #[serde(default)]
    left_out: usize,
    learning_rate: f64,
    /// The norm of the gradients, its mean still a sum over the steps.
    norms: Option<GradientNorm>,
}

impl Tally {
    /// Returns the number of optimizer steps.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Counts a batch: its images, its loss and the loss's two terms.
    pub fn add_batch(&mut self, images: usize, losses: [f64; 3]) {
        self.batches += 1;
        self.images += images;
        if losses[0].is_finite() {
            self.losses = std::array::from_fn(|term| self.losses[term] + losses[term] * images as f64);
        } else {
            self.without_loss += images;
        }
    }

    /// Counts a step that was left out, and returns how many of the epoch were.
    pub fn leave_out_step(&mut self, learning_rate: f64) -> usize {
        self.add_step(learning_rate, None);
        self.left_out += 1;
        self.left_out
    }

    /// Counts a step: its learning rate, and the norm of its gradients where they are clipped.
    pub fn add_step(&mut self, learning_rate: f64, norm: Option<f64>) {
        self.steps += 1;
        self.learning_rate = learning_rate;
        if let Some(norm) = norm {
            let GradientNorm { mean: sum, max } = self.norms.unwrap_or(GradientNorm { mean: 0.0, max: 0.0 });
            self.norms = Some(GradientNorm { mean: sum + norm, max: max.max(norm) });
        }
    }

    /// Creates the record of epoch `epoch`, counted from 0 and not validated yet, after `steps`
    /// steps in the epochs before.
    pub fn record(&self, epoch: usize, steps: usize) -> EpochRecord {
        let learned_from = self.images - self.without_loss;
        let [loss, cross_entropy, dice_loss] = self.losses.map(|sum| sum / learned_from.max(1) as f64);
        let moved = self.steps - self.left_out;
        EpochRecord {
            epoch: epoch + 1,
            steps: steps + self.steps,
            learning_rate: self.learning_rate,
            loss,
            cross_entropy,
            dice_loss,
            gradient_norm: self.norms.map(|norms| GradientNorm { mean: norms.mean / moved as f64, ..norms }),
            left_out: self.left_out,
            validation: None,
            best: false,
            images_per_second: if self.seconds > 0.0 { self.images as f64 / self.seconds } else { 0.0 },
            training_seconds: self.seconds,
            waiting: if self.seconds > 0.0 { self.waited / self.seconds } else { 0.0 },
            validation_seconds: 0.0,
            peak_memory: None,
        }
    }
}

/// Returns whether a field is left out of the log.
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// The global L2 norm of an epoch's gradients before clipping.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GradientNorm {
    /// The mean over the steps.
    pub mean: f64,
    /// The largest.
    pub max: f64,
}

/// The scores of an epoch on the validation part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// The metrics.
    #[serde(flatten)]
    pub scores: Scores,
    /// The pixels that they were counted from, over all images.
    pub confusion: ConfusionMatrix,
}

impl EpochRecord {
    /// Returns a value of each record that has it, by the epoch.
    pub(crate) fn points(records: &[Self], value: fn(&Self) -> Option<f64>) -> Vec<(f64, f64)> {
        records.iter().filter_map(|record| Some((record.epoch as f64, value(record)?))).collect()
    }

    /// Returns the duration of the epoch in seconds, including validation.
    pub fn seconds(&self) -> f64 {
        self.training_seconds + self.validation_seconds
    }

    /// Says how many steps were left out because the loss or the norm of its gradients was not
    /// finite; `None` if none was.
    pub fn left_out_text(&self) -> Option<String> {
        match self.left_out {
            0 => None,
            1 => Some("1 step left out, not finite".into()),
            steps => Some(format!("{steps} steps left out, not finite")),
        }
    }

    /// Returns the Dice per image on the validation part, by which the best epoch is chosen.
    pub fn dice(&self) -> Option<f64> {
        self.validation.as_ref().map(|validation| validation.scores.dice_per_image)
    }
}

/// Returns the peak memory of the process, in bytes; `None` if the system does not report it.
pub(crate) fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kibibytes =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB")?.trim().parse().ok());
    kibibytes.map(|kibibytes: u64| kibibytes * 1024)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    #[test]
    fn a_tally_weighs_batches_by_their_images() {
        let mut tally = Tally::default();
        tally.add_batch(2, [1.0, 0.75, 0.25]);
        tally.add_step(0.1, Some(4.0));
        tally.add_batch(1, [4.0, 3.0, 1.0]);
        tally.add_step(0.2, Some(2.0));
        (tally.seconds, tally.waited) = (1.5, 0.75);
        // A state that is saved in the middle of an epoch goes on as if nothing had happened.
        let tally: Tally = serde_json::from_str(&serde_json::to_string(&tally).unwrap()).unwrap();
        let record = tally.record(4, 8);
        assert_eq!((record.epoch, record.steps, record.learning_rate), (5, 10, 0.2));
        assert_eq!([record.loss, record.cross_entropy, record.dice_loss], [2.0, 1.5, 0.5]);
        assert_eq!(record.gradient_norm, Some(GradientNorm { mean: 3.0, max: 4.0 }));
        assert_eq!((record.images_per_second, record.training_seconds, record.waiting), (2.0, 1.5, 0.5));
    }

    #[test]
    fn a_step_that_is_left_out_is_counted_and_its_loss_is_not() {
        let mut tally = Tally::default();
        tally.add_batch(2, [f64::NAN; 3]);
        assert_eq!(tally.leave_out_step(1e-3), 1);
        tally.add_batch(2, [3.0, 2.0, 1.0]);
        tally.add_step(1e-3, Some(4.0));
        let record = tally.record(0, 0);
        assert_eq!((record.loss, record.steps, record.left_out), (3.0, 2, 1));
        assert_eq!(record.left_out_text().as_deref(), Some("1 step left out, not finite"));
        assert_eq!(record.gradient_norm, Some(GradientNorm { mean: 4.0, max: 4.0 }));
    }

    /// Creates an epoch that was the best one so far, with a class found in half of its pixels.
    pub(crate) fn record(epoch: usize) -> EpochRecord {
        let confusion: ConfusionMatrix = serde_json::from_str(r#"{"counts":[[5,1],[2,4]]}"#).unwrap();
        let scores = Scores {
            images: 1,
            dice_per_image: 0.1 + 0.2,
            dice_pooled: [("nucleus".to_owned(), 1.0 / 3.0)].into(),
            iou_pooled: [("nucleus".to_owned(), 0.5)].into(),
            mean_iou_pooled: 0.25,
            accuracy_pooled: 0.75,
        };
        EpochRecord {
            epoch,
            steps: 4 * epoch,
            learning_rate: 1e-3 / 3.0,
            loss: 0.7,
            cross_entropy: 0.3,
            dice_loss: 0.4,
            gradient_norm: Some(GradientNorm { mean: 1.5, max: 2.5 }),
            left_out: 0,
            validation: Some(Validation { scores, confusion }),
            best: true,
            images_per_second: 7.0,
            training_seconds: 2.0,
            waiting: 0.25,
            validation_seconds: 1.0,
            peak_memory: Some(1 << 40),
        }
    }

    #[test]
    fn a_record_survives_its_line() {
        let record = record(3);
        for record in
            [record.clone(), EpochRecord { gradient_norm: None, validation: None, peak_memory: None, ..record }]
        {
            let line = serde_json::to_string(&record).unwrap();
            assert_eq!(serde_json::from_str::<EpochRecord>(&line).unwrap(), record, "{line}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_peak_of_memory_is_at_least_what_is_held() {
        let held = vec![1u8; 1 << 22];
        assert!(peak_memory().unwrap() >= held.len() as u64);
    }
}
