//! Batches of augmented images, made ready ahead of the device.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use burn::tensor::TensorData;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use seg_contract::Input;
use seg_data::{Sample, SampleError};
use thiserror::Error;

use crate::data::augment::{Augmentation, Colors, Patch};
use crate::data::batch::Batch;
use crate::data::cache::Cache;
use crate::run::config::Config;

/// The images that the batches of a run are made from, and the settings of the batches.
#[derive(Clone, Debug)]
pub struct Source {
    /// The images to learn from.
    pub samples: Vec<Sample>,
    /// The contract by which an image becomes the network's input.
    pub input: Input,
    /// The random views.
    pub augmentation: Augmentation,
    /// The colours by which views are made.
    pub colors: Colors,
    /// Images per batch; where an epoch is one pass, its last batch may hold fewer.
    pub batch_size: usize,
    /// Batches per epoch, instead of one pass over the images.
    pub steps_per_epoch: Option<usize>,
    /// With the round and the image, what every random number follows from.
    pub seed: u64,
    /// The most memory that decoded images may keep, in bytes; the batches do not depend on it.
    pub cache: usize,
}

impl Source {
    /// Makes the source of a configuration's batches from these images.
    pub fn from_config(config: &Config, samples: Vec<Sample>) -> Self {
        Self {
            samples,
            input: config.contract(Vec::new()).input,
            augmentation: config.augmentation.clone(),
            colors: Colors { mean: config.mean, deviation: config.std },
            batch_size: config.batch_size,
            steps_per_epoch: config.steps_per_epoch,
            seed: config.seed,
            cache: config.cache_mb << 20,
        }
    }
}

/// Makes the batches of a run in threads of its own.
#[derive(Debug)]
pub struct Loader {
    source: Source,
    cache: Cache,
    threads: ThreadPool,
}

/// An error in making a loader.
#[derive(Debug, Error)]
#[error("cannot start {threads} threads that load images")]
pub struct LoaderError {
    threads: usize,
    source: ThreadPoolBuildError,
}

/// An image to be seen: its place among the samples, and how often all of them were seen before.
type Draw = (usize, usize);

/// A view of an image.
struct View {
    /// `[channels, h, w]`, normalised.
    image: Vec<f32>,
    /// `[h, w]`
    labels: Vec<u8>,
    /// The part that the next view of the batch covers, if any.
    patch: Option<Patch>,
}

impl Loader {
    /// Creates a loader with as many threads as the machine runs at once.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn new(source: Source) -> Result<Arc<Self>, LoaderError> {
        Self::with_threads(source, thread::available_parallelism().map_or(1, usize::from))
    }

    fn with_threads(source: Source, threads: usize) -> Result<Arc<Self>, LoaderError> {
        // Threads of its own: in those that compute, an image would hold up a matrix product.
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|index| format!("load-{index}"))
            // The message of a panic is printed where it happens; its batch is then missing, which
            // ends the epoch.
            .panic_handler(|_| {})
            .build();
        let threads = pool.map_err(|source| LoaderError { threads, source })?;
        let cache = Cache::new(source.samples.len(), source.input.size, source.augmentation.detail(), source.cache);
        Ok(Arc::new(Self { source, cache, threads }))
    }

    /// Returns the source of the batches.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Returns the batches of an epoch.
    pub fn batches(&self) -> usize {
        let one_pass = self.source.samples.len().div_ceil(self.source.batch_size);
        self.source.steps_per_epoch.unwrap_or(one_pass)
    }

    /// Returns the images of an epoch.
    pub fn images(&self) -> usize {
        let one_pass = self.source.samples.len();
        self.source.steps_per_epoch.map_or(one_pass, |steps| steps * self.source.batch_size)
    }

    /// Returns the batches of an epoch, counted from 0, without the first `skip`; the same epoch
    /// always gives the same batches.
    ///
    /// A sample that cannot be loaded ends them with its error.
    pub fn epoch(self: &Arc<Self>, epoch: usize, skip: usize) -> Epoch {
        let draws = self.draws(epoch);
        let mut batches = Epoch {
            asked: draws.len().min(skip * self.source.batch_size),
            draws,
            ahead: 1 + self.threads.current_num_threads().div_ceil(self.source.batch_size),
            pending: VecDeque::new(),
            waited: Duration::ZERO,
            loader: Arc::clone(self),
        };
        batches.ask();
        batches
    }

    /// Returns the images of an epoch in order.
    ///
    /// All epochs together see one endless row of rounds, each round every image once in an order
    /// of its own. An epoch is one round, or as much of the row as its steps take.
    fn draws(&self, epoch: usize) -> Vec<Draw> {
        let (images, count) = (self.source.samples.len(), self.images());
        let (first, end) = (epoch * count, (epoch + 1) * count);
        let rounds = first / images..end.div_ceil(images);
        let row = rounds.clone().flat_map(|round| {
            let mut order: Vec<usize> = (0..images).collect();
            order.shuffle(&mut self.rng(round, usize::MAX));
            order.into_iter().map(move |index| (round, index))
        });
        row.skip(first - rounds.start * images).take(count).collect()
    }

    fn batch(&self, draws: &[Draw]) -> Result<Batch, SampleError> {
        let views: Vec<View> =
            draws.par_iter().map(|(round, index)| self.view(*round, *index)).collect::<Result<_, _>>()?;
        let [height, width] = self.source.augmentation.crop.map(|side| side as usize);
        let shape = [views.len(), self.source.input.color.channels(), height, width];
        let (images, labels) = mixed(&views, [height, width]);
        let labels: Vec<i32> = labels.into_iter().map(i32::from).collect();
        Ok(Batch {
            names: draws.iter().map(|(_, index)| self.source.samples[*index].name.clone()).collect(),
            images: TensorData::new(images, shape),
            labels: TensorData::new(labels, [shape[0], height, width]),
        })
    }

    /// Creates one augmented image, normalised, and its labels.
    fn view(&self, round: usize, index: usize) -> Result<View, SampleError> {
        let Source { samples, input, augmentation, colors, .. } = &self.source;
        let picture = self.cache.get(index, &samples[index])?;
        let mut rng = self.rng(round, index);
        let (image, labels) = augmentation.view(&picture, colors, &mut rng);
        let tensor = input.normalize(&image, augmentation.crop.map(|side| side as usize));
        Ok(View {
            image: tensor.into_raw_vec_and_offset().0,
            labels: labels.into_raw(),
            patch: Patch::draw(augmentation, &mut rng),
        })
    }

    /// Returns the generator of one image in one round.
    fn rng(&self, round: usize, index: usize) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.source.seed);
        // A stream of its own for each pair, so that the order of loading does not matter.
        rng.set_stream((round as u64) << 32 | (index as u64 & 0xffff_ffff));
        rng
    }
}

