//! The pace of a run on this machine, measured before it begins, and the epochs that fit a time.

use std::sync::Arc;
use std::time::Instant;

use seg_contract::Pixels;
use seg_data::Dataset;
use seg_nets::weights::Weights;

use crate::data::loader::{Loader, Source};
use crate::data::split::Split;
use crate::evaluate::Evaluator;
use crate::learn::learner::Learner;
use crate::learn::optimizer::Optimizer;
use crate::run::config::{Config, TrainingConfig};
use crate::run::trainer::{STATISTICS_BATCHES_MAX, TrainError};

/// The batches before those that are timed: the first ones allocate, and build kernels on a GPU.
const WARM_UP: usize = 2;
/// The batches that are timed; their median counts.
const TIMED: usize = 3;
/// The validation images that are timed.
const IMAGES: usize = 2;
/// The share of the time that is planned; the rest is for saving, and for a machine that slows
/// down.
const PLANNED: f64 = 0.9;
/// The share of a batch's time that its way forward takes.
const FORWARD: f64 = 0.35;
/// The fewest epochs into which the time is divided: fewer leave the learning rate no way down.
const EPOCHS_MIN: usize = 8;

/// The time of a run's parts on this machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// The seconds of a batch, with its share of the step.
    pub batch: f64,
    /// The seconds of a validation image.
    pub image: f64,
}

/// The epochs that fit a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fitted {
    /// The epochs.
    pub epochs: usize,
    /// The batches of an epoch, where a whole pass over the images takes too long.
    pub steps_per_epoch: Option<usize>,
}

impl Pace {
    /// Measures a few steps and the validation of a few images, with fresh weights that are thrown
    /// away.
    ///
    /// # Errors
    /// When the device cannot be used or an image cannot be loaded.
    pub fn measure(config: &Config, dataset: &Dataset, split: &Split) -> Result<Self, TrainError> {
        let (devices, _) = config.devices()?;
        let (training, validation) = split.apply(&dataset.train)?;
        let loader = Loader::new(Source::from_config(config, training))?;
        let autodiff = devices[0].clone().autodiff();
        let weights = Weights::from_network(&config.network.init(&devices[0]));
        let net = weights.to_network(&autodiff)?;
        let optimizer = Optimizer::new(config.weight_decay);
        let mut learner = Learner::new(net, &devices, config.training, optimizer, None)
            .with_class_weights(config.class_weights.clone());
        let batch = Self::time_batches(&loader, &mut learner)?;

        let contract = config.contract(dataset.classes.clone());
        let net = learner.net();
        let evaluator = Evaluator { net: &net, contract: &contract, device: &devices[0] };
        let mut image = 0.0;
        let timed = &validation[..IMAGES.min(validation.len())];
        for sample in timed {
            let begun = Instant::now();
            let (picture, _, spacing) = sample.load_sized()?;
            evaluator.segment(&sample.name, Pixels::from(&picture).with_spacing(spacing))?;
            image += begun.elapsed().as_secs_f64() / timed.len() as f64;
        }
        Ok(Self { batch, image })
    }

    /// Times a few batches, each with a step, and returns the median in seconds.
    fn time_batches(loader: &Arc<Loader>, learner: &mut Learner) -> Result<f64, TrainError> {
        let mut seconds = Vec::new();
        // An epoch of few batches is gone through again.
        let epochs = (0..WARM_UP + TIMED).flat_map(|epoch| loader.epoch(epoch, 0).take(WARM_UP + TIMED));
        for batch in epochs.take(WARM_UP + TIMED) {
            let batch = batch?;
            let begun = Instant::now();
            learner.learn(batch, 1.0);
            learner.step(0.0);
            seconds.push(begun.elapsed().as_secs_f64());
        }
        let mut seconds = seconds.split_off(WARM_UP.min(seconds.len().saturating_sub(1)));
        seconds.sort_by(f64::total_cmp);
        Ok(seconds[seconds.len() / 2])
    }

    /// Returns the epochs that fit `minutes`, for epochs of `batches` and a validation on `images`.
    ///
    /// If even a few passes over all images take longer, an epoch is a part of a pass.
    pub fn fit(&self, minutes: f64, batches: usize, images: usize, training: &TrainingConfig) -> Fitted {
        let seconds = minutes * 60.0 * PLANNED;
        let validation = self.validation(batches, images, training);
        let epochs = |batches: usize| seconds / (self.batch * batches as f64 + validation);
        if epochs(batches) >= EPOCHS_MIN as f64 {
            return Fitted { epochs: epochs(batches) as usize, steps_per_epoch: None };
        }
        let left = (seconds / EPOCHS_MIN as f64 - validation) / self.batch;
        let batches = (left as usize).clamp(1, batches);
        Fitted { epochs: (epochs(batches) as usize).max(1), steps_per_epoch: Some(batches) }
    }

    /// Returns the seconds that an epoch of `batches` takes in the mean, with its share of the
    /// validations on `images`.
    pub fn epoch(&self, batches: usize, images: usize, training: &TrainingConfig) -> f64 {
        self.batch * batches as f64 + self.validation(batches, images, training)
    }

    /// Returns the seconds of a validation that fall to each epoch in the mean.
    fn validation(&self, batches: usize, images: usize, training: &TrainingConfig) -> f64 {
        let mut seconds = self.image * images as f64;
        if training.estimate_statistics {
            let estimates = batches.min(STATISTICS_BATCHES_MAX) as f64 * (1.0 - training.fixed_statistics);
            seconds += FORWARD * self.batch * estimates;
        }
        seconds / training.validate_every as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_epochs_fill_the_time_and_do_not_pass_it() {
        let pace = Pace { batch: 0.5, image: 0.25 };
        for (name, minutes, batches, images, every, epochs, steps) in [
            // 540 seconds of 600 hold epochs of 20 + 5 seconds.
            ("whole passes", 10.0, 40, 20, 1, 21, None),
            ("fewer validations", 10.0, 40, 20, 5, 25, None),
            // Eight epochs of 67.5 seconds, of which 5 are validation.
            ("parts of a pass", 10.0, 1000, 20, 1, 8, Some(125)),
            ("hardly any time", 0.01, 1000, 20, 1, 1, Some(1)),
        ] {
            let training =
                TrainingConfig { validate_every: every, estimate_statistics: false, ..TrainingConfig::default() };
            let found = pace.fit(minutes, batches, images, &training);
            assert_eq!(found, Fitted { epochs, steps_per_epoch: steps }, "{name}");
        }
        // Statistics over 40 batches in half of the epochs cost 0.35 of 20 batches, 3.5 seconds.
        let fitted = pace.fit(10.0, 40, 20, &TrainingConfig::default());
        assert_eq!(fitted.epochs, (540.0_f64 / 28.5) as usize);
        let seconds = pace.epoch(40, 20, &TrainingConfig::default());
        assert!((seconds - 28.5).abs() < 1e-9, "{seconds}");
    }
}
