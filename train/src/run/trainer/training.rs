//! A run while it goes on: its network, its loader, and the epoch that is being learned.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use burn::module::Module;
use burn::tensor::Device;
use seg_contract::Contract;
use seg_data::{Sample, remove_unfinished, write_bytes};
use seg_nets::checkpoint::Checkpoint;
use seg_nets::runs;
use seg_nets::statistics::has_statistics;
use seg_nets::weights::Weights;

use super::{Event, TrainError};
use crate::data::loader::Loader;
use crate::evaluate::Evaluator;
use crate::learn::average::Average;
use crate::learn::learner::Learner;
use crate::learn::optimizer::Optimizer;
use crate::learn::schedule::Schedule;
use crate::run::config::TrainingConfig;
use crate::run::ending::Ending;
use crate::run::record::{EpochRecord, Tally, Validation, peak_memory};
use crate::run::state::{State, StateError};
use crate::run::{self, Run};

/// The most batches over which running statistics are estimated before a validation.
pub(crate) const STATISTICS_BATCHES_MAX: usize = 64;
/// The steps of an epoch with fixed statistics for each of them that may be left out; never more
/// than half of them are.
const STEPS_PER_LEFT_OUT: usize = 20;

/// A run while it goes on.
pub(super) struct Training<'a> {
    run: &'a Run,
    loader: Arc<Loader>,
    pub(super) validation: Vec<Sample>,
    /// The device on which images are validated, without autodiff.
    device: Device,
    pub(super) contract: Contract,
    learner: Learner,
    /// True if the network has running statistics.
    has_statistics: bool,
    /// The first epoch in which they stay fixed, counted from 0.
    first_fixed_epoch: Option<usize>,
    /// One record per epoch done.
    pub(super) log: Vec<EpochRecord>,
    /// The sums of the epoch that is not done.
    pub(super) tally: Tally,
}

impl<'a> Training<'a> {
    /// Restores the run from its last checkpoint, or starts it.
    pub(super) fn begin(
        run: &'a Run,
        devices: &[Device],
        loader: Arc<Loader>,
        validation: Vec<Sample>,
    ) -> Result<Self, TrainError> {
        remove_unfinished(&run.folder).map_err(|source| TrainError::Folder { folder: run.folder.clone(), source })?;
        let device = devices[0].clone();
        let autodiff = device.clone().autodiff();
        let training = run.config.training;
        let path = run.folder.join(run::LAST);
        let (net, optimizer, average, log, tally) = if path.exists() {
            let state = State::read(&path)?;
            if state.learning.is_some() != training.ema.is_some() {
                return Err(StateError::Average { path, has: state.learning.is_some() }.into());
            }
            let optimizer = Optimizer::resume(run.config.weight_decay, state.moments(&device));
            let average = match training.ema {
                Some(decay) => Some(Average::new(decay, state.steps, state.weights.to_network(&device)?)),
                None => None,
            };
            let net = state.learning.as_ref().unwrap_or(&state.weights).to_network(&autodiff)?;
            (net, optimizer, average, state.log, state.tally)
        } else {
            let weights = match &run.config.init {
                Some(path) => Checkpoint::read(path)?.for_network(&run.config.network).weights,
                None => {
                    device.seed(run.config.seed);
                    // Parameters come to be when they are first seen; seeing all of them in order
                    // ties them to the seed.
                    Weights::from_network(&run.config.network.init(&device))
                }
            };
            let net = weights.to_network(&autodiff)?;
            let average = training.ema.map(|decay| Average::new(decay, 0, net.valid()));
            (net, Optimizer::new(run.config.weight_decay), average, Vec::new(), Tally::default())
        };
        let has_statistics = has_statistics(&net);
        let first_fixed_epoch = training.first_fixed_epoch(run.config.epochs).filter(|_| has_statistics);
        let learner = Learner::new(net, devices, training, optimizer, average)
            .with_class_weights(run.config.class_weights.clone());
        let contract = run.contract();
        Ok(Self { run, loader, validation, device, contract, learner, has_statistics, first_fixed_epoch, log, tally })
    }

