//! The training loop, from the start of a run or from where it stopped.

use std::time::Instant;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use seg_data::{SampleError, WriteError, write_bytes};
use seg_onnx::contract::Contract;
use thiserror::Error;

use crate::checkpoint::{Checkpoint, ReadCheckpointError};
use crate::device::{DeviceChoice, DeviceError};
use crate::evaluate::{EvaluateError, Evaluator};
use crate::loader::{Batch, Loader, LoaderError, Source};
use crate::loss::{Loss, loss};
use crate::model::AmsUnet;
use crate::optimizer::Optimizer;
use crate::record::{EpochRecord, Validation, peak_memory};
use crate::run::{self, Run, Session, SessionError};
use crate::schedule::Schedule;
use crate::split::SplitError;
use crate::state::{State, StateError};
use crate::weights::{FitError, Weights};

/// What a run shows while it goes on.
#[derive(Clone, Debug)]
pub enum Event {
    /// The run begins, or goes on, at a step.
    Start {
        /// The device that trains.
        device: DeviceChoice,
        /// Steps that were done before.
        step: usize,
        /// The steps of the whole run.
        steps: usize,
    },
    /// A step is done.
    Step {
        /// The steps done.
        step: usize,
        /// The loss of the step.
        loss: f64,
    },
    /// An epoch is done and saved.
    Epoch(EpochRecord),
}

