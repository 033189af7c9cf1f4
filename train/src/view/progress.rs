//! The progress of a run, gathered from its events: the data of a dashboard.

use std::collections::VecDeque;
use std::time::Duration;

use crate::run::config::Config;
use crate::run::record::EpochRecord;
use crate::run::trainer::Event;
use crate::view::duration::duration;

/// The losses that are kept at most, beyond which neighbours become their mean.
const LOSSES_MAX: usize = 2_000;
/// The messages that are kept.
const MESSAGES_MAX: usize = 100;
/// The steps over which the present speed is measured.
const RECENT: usize = 20;

/// The progress of a run. Times are counted from when it was first shown.
#[derive(Clone, Debug)]
pub struct Progress {
    /// The name of the run.
    pub title: String,
    /// The epochs of the whole run.
    pub epochs: usize,
    /// Images per step.
    pub images_per_step: usize,
    /// The device that trains, once it is known.
    pub device: String,
    /// The steps done.
    pub step: usize,
    /// The steps of the whole run.
    pub steps: usize,
    /// The epochs done.
    pub records: Vec<EpochRecord>,
    /// The last messages, the newest last.
    pub messages: VecDeque<String>,
    /// When this process began to train, and after how many steps.
    begun: Option<(Duration, usize)>,
    /// When the last steps ended.
    recent: VecDeque<Duration>,
    /// Losses by epoch, as `(2.5, 0.7)` halfway through the third.
    losses: Vec<(f64, f64)>,
    /// The steps that each of them stands for, and those that wait.
    steps_per_loss: usize,
    waiting: Vec<f64>,
}

impl Progress {
    /// Creates the progress of a run whose folder holds `records`.
    pub fn new(title: String, config: &Config, records: Vec<EpochRecord>) -> Self {
        Self {
            title,
            epochs: config.epochs,
            images_per_step: config.batch_size * config.training.accumulate,
            device: String::new(),
            step: 0,
            steps: 0,
            records,
            messages: VecDeque::new(),
            begun: None,
            recent: VecDeque::new(),
            losses: Vec::new(),
            steps_per_loss: 1,
            waiting: Vec::new(),
        }
    }

    /// Takes in what the run reports at a time.
    pub fn observe(&mut self, event: &Event, now: Duration) {
        match event {
            Event::Start { device, step, steps, log } => {
                self.device = device.to_string();
                self.records.clone_from(log);
                (self.step, self.steps) = (*step, *steps);
                self.begun = Some((now, *step));
            }
            Event::Step { step, loss } => {
                self.step = *step;
                self.recent.push_back(now);
                if self.recent.len() > RECENT {
                    self.recent.pop_front();
                }
                // That of a step that was left out would hide the others' mean.
                if loss.is_finite() {
                    self.keep(*loss);
                }
            }
            Event::Epoch(record) => {
                // The pause in which the epoch was validated is no step's.
                self.recent.clear();
                self.say(&summary(record));
                self.records.push(record.clone());
            }
        }
    }

    /// Takes in a message.
    pub fn say(&mut self, message: &str) {
        self.messages.push_back(message.into());
        if self.messages.len() > MESSAGES_MAX {
            self.messages.pop_front();
        }
    }

    /// Returns the number of steps of an epoch; at least 1.
    pub fn steps_per_epoch(&self) -> usize {
        (self.steps / self.epochs.max(1)).max(1)
    }

    /// Returns the number of the current epoch, counted from 1; the last one when all are done.
    pub fn epoch(&self) -> usize {
        (self.records.len() + 1).min(self.epochs)
    }

    /// Returns the number of steps done in the current epoch.
    pub fn step_in_epoch(&self) -> usize {
        let before = (self.epoch().max(1) - 1) * self.steps_per_epoch();
        self.step.saturating_sub(before).min(self.steps_per_epoch())
    }

    /// Returns the epoch with the highest Dice per image so far.
    pub fn best(&self) -> Option<&EpochRecord> {
        self.records.iter().rfind(|record| record.best)
    }

    /// Losses by epoch, each the mean over one or several steps.
    pub fn losses(&self) -> &[(f64, f64)] {
        &self.losses
    }

    /// Returns the time that the rest takes if it goes on as so far; `None` before the second step.
    pub fn left(&self, now: Duration) -> Option<Duration> {
        let (begun, first) = self.begun?;
        let done = self.step.checked_sub(first).filter(|done| *done > 1)?;
        let per_step = now.saturating_sub(begun).as_secs_f64() / done as f64;
        Duration::try_from_secs_f64(per_step * self.steps.saturating_sub(self.step) as f64).ok()
    }

    /// Images per second over the last steps, or over the last epoch while the next one has hardly
    /// begun.
    pub fn images_per_second(&self) -> Option<f64> {
        let last = || self.records.last().map(|record| record.images_per_second);
        let (first, newest) = (self.recent.front(), self.recent.back());
        let seconds = newest.zip(first).map_or(0.0, |(newest, first)| newest.saturating_sub(*first).as_secs_f64());
        if seconds > 0.0 {
            Some((self.recent.len() - 1) as f64 * self.images_per_step as f64 / seconds)
        } else {
            last()
        }
    }