/// Returns the images and the labels of a batch, in each the patch that the next view covers; the
/// last view's next is the first.
fn mixed(views: &[View], size: [usize; 2]) -> (Vec<f32>, Vec<u8>) {
    let (mut images, mut labels) = (Vec::new(), Vec::new());
    let next = views.iter().cycle().skip(1);
    for (view, next) in views.iter().zip(next) {
        let first = [images.len(), labels.len()];
        images.extend_from_slice(&view.image);
        labels.extend_from_slice(&view.labels);
        if let Some(patch) = &view.patch {
            patch.copy(&next.image, &mut images[first[0]..], size);
            patch.copy(&next.labels, &mut labels[first[1]..], size);
        }
    }
    (images, labels)
}

/// The batches of an epoch, in order; a few are always being made while the device works.
pub struct Epoch {
    loader: Arc<Loader>,
    draws: Vec<Draw>,
    /// The images asked for so far.
    asked: usize,
    /// The batches that are being made, or wait, ahead of the one that is used.
    ahead: usize,
    pending: VecDeque<Receiver<Result<Batch, SampleError>>>,
    waited: Duration,
}

impl Epoch {
    /// Returns the time that the caller has waited for batches so far.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// Asks for the batches that are to be made ahead.
    fn ask(&mut self) {
        while self.pending.len() < self.ahead && self.asked < self.draws.len() {
            let end = (self.asked + self.loader.source.batch_size).min(self.draws.len());
            let draws = self.draws[self.asked..end].to_vec();
            self.asked = end;
            let (sender, receiver) = sync_channel(1);
            let loader = Arc::clone(&self.loader);
            // The receiver is gone when training has stopped early; nobody waits for the batch
            // then.
            self.loader.threads.spawn_fifo(move || drop(sender.send(loader.batch(&draws))));
            self.pending.push_back(receiver);
        }
    }
}