/// Why training stops before its last epoch.
#[derive(Debug, Error)]
pub enum TrainError {
    /// The loss is not a number any more.
    #[error(
        "the loss is {loss} at step {step} of epoch {epoch}; lower `--lr`, or look at the images of the batch: {}",
        images.join(", ")
    )]
    Diverged {
        /// The epoch, counted from 1.
        epoch: usize,
        /// The step of the epoch, counted from 1.
        step: usize,
        /// The loss.
        loss: f64,
        /// The names of the batch's images.
        images: Vec<String>,
    },
    /// The thread that makes the batches died.
    #[error("the loader ended after {done} of the {steps} batches of epoch {epoch}; its own message stands above")]
    Loader {
        /// The epoch, counted from 1.
        epoch: usize,
        /// The batches that came.
        done: usize,
        /// The batches of an epoch.
        steps: usize,
    },
    /// There are no threads that could load images.
    #[error(transparent)]
    Threads(#[from] LoaderError),
    /// A file of the run cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// It cannot be written down what trains and on which data.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The data set cannot be split.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// The device cannot be used.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A sample cannot be loaded.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// Validation failed.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// The weights to start from cannot be read.
    #[error(transparent)]
    Init(#[from] ReadCheckpointError),
    /// The weights to start from are of another network.
    #[error("cannot start from these weights")]
    Fit(#[from] FitError),
    /// The last checkpoint cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
}

impl Run {
    /// Trains until the last epoch, from the last checkpoint if there is one, and returns the log of the whole run.
    ///
    /// After every epoch the last checkpoint and the log are written, and the best one where the epoch's Dice per image on
    /// the validation part is the highest so far; each file whole or not at all. An interrupted run goes on after its
    /// last whole epoch, with the weights, moments and batches that it would have had.
    ///
    /// # Errors
    /// When the device cannot be used, an image cannot be loaded, a file cannot be written, or the loss diverges.
    pub fn train(&self, mut observe: impl FnMut(Event)) -> Result<Vec<EpochRecord>, TrainError> {
        let (device, choice) = self.config.device.parse::<DeviceChoice>()?.open()?;
        let (training, validation) = self.split.apply(&self.dataset.train)?;
        let contract = self.contract();
        let loader = Loader::new(Source::of(&self.config, training))?;
        let steps = loader.steps();
        let schedule = Schedule::new(self.config.learning_rate, self.config.epochs, steps);
        let (mut learner, mut log) = self.begin(&device)?;
        if log.len() < self.config.epochs {
            Session::now(self, &choice.to_string(), log.len())?.append(&self.folder)?;
        }
        observe(Event::Start { device: choice, step: log.len() * steps, steps: self.config.epochs * steps });

        for epoch in log.len()..self.config.epochs {
            let begun = Instant::now();
            let mut sums = [0.0; 3];
            let mut rate = 0.0;
            let mut done = 0;
            let mut batches = loader.epoch(epoch);
            for (step, batch) in batches.by_ref().enumerate() {
                rate = schedule.rate(epoch * steps + step);
                let batch = batch?;
                let images = batch.names.clone();
                let losses = learner.step(batch, rate);
                if !losses[0].is_finite() {
                    return Err(TrainError::Diverged { epoch: epoch + 1, step: step + 1, loss: losses[0], images });
                }
                sums = std::array::from_fn(|term| sums[term] + losses[term] * images.len() as f64);
                done = step + 1;
                observe(Event::Step { step: epoch * steps + done, loss: losses[0] });
            }
            if done < steps {
                return Err(TrainError::Loader { epoch: epoch + 1, done, steps });
            }
            let training_seconds = begun.elapsed().as_secs_f64();
            let waiting = batches.waited().as_secs_f64() / training_seconds;
            let begun = Instant::now();
            let net = learner.net.valid();
            let evaluator = Evaluator { net: &net, contract: &contract, device: &device };
            let evaluation = evaluator.run(&validation, |_, _| {})?;
            let scores = evaluation.scores(&contract.classes);
            let before = log.iter().filter_map(EpochRecord::dice).reduce(f64::max);
            let [loss, cross_entropy, dice_loss] = sums.map(|sum| sum / loader.images() as f64);
            let best = before.is_none_or(|before| scores.dice_per_image > before);
            log.push(EpochRecord {
                epoch: epoch + 1,
                steps: (epoch + 1) * steps,
                learning_rate: rate,
                loss,
                cross_entropy,
                dice_loss,
                gradient_norm: None,
                validation: Some(Validation { scores, confusion: evaluation.pooled().clone() }),
                best,
                images_per_second: loader.images() as f64 / training_seconds,
                training_seconds,
                waiting,
                validation_seconds: begun.elapsed().as_secs_f64(),
                peak_memory: peak_memory(),
            });
            self.save(&learner, Weights::of(&net), contract.clone(), &log)?;
            observe(Event::Epoch(log[epoch].clone()));
        }
        Ok(log)
    }

    /// The network, its optimizer and the log, from the last checkpoint or from the start.
    fn begin(&self, device: &Device) -> Result<(Learner, Vec<EpochRecord>), TrainError> {
        let autodiff = device.clone().autodiff();
        let path = self.folder.join(run::LAST);
        if path.exists() {
            let state = State::read(&path)?;
            let net = state.weights.to_network(&autodiff)?;
            let optimizer = Optimizer::resume(self.config.weight_decay, state.moments(device));
            return Ok((Learner { net, optimizer, device: autodiff }, state.log));
        }
        let net = match &self.config.init {
            Some(path) => Checkpoint::read(path)?.weights.to_network(&autodiff)?,
            None => {
                device.seed(self.config.seed);
                // Parameters come to be when they are first seen; seeing all of them in order ties them to the seed.
                Weights::of(&self.config.network.init(device)).to_network(&autodiff)?
            }
        };
        Ok((Learner { net, optimizer: Optimizer::new(self.config.weight_decay), device: autodiff }, Vec::new()))
    }

    /// Writes what an epoch leaves behind; the last checkpoint comes last, for it is what a resumed run starts from.
    fn save(
        &self,
        learner: &Learner,
        weights: Weights,
        mut contract: Contract,
        log: &[EpochRecord],
    ) -> Result<(), TrainError> {
        let record = &log[log.len() - 1];
        contract.provenance.weights_sha256 = weights.sha256();
        contract.provenance.epoch = Some(record.epoch);
        contract.provenance.score =
            record.dice().map_or_else(String::new, |dice| format!("validation dice_per_image {dice:.4}"));
        let state = State::new(weights, &learner.optimizer, contract, log.to_vec());
        if record.best {
            let (weights, contract) = (state.weights.clone(), Some(state.contract.clone()));
            Checkpoint { path: self.folder.join(run::BEST), weights, contract }.write()?;
        }
        let lines = log.iter().map(|record| {
            let line = serde_json::to_string(record).expect("a record has only string keys");
            line + "\n"
        });
        write_bytes(&self.folder.join(run::LOG), lines.collect::<String>().as_bytes())?;
        Ok(state.write(&self.folder.join(run::LAST))?)
    }
}

/// The network in training, with what moves it.
struct Learner {
    net: AmsUnet,
    optimizer: Optimizer,
    device: Device,
}

impl Learner {
    /// One step; returns the loss and its two terms.
    fn step(&mut self, batch: Batch, rate: f64) -> [f64; 3] {
        let (images, labels) = batch.to_device(&self.device);
        let Loss { total, cross_entropy, dice } = loss(self.net.forward(images), labels);
        let mut gradients = total.backward();
        let gradients = GradientsParams::from_module(&mut gradients, &self.net);
        self.net = self.optimizer.step(rate, self.net.clone(), gradients);
        [total, cross_entropy, dice].map(scalar)
    }
}

fn scalar(tensor: Tensor<1>) -> f64 {
    f64::from(tensor.into_scalar::<f32>())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use image::{GrayImage, Luma, Rgb, RgbImage};
    use seg_data::{Dataset, write_mask_png, write_png};

    use super::*;
    use crate::augment::Augmentation;
    use crate::config::Config;
    use crate::model::AmsUnetConfig;
    use crate::split::Split;

    /// A folder of six pictures of bright discs on a dark ground.
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

    fn begin(folder: &Path, dataset: Dataset, epochs: usize) -> Run {
        let config = Config {
            epochs,
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
    fn a_run_that_was_interrupted_ends_as_one_that_was_not() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = discs(&folder.path().join("data"));
        let whole = begin(&folder.path().join("whole"), dataset.clone(), 3);
        let stopped = folder.path().join("stopped");
        let log = whole
            .train(|event| {
                if let Event::Epoch(EpochRecord { epoch: 1, .. }) = event {
                    fs::create_dir(&stopped).unwrap();
                    for file in [run::CONFIG, run::SPLIT, run::LAST] {
                        fs::copy(whole.folder.join(file), stopped.join(file)).unwrap();
                    }
                }
            })
            .unwrap();
        let resumed = Run::open(&stopped).unwrap();
        let mut first = None;
        let resumed_log = resumed
            .train(|event| {
                if let Event::Start { step, .. } = event {
                    first = Some(step);
                }
            })
            .unwrap();
        assert_eq!(first, Some(2), "the resumed run did not go on after the first epoch's two steps");
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
        let missing = Run::open(&folder.path().join("none")).unwrap_err().to_string();
        assert!(missing.contains(run::CONFIG), "{missing}");
        fs::write(run.folder.join(run::LAST), "cut off").unwrap();
        let damaged = run.train(|_| {}).unwrap_err().to_string();
        assert!(damaged.contains(run::LAST), "{damaged}");
    }
}