    /// Returns the number of steps of an epoch; the last may have fewer batches than the others.
    pub(super) fn steps(&self) -> usize {
        self.loader.batches().div_ceil(self.run.config.training.accumulate)
    }

    /// Returns the number of images of a step of an epoch, counted from 0.
    fn images_of(&self, step: usize) -> usize {
        let full = self.run.config.batch_size * self.run.config.training.accumulate;
        full.min(self.loader.images() - step * full)
    }

    /// Returns whether statistics stay fixed in an epoch, counted from 0.
    fn has_fixed_statistics(&self, epoch: usize) -> bool {
        self.first_fixed_epoch.is_some_and(|first| epoch >= first)
    }

    /// Estimates running statistics over batches of an epoch.
    fn estimate_statistics(&mut self, epoch: usize) -> Result<(), TrainError> {
        Ok(self.learner.estimate_statistics(self.loader.epoch(epoch, 0).take(STATISTICS_BATCHES_MAX))?)
    }

    /// Fixes the statistics if it is time for that in the epoch that begins or goes on.
    pub(super) fn fix_statistics(&mut self) -> Result<(), TrainError> {
        let epoch = self.log.len();
        if !self.has_fixed_statistics(epoch) {
            return Ok(());
        }
        if self.first_fixed_epoch == Some(epoch) && self.tally.batches == 0 {
            self.estimate_statistics(epoch)?;
        }
        self.learner.fix_statistics();
        Ok(())
    }

    /// Learns from the rest of the epoch.
    pub(super) fn learn(&mut self, observe: &mut impl FnMut(Event), stop: &AtomicBool) -> Result<(), TrainError> {
        let epoch = self.log.len();
        let TrainingConfig { accumulate, save_minutes, .. } = self.run.config.training;
        let (batches, steps) = (self.loader.batches(), self.steps());
        let mut schedule = Schedule::new(self.run.config.learning_rate, self.run.config.epochs, steps);
        if let Some(first) = self.first_fixed_epoch {
            schedule = schedule.with_second_warm_up(first * steps);
        }
        let (begun, before) = (Instant::now(), (self.tally.seconds, self.tally.waited));
        let mut saved = Instant::now();
        let is_fixed = self.has_fixed_statistics(epoch);
        let left_out_max = if is_fixed { steps.div_ceil(STEPS_PER_LEFT_OUT).min(steps / 2) } else { 0 };
        let mut images = Vec::new();
        let mut loss = 0.0;
        let mut epoch_batches = self.loader.epoch(epoch, self.tally.batches);
        while let Some(batch) = epoch_batches.next() {
            let batch = batch?;
            let step = self.tally.steps();
            let diverged =
                |what, value, images| TrainError::Diverged { what, value, epoch: epoch + 1, step: step + 1, images };
            images.extend(batch.names.iter().cloned());
            let count = batch.names.len();
            let share = count as f64 / self.images_of(step) as f64;
            let losses = self.learner.learn(batch, share);
            if !losses[0].is_finite() && !is_fixed {
                return Err(diverged("loss", losses[0], images));
            }
            loss += share * losses[0];
            self.tally.add_batch(count, losses);
            if !self.tally.batches.is_multiple_of(accumulate) && self.tally.batches < batches {
                continue;
            }
            let rate = schedule.rate(epoch * steps + step);
            let (what, value, norm) = if loss.is_finite() {
                let norm = self.learner.step(rate);
                ("gradients' norm", norm.unwrap_or_default(), norm)
            } else {
                self.learner.leave_out();
                ("loss", loss, None)
            };
            if value.is_finite() {
                self.tally.add_step(rate, norm);
            } else if self.tally.leave_out_step(rate) > left_out_max {
                return Err(diverged(what, value, images));
            }
            self.tally.seconds = before.0 + begun.elapsed().as_secs_f64();
            self.tally.waited = before.1 + epoch_batches.waited().as_secs_f64();
            observe(Event::Step { step: epoch * steps + step + 1, loss });
            (images, loss) = (Vec::new(), 0.0);
            let is_over = self.tally.batches == batches;
            if stop.load(Ordering::SeqCst) && !is_over {
                self.state()?.write(&self.run.folder.join(run::LAST))?;
                return Err(TrainError::Stopped { step: epoch * steps + step + 1 });
            }
            if saved.elapsed() >= minutes(save_minutes) {
                self.state()?.write(&self.run.folder.join(run::LAST))?;
                saved = Instant::now();
            }
        }
        if self.tally.batches < batches {
            return Err(TrainError::Loader { epoch: epoch + 1, done: self.tally.batches, batches });
        }
        Ok(())
    }