    fn keep(&mut self, loss: f64) {
        self.waiting.push(loss);
        if self.waiting.len() < self.steps_per_loss {
            return;
        }
        let mean = self.waiting.iter().sum::<f64>() / self.waiting.len() as f64;
        self.waiting.clear();
        self.losses.push((self.step as f64 / self.steps_per_epoch() as f64, mean));
        if self.losses.len() == LOSSES_MAX {
            let mean = |pair: &[(f64, f64)]| (pair[1].0, (pair[0].1 + pair[1].1) / 2.0);
            self.losses = self.losses.chunks_exact(2).map(mean).collect();
            self.steps_per_loss *= 2;
        }
    }
}

/// Formats an epoch as a message.
fn summary(record: &EpochRecord) -> String {
    let validation = record.dice().map_or_else(|| "not validated".into(), |dice| format!("Dice {dice:.4}"));
    let best = if record.best { ", the best so far" } else { "" };
    let left_out = record.left_out_text().map_or_else(String::new, |text| format!(", {text}"));
    let seconds = duration(record.seconds());
    format!("epoch {}: loss {:.4}, {validation}, {seconds}{best}{left_out}", record.epoch, record.loss)
}

#[cfg(test)]
pub(crate) mod tests {
    use seg_nets::amsunet::AmsUnetConfig;
    use seg_nets::device::DeviceChoice;

    use super::*;
    use crate::data::augment::Augmentation;
    use crate::run::config::TrainingConfig;
    use crate::run::record::tests::record;

    /// Steps of two batches of 4 images.
    fn config(epochs: usize) -> Config {
        let recipe = Config::recipe("data".into(), AmsUnetConfig::new(), Augmentation::recipe(32, [32, 32]));
        Config {
            epochs,
            batch_size: 4,
            training: TrainingConfig { accumulate: 2, ..TrainingConfig::default() },
            ..recipe
        }
    }

    /// Creates a run in progress, on the CPU.
    fn start(step: usize, steps: usize, log: Vec<EpochRecord>) -> Event {
        Event::Start { device: DeviceChoice::Cpu.into(), step, steps, log }
    }

    /// Creates a run of 4 epochs of 10 steps, of which `steps` took a second each; every epoch ends
    /// after its last step.
    pub(crate) fn after(steps: usize) -> Progress {
        let mut progress = Progress::new("runs/nuclei".into(), &config(4), Vec::new());
        progress.observe(&start(0, 40, Vec::new()), Duration::ZERO);
        for step in 1..=steps {
            let now = Duration::from_secs(step as u64);
            progress.observe(&Event::Step { step, loss: 1.0 / step as f64 }, now);
            if step % 10 == 0 {
                progress.observe(&Event::Epoch(record(step / 10)), now);
            }
        }
        progress
    }

    #[test]
    fn the_place_in_the_run_is_known() {
        for (steps, epoch, step_in_epoch, records, left, speed) in [
            (0, 1, 0, 0, None, None),
            (1, 1, 1, 0, None, None),
            (4, 1, 4, 0, Some(36), Some(8.0)),
            (10, 2, 0, 1, Some(30), Some(7.0)),
            (13, 2, 3, 1, Some(27), Some(8.0)),
            (40, 4, 10, 4, Some(0), Some(7.0)),
        ] {
            let progress = after(steps);
            let found = (progress.epoch(), progress.step_in_epoch(), progress.records.len());
            assert_eq!(found, (epoch, step_in_epoch, records), "after {steps} steps");
            let now = Duration::from_secs(steps as u64);
            assert_eq!(progress.left(now).map(|left| left.as_secs()), left, "after {steps} steps");
            assert_eq!(progress.images_per_second(), speed, "after {steps} steps");
        }
    }

    #[test]
    fn a_resumed_run_is_timed_from_where_it_went_on() {
        // The third epoch was in the log when the run was killed, but not in the last checkpoint.
        let mut progress = Progress::new(String::new(), &config(4), vec![record(1), record(2), record(3)]);
        progress.observe(&start(20, 40, vec![record(1), record(2)]), Duration::from_secs(5));
        for step in 21..=25 {
            progress.observe(&Event::Step { step, loss: 1.0 }, Duration::from_secs(step as u64 - 15));
        }
        assert_eq!((progress.epoch(), progress.step_in_epoch()), (3, 5));
        assert_eq!(progress.left(Duration::from_secs(10)), Some(Duration::from_secs(15)));
    }

    #[test]
    fn long_runs_keep_few_losses_and_their_mean() {
        let steps = 5 * LOSSES_MAX;
        let mut progress = Progress::new(String::new(), &config(1), Vec::new());
        progress.observe(&start(0, steps, Vec::new()), Duration::ZERO);
        for step in 1..=steps {
            progress.observe(&Event::Step { step, loss: (step % 2) as f64 }, Duration::ZERO);
        }
        assert!(progress.losses().len() < LOSSES_MAX && progress.losses().len() > LOSSES_MAX / 4);
        assert!(progress.losses().iter().all(|(_, loss)| *loss == 0.5));
        assert_eq!(progress.losses().last().map(|(epoch, _)| *epoch), Some(1.0));
        for number in 0..2 * MESSAGES_MAX {
            progress.say(&number.to_string());
        }
        assert_eq!(progress.messages.len(), MESSAGES_MAX);
    }
}
