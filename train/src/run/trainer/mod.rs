//! The training loop, from the start of a run or from where it stopped.

mod error;
mod event;
mod memory;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use burn::module::Module;
use burn::tensor::Device;
use seg_contract::{Contract, LearnedFrom};
use seg_data::{Sample, SampleError, image_digests, remove_unfinished, write_bytes};

pub use error::TrainError;
pub use event::Event;

use seg_nets::checkpoint::Checkpoint;
use seg_nets::runs;
use seg_nets::statistics::has_statistics;
use seg_nets::weights::Weights;

use crate::data::loader::{Loader, Source};
use crate::evaluate::Evaluator;
use crate::learn::average::Average;
use crate::learn::learner::Learner;
use crate::learn::optimizer::Optimizer;
use crate::learn::schedule::Schedule;
use crate::run::config::TrainingConfig;
use crate::run::ending::Ending;
use crate::run::record::{EpochRecord, Tally, Validation, peak_memory};
use crate::run::state::{State, StateError};
use crate::run::{self, Run, Session};

/// The most batches over which running statistics are estimated before a validation.
pub(crate) const STATISTICS_BATCHES_MAX: usize = 64;
/// The steps of an epoch with fixed statistics for each of them that may be left out; never more
/// than half of them are.
const STEPS_PER_LEFT_OUT: usize = 20;

impl Run {
    /// Trains until the run [ends](Ending), from the last checkpoint if there is one, and returns
    /// the log of the whole run.
    ///
    /// After every epoch the last checkpoint and the log are written, and the best one where the
    /// epoch's Dice per image on the validation part is the highest so far; each file whole or not
    /// at all. In long epochs the last checkpoint is written between two steps as well. An
    /// interrupted run goes on from there, with the weights, moments and batches that it would have
    /// had.
    ///
    /// # Errors
    /// When the device cannot be used or has too little memory, the data are not those that the run
    /// began with, an image cannot be loaded, a file cannot be written, or the loss diverges.
    pub fn train(&self, observe: impl FnMut(Event)) -> Result<Vec<EpochRecord>, TrainError> {
        self.train_until(observe, &AtomicBool::new(false))
    }

    /// Trains as [`train`](Self::train) does, or until `stop` is set: the step that is being taken
    /// is then finished and the last checkpoint written.
    ///
    /// # Errors
    /// As [`train`](Self::train), and [`TrainError::Stopped`] once `stop` is set.
    pub fn train_until(
        &self,
        mut observe: impl FnMut(Event),
        stop: &AtomicBool,
    ) -> Result<Vec<EpochRecord>, TrainError> {
        let lock =
            run::lock(&self.folder).map_err(|source| TrainError::Lock { folder: self.folder.clone(), source })?;
        let _lock = lock.ok_or_else(|| TrainError::Busy { folder: self.folder.clone() })?;
        memory::guard(|| self.go_on(&mut observe, stop))
    }

    fn go_on(&self, observe: &mut impl FnMut(Event), stop: &AtomicBool) -> Result<Vec<EpochRecord>, TrainError> {
        let (devices, device) = self.config.devices()?;
        let (training, validation) = self.split.apply(&self.dataset.train)?;
        let loader = Loader::new(Source::from_config(&self.config, training))?;
        let mut training = Training::begin(self, &devices, loader, validation)?;
        if Ending::from_log(&self.config, &training.log).is_none() {
            let session = Session::now(self, &device.to_string(), training.log.len())?;
            self.check_data(&session)?;
            session.append(&self.folder)?;
            training.contract.provenance.data_sha256 = session.data_sha256;
            self.learned_from(&training.validation)?.write(&mut training.contract.provenance);
        }
        observe(Event::Start {
            device,
            step: training.log.len() * training.steps() + training.tally.steps(),
            steps: self.config.epochs * training.steps(),
            log: training.log.clone(),
        });
        while Ending::from_log(&self.config, &training.log).is_none() {
            training.fix_statistics()?;
            training.learn(observe, stop)?;
            let record = training.finish_epoch()?;
            observe(Event::Epoch(record));
            if stop.load(Ordering::SeqCst) && Ending::from_log(&self.config, &training.log).is_none() {
                return Err(TrainError::Stopped { step: training.log.len() * training.steps() });
            }
        }
        Ok(training.log)
    }