    /// Validates the epoch where it is due, writes it down and saves what it leaves behind.
    pub(super) fn finish_epoch(&mut self) -> Result<EpochRecord, TrainError> {
        let epoch = self.log.len();
        let due = (epoch + 1).is_multiple_of(self.run.config.training.validate_every);
        let mut record = self.tally.record(epoch, epoch * self.steps());
        if due || Ending::is_near(&self.run.config, &self.log, record.training_seconds) {
            // Whole images may take more memory than crops do: what was learned must outlast their
            // failure.
            self.state()?.write(&self.run.folder.join(run::LAST))?;
            let begun = Instant::now();
            let estimates = self.has_statistics && self.run.config.training.estimate_statistics;
            if estimates && !self.has_fixed_statistics(epoch) {
                self.estimate_statistics(epoch)?;
            }
            let validation = self.validate()?;
            let before = self.log.iter().filter_map(EpochRecord::dice).reduce(f64::max);
            record.best = before.is_none_or(|before| validation.scores.dice_per_image > before);
            record.validation = Some(validation);
            record.validation_seconds = begun.elapsed().as_secs_f64();
        }
        record.peak_memory = peak_memory();
        self.log.push(record.clone());
        self.tally = Tally::default();
        self.save(&record)?;
        Ok(record)
    }

    fn validate(&self) -> Result<Validation, TrainError> {
        let net = self.learner.best_net();
        let evaluator = Evaluator { net: &net, contract: &self.contract, device: &self.device };
        let evaluation = evaluator.run(&self.validation, |_, _| {})?;
        let scores = evaluation.scores(&self.contract.classes);
        Ok(Validation { scores, confusion: evaluation.pooled().clone() })
    }

    /// Writes what an epoch leaves behind; the last checkpoint comes last, for it is what a resumed
    /// run starts from.
    fn save(&self, record: &EpochRecord) -> Result<(), TrainError> {
        let state = self.state()?;
        if record.best {
            let (weights, contract) = (state.weights.clone(), Some(state.contract.clone()));
            Checkpoint { path: self.run.folder.join(runs::BEST), weights, contract }.write()?;
        }
        let lines = self.log.iter().map(|record| {
            let line = serde_json::to_string(record).expect("a record has only string keys");
            line + "\n"
        });
        write_bytes(&self.run.folder.join(run::LOG), lines.collect::<String>().as_bytes())?;
        Ok(state.write(&self.run.folder.join(run::LAST))?)
    }

    /// Returns the state from which the run goes on.
    fn state(&self) -> Result<State, TrainError> {
        let mut state = State::new(&self.learner, self.contract.clone(), self.log.clone(), self.tally.clone());
        // A saved state must be able to go on: a file of such numbers would replace one without.
        if !state.is_finite() {
            let done = self.log.len() * self.steps() + self.tally.steps();
            return Err(TrainError::NotFinite { step: done });
        }
        let provenance = &mut state.contract.provenance;
        provenance.weights_sha256 = state.weights.sha256();
        provenance.epoch = Some(self.log.len());
        // Between two epochs the weights are those that the last record scores.
        let scored = self.log.last().filter(|_| self.tally == Tally::default());
        let dice = scored.and_then(EpochRecord::dice);
        provenance.score = dice.map_or_else(String::new, |dice| format!("validation dice_per_image {dice:.4}"));
        provenance.validation = scored.and_then(|record| record.validation.clone()).map(|validation| validation.scores);
        Ok(state)
    }
}

fn minutes(minutes: f64) -> Duration {
    Duration::try_from_secs_f64(minutes * 60.0).unwrap_or(Duration::MAX)
}