impl Iterator for Epoch {
    type Item = Result<Batch, SampleError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.pending.pop_front()?;
        self.ask();
        let begun = Instant::now();
        // A thread that died sends nothing.
        let batch = batch.recv().ok();
        self.waited += begun.elapsed();
        if !matches!(batch, Some(Ok(_))) {
            self.asked = self.draws.len();
            self.pending.clear();
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use image::{GrayImage, Luma, Rgb, RgbImage};
    use seg_contract::{ColorOrder, InputForm, Reading, SizePolicy};
    use seg_data::{Dataset, write_mask_png, write_png};
    use seg_nets::amsunet::AmsUnetConfig;

    use super::*;

    /// Seven pictures, each of a grey of its own.
    fn source(folder: &Path) -> Source {
        for name in ["images", "masks"] {
            fs::create_dir_all(folder.join(name)).unwrap();
        }
        for number in 0..7u8 {
            let image = RgbImage::from_fn(24, 20, |x, y| Rgb([number * 30, x as u8, y as u8]));
            let mask = GrayImage::from_fn(24, 20, |x, _| Luma([u8::from(x > 9)]));
            write_png(&folder.join(format!("images/{number}.png")), &image).unwrap();
            write_mask_png(&folder.join(format!("masks/{number}.png")), &mask, &[[0; 3], [255; 3]]).unwrap();
        }
        Source {
            samples: Dataset::open(folder).unwrap().train,
            input: Input {
                name: "input".into(),
                color: ColorOrder::Rgb,
                mean: vec![0.0; 3],
                std: vec![1.0; 3],
                size: SizePolicy::Native,
                side_min: 16,
                side_multiple: 1,
                form: InputForm::default(),
                reading: Reading::default(),
            },
            augmentation: Augmentation::recipe(20, [16, 16]),
            batch_size: 2,
            colors: Colors { mean: [0.0; 3], deviation: [1.0; 3] },
            steps_per_epoch: None,
            seed: 4,
            cache: 1 << 20,
        }
    }

    fn batches(loader: &Arc<Loader>, epoch: usize) -> Vec<Batch> {
        loader.epoch(epoch, 0).collect::<Result<_, _>>().unwrap()
    }

    fn names(batches: &[Batch]) -> Vec<&str> {
        batches.iter().flat_map(|batch| batch.names.iter().map(String::as_str)).collect()
    }

    #[test]
    fn a_seed_gives_one_row_of_batches_whatever_the_threads() {
        let folder = tempfile::tempdir().unwrap();
        let source = source(folder.path());
        let one = Loader::with_threads(source.clone(), 1).unwrap();
        // With room for some images only.
        let four = Loader::with_threads(Source { cache: 5000, ..source.clone() }, 4).unwrap();
        let other = Loader::with_threads(Source { seed: 5, ..source }, 4).unwrap();
        for epoch in 0..3 {
            let expected = batches(&one, epoch);
            assert_eq!(batches(&four, epoch), expected, "epoch {epoch}");
            assert_eq!(batches(&four, epoch), expected, "epoch {epoch}, once more");
            assert_ne!(batches(&other, epoch), expected, "epoch {epoch}");
        }
    }

    #[test]
    fn an_epoch_is_one_pass_or_a_number_of_steps() {
        let folder = tempfile::tempdir().unwrap();
        let source = source(folder.path());
        for (name, steps_per_epoch, steps, per_epoch) in
            [("one pass", None, 4, 7), ("fewer", Some(2), 2, 4), ("more", Some(9), 9, 18)]
        {
            let loader = Loader::new(Source { steps_per_epoch, ..source.clone() }).unwrap();
            assert_eq!(loader.batches(), steps, "{name}");
            let epochs: Vec<_> = (0..7).map(|epoch| batches(&loader, epoch)).collect();
            assert!(epochs.iter().all(|epoch| epoch.len() == steps && names(epoch).len() == per_epoch), "{name}");
            // Every round of seven holds each image once, wherever the epochs end.
            let row: Vec<_> = epochs.iter().flat_map(|epoch| names(epoch)).collect();
            for round in row.chunks_exact(7) {
                let mut round = round.to_vec();
                round.sort_unstable();
                assert_eq!(round, ["0", "1", "2", "3", "4", "5", "6"], "{name}");
            }
        }
    }

    #[test]
    fn an_image_seen_twice_in_an_epoch_is_seen_differently() {
        let folder = tempfile::tempdir().unwrap();
        let mut source = source(folder.path());
        source.samples.truncate(1);
        let loader = Loader::new(Source { batch_size: 1, steps_per_epoch: Some(2), ..source }).unwrap();
        let batches = batches(&loader, 0);
        assert_eq!(batches[0].names, batches[1].names);
        assert_ne!(batches[0].images, batches[1].images);
    }

    /// Returns edges, and waves from coarse to finer than the network's pixels.
    fn waves(x: f32, y: f32) -> f32 {
        let waves = 60.0 * (x * x * 8.0).sin() + 50.0 * (y * y * 11.0 + x).cos();
        128.0 + if x + y > 3.0 { -waves } else { waves }
    }

    #[test]
    fn a_view_without_changes_is_what_is_validated_and_deployed() {
        for (name, [width, height], bound) in [
            ("smaller than the network's", [20, 14], 1e-5),
            ("of the network's", [32, 24], 0.0),
            ("less than twice as large", [50, 45], 1e-5),
            // Two and a half of 255 steps; an average would come to 0.014.
            ("kept with fewer pixels than its file has", [150, 131], 1e-2),
        ] {
            let folder = tempfile::tempdir().unwrap();
            for name in ["images", "masks"] {
                fs::create_dir(folder.path().join(name)).unwrap();
            }
            let image = RgbImage::from_fn(width, height, |x, y| {
                let [x, y] = [(x, width), (y, height)].map(|(place, side)| 4.0 * place as f32 / side as f32);
                Rgb([waves(x, y), waves(y, x), waves(4.0 - x, y)].map(|value| value as u8))
            });
            write_png(&folder.path().join("images/a.png"), &image).unwrap();
            let mask = GrayImage::from_fn(width, height, |x, _| Luma([u8::from(2 * x >= width)]));
            write_mask_png(&folder.path().join("masks/a.png"), &mask, &[[0; 3], [255; 3]]).unwrap();
            let config = Config {
                size: SizePolicy::Resize { height: 24, width: 32 },
                std: [1.0; 3],
                ..Config::recipe(folder.path().into(), AmsUnetConfig::new(), Augmentation::none(None, [24, 32]))
            };
            let samples = Dataset::open(folder.path()).unwrap().train;
            let (pixels, _) = samples[0].load().unwrap();
            let expected = config.contract(Vec::new()).preprocess(&pixels).unwrap().tensor;
            let loader = Loader::new(Source::from_config(&config, samples)).unwrap();
            let batch = batches(&loader, 0).remove(0);
            let squares = batch.images.iter::<f32>().zip(&expected).map(|(view, seen)| (view - seen).powi(2));
            let apart = (squares.sum::<f32>() / expected.len() as f32).sqrt();
            assert!(apart <= bound, "{name}: {apart} apart in the root mean square");
            let labels = batch.labels.iter::<i32>().collect::<Vec<_>>();
            assert!(labels.chunks(32).all(|row| (0..32).all(|x| row[x] == i32::from(x >= 16))), "{name}: labels");
        }
    }

    #[test]
    fn a_mixed_view_shows_a_part_of_the_next_one_and_its_labels() {
        let folder = tempfile::tempdir().unwrap();
        let mut source = Source { batch_size: 3, ..source(folder.path()) };
        // The whole of each picture, whose red says which it is; the labels move with the columns.
        source.augmentation = Augmentation { flip_horizontal: 0.5, ..Augmentation::none(20, [20, 24]) };
        let plain = batches(&Loader::new(source.clone()).unwrap(), 0);
        source.augmentation.mix = 1.0;
        let mixing = batches(&Loader::new(source).unwrap(), 0);
        let (mut foreign, pixels) = (0, 20 * 24);
        for (plain, mixed) in plain.iter().zip(&mixing) {
            assert_eq!((&plain.names, plain.images.shape()), (&mixed.names, mixed.images.shape()));
            let [before, after] = [plain, mixed].map(|batch| batch.images.as_slice::<f32>().unwrap());
            let [labels_before, labels_after] = [plain, mixed].map(|batch| batch.labels.as_slice::<i32>().unwrap());
            let count = plain.names.len();
            for (place, label) in labels_after.iter().enumerate() {
                let (view, pixel) = (place / pixels, place % pixels);
                let next = (view + 1) % count;
                let red = |view: usize| before[3 * view * pixels + pixel];
                let of = if after[3 * view * pixels + pixel] == red(view) { view } else { next };
                foreign += usize::from(of != view);
                for channel in 0..3 {
                    let at = |view: usize| (3 * view + channel) * pixels + pixel;
                    assert_eq!(after[at(view)], before[at(of)], "pixel {pixel} of view {view}, channel {channel}");
                }
                assert_eq!(*label, labels_before[of * pixels + pixel], "pixel {pixel} of view {view}");
            }
        }
        // The last batch holds one view, which has no other; six views show 0.25 in the mean.
        assert!((200..6 * pixels / 2).contains(&foreign), "{foreign} of {} pixels", 6 * pixels);
    }

    #[test]
    fn a_sample_that_is_gone_ends_the_epoch_with_its_error() {
        let folder = tempfile::tempdir().unwrap();
        let loader = Loader::new(Source { cache: 0, ..source(folder.path()) }).unwrap();
        fs::remove_file(folder.path().join("masks/3.png")).unwrap();
        let results: Vec<_> = loader.epoch(0, 0).collect();
        let (last, before) = results.split_last().unwrap();
        assert!(before.iter().all(Result::is_ok));
        assert!(last.as_ref().unwrap_err().to_string().contains("3.png"));
    }

    #[test]
    fn an_epoch_goes_on_after_the_batches_that_are_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let loader = Loader::new(source(folder.path())).unwrap();
        let whole = batches(&loader, 1);
        for skip in 0..=whole.len() + 1 {
            let rest: Vec<_> = loader.epoch(1, skip).collect::<Result<_, _>>().unwrap();
            assert_eq!(rest, whole[skip.min(whole.len())..], "after {skip}");
        }
    }
}