    /// Returns the digests of the images that the network learns from, and of those that it started
    /// from as another's weights.
    fn learned_from(&self, validation: &[Sample]) -> Result<LearnedFrom, TrainError> {
        let (training, _) = self.split.apply(&self.dataset.train)?;
        let [training, validation] =
            [&training, validation].map(|samples| image_digests(samples).map_err(SampleError::from));
        let mut learned =
            LearnedFrom { training: training?.into_iter().collect(), validation: validation?.into_iter().collect() };
        // The file may be gone where the run is resumed: then the last weights know its images.
        let best = self.folder.join(runs::BEST);
        let sources = self.config.init.iter().chain([&best]).filter(|path| path.exists());
        for path in sources {
            let contract = Checkpoint::read(path)?.contract;
            if let Some(before) = contract.and_then(|contract| LearnedFrom::read(&contract.provenance)) {
                learned.extend(before);
            }
        }
        Ok(learned)
    }

    /// Checks that a session has the data that those before it had.
    fn check_data(&self, session: &Session) -> Result<(), TrainError> {
        match self.sessions()?.last() {
            Some(before) if before.data_sha256 != session.data_sha256 => Err(TrainError::Data {
                data: self.dataset.root.clone(),
                folder: self.folder.clone(),
                found: session.data_sha256.clone(),
                expected: before.data_sha256.clone(),
            }),
            _ => Ok(()),
        }
    }
}

/// A run while it goes on.
struct Training<'a> {
    run: &'a Run,
    loader: Arc<Loader>,
    validation: Vec<Sample>,
    /// The device on which images are validated, without autodiff.
    device: Device,
    contract: Contract,
    learner: Learner,
    /// True if the network has running statistics.
    has_statistics: bool,
    /// The first epoch in which they stay fixed, counted from 0.
    first_fixed_epoch: Option<usize>,
    /// One record per epoch done.
    log: Vec<EpochRecord>,
    /// The sums of the epoch that is not done.
    tally: Tally,
}

