//! The training loop, from the start of a run or from where it stopped.

mod error;
mod event;
mod memory;
mod training;

use std::sync::atomic::{AtomicBool, Ordering};

use seg_contract::LearnedFrom;
use seg_data::{Sample, SampleError, image_digests};

pub use error::TrainError;
pub use event::Event;
pub(crate) use training::STATISTICS_BATCHES_MAX;

use seg_nets::checkpoint::Checkpoint;
use seg_nets::runs;

use crate::data::loader::{Loader, Source};
use crate::run::ending::Ending;
use crate::run::record::EpochRecord;
use crate::run::{self, Run, Session};
use training::Training;

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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use burn::tensor::Device;
    use image::{GrayImage, Luma, Rgb, RgbImage};
    use seg_data::{Dataset, write_mask_png, write_png};
    use seg_nets::amsunet::AmsUnetConfig;

    use super::*;
    use crate::data::augment::Augmentation;
    use crate::data::split::Split;
    use crate::run::config::Config;
    use crate::run::state::State;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use seg_nets::network::NetworkName;
    use seg_nets::weights::Weights;

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