impl<'a> Training<'a> {
    /// Restores the run from its last checkpoint, or starts it.
    fn begin(
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
    fn steps(&self) -> usize {
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
    fn fix_statistics(&mut self) -> Result<(), TrainError> {
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
    fn learn(&mut self, observe: &mut impl FnMut(Event), stop: &AtomicBool) -> Result<(), TrainError> {
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
    fn finish_epoch(&mut self) -> Result<EpochRecord, TrainError> {
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use image::{GrayImage, Luma, Rgb, RgbImage};
    use seg_data::{Dataset, write_mask_png, write_png};
    use seg_nets::amsunet::AmsUnetConfig;

    use super::*;
    use crate::data::augment::Augmentation;
    use crate::data::split::Split;
    use crate::run::config::Config;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use seg_nets::network::NetworkName;

    /// Creates a folder of six pictures of bright discs on a dark ground.
    fn discs(folder: &Path) -> Dataset {
        for name in ["images", "masks"] {
            fs::create_dir_all(folder.join(name)).unwrap();
        }
        for number in 0..6u32 {
            let inside = |x: u32, y: u32| (x.abs_diff(12 + number)).pow(2) + y.abs_diff(14).pow(2) < 50;
            let image = RgbImage::from_fn(32, 36, |x, y| Rgb([if inside(x, y) { 200 } else { 30 }, 40, 60]));
            let mask = GrayImage::from_fn(32, 36, |x, y| Luma([u8::from(inside(x, y))]));
            write_png(&folder.join(format!("images/{number}.png")), &image).unwrap();
            write_mask_png(&folder.join(format!("masks/{number}.png")), &mask, &[[0; 3], [255; 3]]).unwrap();
        }
        Dataset::open(folder).unwrap()
    }

    /// Begins a run; those of one folder start from the same weights, because tests at the same
    /// time share the device's generator.
    fn begin(folder: &Path, dataset: Dataset, epochs: usize) -> Run {
        let start = folder.with_file_name("start.safetensors");
        if !start.exists() {
            let net = AmsUnetConfig::new().with_base_width(4).init(&Device::flex());
            let mut random = ChaCha8Rng::seed_from_u64(3);
            let mut weights = Weights::from_network(&net).tensors().clone();
            for tensor in weights.values_mut().filter(|tensor| tensor.ndim() == 4) {
                let bound = (tensor.len() as f32 / tensor.shape()[0] as f32).sqrt().recip();
                tensor.mapv_inplace(|_| random.random_range(-bound..bound));
            }
            Weights::new(NetworkName::AmsUnet, weights).write(&start, None).unwrap();
        }
        let config = Config {
            epochs,
            init: Some(start),
            learning_rate: 1e-2,
            validation: Some(0.3),
            seed: 3,
            device: "cpu".into(),
            mean: [0.2; 3],
            std: [0.2; 3],
            ..Config::recipe(
                dataset.root.clone(),
                AmsUnetConfig::new().with_base_width(4),
                Augmentation::recipe(32, [32, 32]),
            )
        };
        let split = Split::cut(&dataset.train, 0.3, 3).unwrap();
        Run::create(folder, dataset, config, split).unwrap()
    }

    #[test]
    fn a_run_that_is_asked_to_stop_loses_no_step() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = discs(&folder.path().join("data"));
        let whole = begin(&folder.path().join("whole"), dataset.clone(), 2);
        whole.train(|_| {}).unwrap();
        let run = begin(&folder.path().join("stopped"), dataset, 2);
        // In the first epoch, and again at its end.
        for asked in [1, 2] {
            let stop = AtomicBool::new(false);
            let observe = |event| match event {
                Event::Step { step, .. } if step >= asked => stop.store(true, Ordering::SeqCst),
                _ => {}
            };
            match run.train_until(observe, &stop) {
                Err(TrainError::Stopped { step }) => assert_eq!(step, asked),
                other => panic!("{other:?}"),
            }
        }
        run.train(|_| {}).unwrap();
        let last = |run: &Run| State::read(&run.folder.join(run::LAST)).unwrap();
        assert_eq!(last(&run).weights, last(&whole).weights);
        assert_eq!(last(&run).log.len(), 2);
    }

    #[test]
    fn a_run_that_was_interrupted_ends_as_one_that_was_not() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = discs(&folder.path().join("data"));
        let whole = begin(&folder.path().join("whole"), dataset.clone(), 3);
        let stopped = folder.path().join("stopped");
        let log = whole
            .train(|event| {
                if let Event::Epoch(EpochRecord { epoch: 1, .. }) = event {
                    fs::create_dir(&stopped).unwrap();
                    for file in [run::CONFIG, run::SPLIT, run::LAST, run::SESSIONS] {
                        fs::copy(whole.folder.join(file), stopped.join(file)).unwrap();
                    }
                }
            })
            .unwrap();
        let resumed = Run::open(&stopped).unwrap();
        let mut first = None;
        let resumed_log = resumed
            .train(|event| {
                if let Event::Start { step, log, .. } = event {
                    first = Some((step, log.len()));
                }
            })
            .unwrap();
        assert_eq!(first, Some((2, 1)), "the resumed run did not go on after the first epoch's two steps");
        let weights = |run: &Run| Weights::read(&run.folder.join(run::LAST)).unwrap();
        assert_eq!(weights(&whole), weights(&resumed));
        let losses = |log: &[EpochRecord]| log.iter().map(|record| record.loss).collect::<Vec<_>>();
        assert_eq!(losses(&log), losses(&resumed_log));
        assert!(log[2].loss < log[0].loss, "three epochs did not lower the loss: {:?}", losses(&log));
    }

    #[test]
    fn what_cannot_begin_is_an_error_with_a_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = discs(&folder.path().join("data"));
        let run = begin(&folder.path().join("run"), dataset.clone(), 1);
        let taken = Run::create(&run.folder, dataset, run.config.clone(), run.split.clone()).unwrap_err().to_string();
        assert!(taken.contains("--resume"), "{taken}");
        let lock = run::lock(&run.folder).unwrap();
        let busy = run.train(|_| {}).unwrap_err().to_string();
        assert!(lock.is_some() && busy.contains("another process trains in"), "{busy}");
        drop(lock);
        let small = run.train(|_| panic!("out of device memory")).unwrap_err().to_string();
        assert!(small.contains("--checkpoint-activations"), "{small}");
        let missing = Run::open(&folder.path().join("none")).unwrap_err().to_string();
        assert!(missing.contains(run::CONFIG), "{missing}");
        fs::write(run.folder.join(run::LAST), "cut off").unwrap();
        let damaged = run.train(|_| {}).unwrap_err().to_string();
        assert!(damaged.contains(run::LAST), "{damaged}");
        fs::remove_file(run.folder.join("lock")).unwrap();
        fs::create_dir(run.folder.join("lock")).unwrap();
        let locked = run.train(|_| {}).unwrap_err().to_string();
        assert!(locked.contains("cannot lock the run's folder"), "{locked}");
    }

    #[test]
    fn a_run_goes_on_with_its_own_data_alone() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let mut run = begin(&folder.path().join("run"), discs(&data), 1);
        run.train(|_| {}).unwrap();
        run.config.epochs = 2;
        let mask = data.join("masks/0.png");
        let before = fs::read(&mask).unwrap();
        fs::copy(data.join("masks/1.png"), &mask).unwrap();
        let last = fs::read(run.folder.join(run::LAST)).unwrap();
        let refused = run.train(|_| {}).unwrap_err().to_string();
        let sessions = run.sessions().unwrap();
        let now = run.dataset.fingerprint().unwrap();
        for part in [&now, &sessions[0].data_sha256, "restore them", "--init"] {
            assert!(refused.contains(part), "no {part} in: {refused}");
        }
        assert_eq!((sessions.len(), fs::read(run.folder.join(run::LAST)).unwrap()), (1, last));
        fs::write(&mask, before).unwrap();
        assert_eq!(run.train(|_| {}).unwrap().len(), 2);
    }

    #[test]
    fn a_run_that_diverges_names_its_images_and_saves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = discs(&folder.path().join("data"));
        for (name, rate, save_minutes, fixed, expected) in [
            ("a loss", 1e30, 1e6, 0.5, ["the loss is", "at step 2 of epoch 1; lower `--lr`", "images: "]),
            // With fixed statistics, one step of an epoch as short as this may be left out, so that
            // the first epoch ends and is saved.
            ("a second loss", 1e30, 1e6, 1.0, ["the loss is", "at step 2 of epoch 2; lower `--lr`", "images: "]),
            (
                "weights, before they are saved",
                f64::MAX,
                0.0,
                0.5,
                ["the weights are not finite", "after step 1", "`--lr`"],
            ),
        ] {
            let mut run = begin(&folder.path().join(name), dataset.clone(), 2);
            run.config.learning_rate = rate;
            run.config.training.save_minutes = save_minutes;
            run.config.training.fixed_statistics = fixed;
            let message = run.train(|_| {}).unwrap_err().to_string();
            assert!(expected.iter().all(|part| message.contains(part)), "{name}: {message}");
            let named = run.split.train.iter().any(|image| message.ends_with(image.as_str()));
            assert_eq!(named, name.ends_with("loss"), "{name}: {message}");
            assert_eq!(run.folder.join(run::LAST).exists(), name == "a second loss", "{name}: a checkpoint");
        }
    }
}
