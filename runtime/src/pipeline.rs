//! Many image files to many result files, in stages that overlap.
//!
//! ```text
//! readers: decode, preprocess -> lanes: the network -> writers: postprocess, encode -> the caller: a line each
//! ```
//!
//! Queues between stages are bounded, and so are the pixels that are in memory and those that the network works on, so that
//! memory does not grow with the number of images. On the CPU there are several lanes of few threads each: the network's
//! operators then do not wait for each other's threads, and what the other stages take is not missing in each operator.

use std::{
    io::{self, Write},
    num::NonZeroUsize,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Instant,
};

use seg_data::{ImageReader, ReadError, WriteError, open_image, write_atomic};
use seg_onnx::contract::{Geometry, Preprocessed};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::{
    answer::{Recipe, Reply, milliseconds_since},
    budget::{Budget, Permit},
    job::{digest, hex},
    manifest::ManifestError,
    prediction::{Prediction, SavedFile, areas},
    provider::Provider,
    segmenter::{SegmentError, Segmentation, Segmenter, Timings},
    tiles::Tiling,
    writers::{Finished, ResultWriter},
};

/// How many pixels of images are in memory at once, with all that is made of them; see [`pixels_held`].
const PIXELS_IN_MEMORY: u64 = 1 << 26;
/// What a pixel of them takes, in bytes: its colours, and three `f32` that the network is given.
const BYTES_PER_PIXEL: u64 = 16;
/// How many pixels the networks work on at once; a network takes several hundred bytes for each.
const PIXELS_IN_NETWORKS: u64 = 1 << 22;
/// The most lanes; each has its own copy of the model.
const LANES_MAX: usize = 8;
/// The most readers, and the most writers.
const WORKERS_MAX: usize = 8;

/// An image to be segmented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// The image file.
    pub input: PathBuf,
    /// The name of its results, without an extension.
    pub name: String,
}

/// Why an image file could not be segmented into files.
#[derive(Debug, Error)]
pub enum TaskError {
    /// The image cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The image cannot be segmented.
    #[error("cannot segment `{path}`")]
    Segment {
        /// The image.
        path: PathBuf,
        /// Why.
        source: SegmentError,
    },
    /// A result cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl TaskError {
    /// Whether the image is to blame, so that others may still succeed; otherwise the output folder is.
    pub fn is_about_the_image(&self) -> bool {
        match self {
            Self::Read(_) | Self::Segment { .. } => true,
            // Drawing onto an image reads it again.
            Self::Write(WriteError::Content { source, .. }) => {
                source.get_ref().is_some_and(|cause| cause.is::<ReadError>())
            }
            Self::Write(_) => false,
        }
    }
}

/// How many networks run side by side, and with how many threads each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lanes {
    /// The number of networks.
    pub count: usize,
    /// The CPU threads of each.
    pub threads: NonZeroUsize,
}

impl Lanes {
    /// The lanes for so many images and threads; all cores unless given.
    pub fn new(provider: Provider, images: usize, threads: Option<NonZeroUsize>) -> Self {
        let threads = threads.unwrap_or_else(cores);
        let count = if provider == Provider::Cpu { images.min(threads.get()).clamp(1, LANES_MAX) } else { 1 };
        Self { count, threads: NonZeroUsize::new(threads.get() / count).unwrap_or(NonZeroUsize::MIN) }
    }
}

fn cores() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Segments image files into files, and reports each as it is complete.
///
/// `segmenters` are the lanes: the same model with the same settings, once for each. Files are written below `folder`, where
/// their folders must exist. `report` gets the place of a task and what came of it, in the order in which tasks end; when
/// it breaks, no further image is begun, and those under way are still reported.
///
/// # Panics
/// When there is no segmenter, or a stage panics: then the others end what they can without it.
pub fn run(
    segmenters: &mut [Segmenter],
    tasks: &[Task],
    folder: &Path,
    writers: &[Box<dyn ResultWriter>],
    mut report: impl FnMut(usize, Result<Prediction, TaskError>) -> ControlFlow<()>,
) {
    let recipe = segmenters[0].recipe().clone();
    let stages = Stages {
        tasks,
        folder,
        writers,
        recipe: &recipe,
        provider: segmenters[0].provider(),
        next: AtomicUsize::new(0),
        is_stopped: AtomicBool::new(false),
        in_memory: Budget::new(PIXELS_IN_MEMORY),
        in_networks: Budget::new(PIXELS_IN_NETWORKS),
    };
    let batch = recipe.settings.batch.map_or(1, NonZeroUsize::get);
    let workers = (cores().get() / 2).clamp(1, WORKERS_MAX);
    let (ready, to_lanes) = sync_channel(segmenters.len() * batch);
    let (answered, to_writers) = sync_channel(workers);
    let (ended, results) = sync_channel(tasks.len().max(1));
    let (to_lanes, to_writers) = (Arc::new(Mutex::new(to_lanes)), Arc::new(Mutex::new(to_writers)));
    thread::scope(|scope| {
        let stages = &stages;
        for _ in 0..workers {
            let (ready, ended) = (ready.clone(), ended.clone());
            scope.spawn(move || stages.read(&ready, &ended));
        }
        for segmenter in segmenters {
            let (to_lanes, answered, ended) = (Arc::clone(&to_lanes), answered.clone(), ended.clone());
            scope.spawn(move || stages.infer(segmenter, batch, &to_lanes, &answered, &ended));
        }
        for _ in 0..workers {
            let (to_writers, ended) = (Arc::clone(&to_writers), ended.clone());
            scope.spawn(move || stages.write(&to_writers, &ended));
        }
        // What is left of the queues is the threads' own, so that each ends with the stage before it, and with the one
        // after it where that panics: nobody waits to hand over what nobody takes.
        drop((ready, to_lanes, answered, to_writers, ended));
        for (index, result) in results {
            if report(index, result).is_break() {
                stages.is_stopped.store(true, Ordering::Relaxed);
            }
        }
    });
}

/// Makes the folders that the writers write to, and gives them back.
///
/// # Errors
/// When one cannot be created.
pub fn create_folders(folder: &Path, writers: &[Box<dyn ResultWriter>]) -> Result<Vec<PathBuf>, ManifestError> {
    let mut folders: Vec<_> = writers.iter().map(|writer| folder.join(&writer.place().folder)).collect();
    folders.dedup();
    for path in &folders {
        std::fs::create_dir_all(path).map_err(|source| ManifestError::Folder { path: path.clone(), source })?;
    }
    Ok(folders)
}

/// What a task came to, by its place.
type Ended = (usize, Result<Prediction, TaskError>);

/// What all stages know.
struct Stages<'a> {
    tasks: &'a [Task],
    folder: &'a Path,
    writers: &'a [Box<dyn ResultWriter>],
    recipe: &'a Recipe,
    provider: Provider,
    next: AtomicUsize,
    is_stopped: AtomicBool,
    in_memory: Budget,
    in_networks: Budget,
}

/// An image on its way.
struct Item<'a> {
    index: usize,
    reader: Box<dyn ImageReader>,
    input_bytes: u64,
    input_sha256: String,
    decode_ms: f64,
    preprocess_ms: f64,
    infer_ms: f64,
    _in_memory: Permit<'a>,
}

/// What a reader hands to a lane.
enum Ready {
    Whole(Preprocessed),
    InTiles(Tiling),
}

/// What a lane hands to a writer.
enum Answered {
    Whole(Reply, Geometry),
    InTiles(Box<Segmentation>),
}

impl<'a> Stages<'a> {
    fn failed(&self, index: usize, source: SegmentError) -> Ended {
        let path = || self.tasks[index].input.clone();
        (
            index,
            Err(match source {
                SegmentError::Read(error) => error.into(),
                source => TaskError::Segment { path: path(), source },
            }),
        )
    }

    fn read(&'a self, ready: &SyncSender<(Item<'a>, Ready)>, ended: &SyncSender<Ended>) {
        while !self.is_stopped.load(Ordering::Relaxed) {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(task) = self.tasks.get(index) else { break };
            let is_over = match self.open(index, task) {
                Ok(item) => ready.send(item).is_err(),
                Err(error) => ended.send((index, Err(error))).is_err(),
            };
            if is_over {
                break;
            }
        }
    }

    fn open(&'a self, index: usize, task: &Task) -> Result<(Item<'a>, Ready), TaskError> {
        let start = Instant::now();
        // Before it is opened: what changes in between has another hash, and is done again by a run that goes on.
        let content = digest(&task.input);
        let reader = open_image(&task.input)?;
        let (input_bytes, input_sha256) =
            content.map_err(|source| ReadError::File { path: task.input.clone(), source })?;
        let info = reader.info().clone();
        let size = [info.height, info.width].map(|side| side as usize);
        let tiling = self.recipe.settings.tiling(&self.recipe.contract, size);
        let rows = match tiling {
            Some(tiling) if info.in_bands => size[0].min(2 * tiling.size[0]),
            _ => size[0],
        };
        let mut item = Item {
            index,
            reader,
            input_bytes,
            input_sha256,
            decode_ms: milliseconds_since(start),
            preprocess_ms: 0.0,
            infer_ms: 0.0,
            _in_memory: self.in_memory.take(pixels_held(rows, size, self.recipe.maps())),
        };
        if let Some(tiling) = tiling {
            return Ok((item, Ready::InTiles(tiling)));
        }
        let start = Instant::now();
        let picture = item.reader.rows(0..info.height)?;
        item.decode_ms += milliseconds_since(start);
        let start = Instant::now();
        let segment = |source: seg_onnx::contract::PreprocessError| TaskError::Segment {
            path: task.input.clone(),
            source: source.into(),
        };
        let input = self.recipe.prepare(picture.pixels()).map_err(segment)?;
        item.preprocess_ms = milliseconds_since(start);
        Ok((item, Ready::Whole(input)))
    }

    fn infer(
        &'a self,
        segmenter: &mut Segmenter,
        batch: usize,
        queue: &Mutex<Receiver<(Item<'a>, Ready)>>,
        answered: &SyncSender<(Item<'a>, Answered)>,
        ended: &SyncSender<Ended>,
    ) {
        let mut waiting = None;
        while let Some((item, ready)) = waiting.take().or_else(|| receive(queue)) {
            let is_taken = match ready {
                Ready::InTiles(tiling) => self.infer_tiles(segmenter, item, tiling, answered, ended),
                Ready::Whole(input) => {
                    let mut images = vec![(item, input)];
                    // Whatever is there already and has the same size; the lane does not wait for more.
                    while images.len() < batch && waiting.is_none() {
                        let next = queue.try_lock().ok().and_then(|queue| queue.try_recv().ok());
                        match next {
                            Some((item, Ready::Whole(input))) if input.tensor.dim() == images[0].1.tensor.dim() => {
                                images.push((item, input));
                            }
                            Some(other) => waiting = Some(other),
                            None => break,
                        }
                    }
                    self.infer_batch(segmenter, images, answered, ended)
                }
            };
            if !is_taken {
                break;
            }
        }
    }

    /// Whether somebody takes what comes of it: nobody does where the writers have panicked.
    fn infer_tiles(
        &self,
        segmenter: &mut Segmenter,
        mut item: Item<'a>,
        tiling: Tiling,
        answered: &SyncSender<(Item<'a>, Answered)>,
        ended: &SyncSender<Ended>,
    ) -> bool {
        let batch = self.recipe.settings.batch.map_or(1, NonZeroUsize::get);
        let _in_networks = self.in_networks.take((tiling.size[0] * tiling.size[1] * batch) as u64);
        match segmenter.segment_tiles(item.reader.as_mut(), tiling) {
            Ok(segmentation) => {
                item.preprocess_ms = segmentation.timings.preprocess.as_secs_f64() * 1e3;
                item.infer_ms = segmentation.timings.infer.as_secs_f64() * 1e3;
                answered.send((item, Answered::InTiles(Box::new(segmentation)))).is_ok()
            }
            Err(error) => ended.send(self.failed(item.index, error)).is_ok(),
        }
    }

    /// Whether somebody takes what comes of it: nobody does where the writers have panicked.
    fn infer_batch(
        &self,
        segmenter: &mut Segmenter,
        images: Vec<(Item<'a>, Preprocessed)>,
        answered: &SyncSender<(Item<'a>, Answered)>,
        ended: &SyncSender<Ended>,
    ) -> bool {
        let count = images.len();
        let answers = {
            let inputs: Vec<_> = images.iter().map(|(_, input)| input.tensor.view()).collect();
            let pixels: usize = images.iter().map(|(_, input)| input.geometry.network.iter().product::<usize>()).sum();
            let _in_networks = self.in_networks.take(pixels as u64);
            let start = Instant::now();
            segmenter.answer(&inputs).map(|answers| (answers, milliseconds_since(start) / count as f64))
        };
        match answers {
            Ok((answers, infer_ms)) => {
                let send = |((mut item, input), answer): ((Item<'a>, Preprocessed), Reply)| {
                    item.infer_ms = infer_ms;
                    answered.send((item, Answered::Whole(answer, input.geometry))).is_ok()
                };
                images.into_iter().zip(answers).all(send)
            }
            // One image may be to blame: each on its own.
            Err(_) if count > 1 => {
                images.into_iter().all(|image| self.infer_batch(segmenter, vec![image], answered, ended))
            }
            Err(error) => ended.send(self.failed(images[0].0.index, error)).is_ok(),
        }
    }

    fn write(&self, queue: &Mutex<Receiver<(Item<'a>, Answered)>>, ended: &SyncSender<Ended>) {
        while let Some((item, answered)) = receive(queue) {
            let index = item.index;
            if ended.send((index, self.finish(item, answered))).is_err() {
                break;
            }
        }
    }

    fn finish(&self, mut item: Item<'a>, answered: Answered) -> Result<Prediction, TaskError> {
        let task = &self.tasks[item.index];
        let (segmentation, postprocess_ms) = match answered {
            Answered::InTiles(segmentation) => {
                let postprocess = segmentation.timings.postprocess.as_secs_f64() * 1e3;
                (*segmentation, postprocess)
            }
            Answered::Whole(answer, geometry) => {
                let start = Instant::now();
                let segment = |source| TaskError::Segment { path: task.input.clone(), source };
                let mut known = self.recipe.interpret(answer, &geometry).map_err(segment)?;
                self.recipe.clean(&mut known.mask);
                (Segmentation::whole(known, geometry.network, Timings::default()), milliseconds_since(start))
            }
        };
        let start = Instant::now();
        let info = item.reader.info().clone();
        let mut finished = Finished { name: &task.name, image: item.reader.as_mut(), segmentation: &segmentation };
        let files = self.writers.iter().map(|writer| save(writer.as_ref(), self.folder, &mut finished));
        let files = files.collect::<Result<Vec<_>, _>>()?;
        Ok(Prediction {
            name: task.name.clone(),
            input: task.input.to_string_lossy().into_owned(),
            input_bytes: item.input_bytes,
            input_sha256: item.input_sha256,
            width: info.width,
            height: info.height,
            orientation: info.orientation,
            network: segmentation.network,
            tiles: segmentation.tiles,
            area: areas(&segmentation.mask, &self.recipe.contract.classes),
            files,
            provider: self.provider,
            decode_ms: item.decode_ms,
            preprocess_ms: item.preprocess_ms,
            infer_ms: item.infer_ms,
            postprocess_ms,
            encode_ms: milliseconds_since(start),
        })
    }
}

/// What an image of a height and width counts for while it is in memory, in pixels: the rows of it that are there at once,
/// and the whole mask and so many maps of `f32` by their bytes.
fn pixels_held(rows: usize, size: [usize; 2], maps: usize) -> u64 {
    let [rows, height, width, maps] = [rows, size[0], size[1], maps].map(|count| count as u64);
    let results = height.saturating_mul(width).saturating_mul(1 + maps * size_of::<f32>() as u64);
    rows.saturating_mul(width).saturating_add(results / BYTES_PER_PIXEL)
}

/// Waits for the next item of a queue that several threads take from; nothing when the stage before it has ended.
fn receive<T>(queue: &Mutex<Receiver<T>>) -> Option<T> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

/// Writes one file.
fn save(writer: &dyn ResultWriter, folder: &Path, finished: &mut Finished<'_>) -> Result<SavedFile, WriteError> {
    let path = writer.place().path(finished.name);
    let mut sha256 = String::new();
    write_atomic(&folder.join(&path), |out| {
        let mut hashed = Hashed { out, hash: Sha256::new() };
        writer.write(finished, &mut hashed)?;
        sha256 = hex(&hashed.hash.finalize());
        Ok(())
    })?;
    Ok(SavedFile { kind: writer.place().save, path, sha256 })
}

/// Hashes what is written.
struct Hashed<'a> {
    out: &'a mut dyn Write,
    hash: Sha256,
}

impl Write for Hashed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_counts_with_its_whole_mask_and_its_maps() {
        const MIB: u64 = 1 << 20;
        for (name, rows, size, maps, expected) in [
            ("a pixel", 1, [1, 1], 0, 1),
            ("in memory as a whole", 1024, [1024, 2048], 0, 2 * MIB + MIB / 8),
            ("with three maps", 1024, [1024, 2048], 3, 2 * MIB + 13 * MIB / 8),
            ("in bands", 1024, [32 * 1024, 1024], 0, MIB + 2 * MIB),
            ("in bands with two maps", 1024, [32 * 1024, 1024], 2, MIB + 18 * MIB),
            ("more than can be counted", usize::MAX, [usize::MAX; 2], 1, u64::MAX),
        ] {
            assert_eq!(pixels_held(rows, size, maps), expected, "{name}");
        }
    }

    #[test]
    fn lanes_share_the_threads_and_are_no_more_than_the_images() {
        for (name, provider, images, threads, expected) in [
            ("many images", Provider::Cpu, 100, 2, (2, 1)),
            ("one image", Provider::Cpu, 1, 4, (1, 4)),
            ("few images", Provider::Cpu, 3, 8, (3, 2)),
            ("many threads", Provider::Cpu, 100, 32, (8, 4)),
            ("nothing to do", Provider::Cpu, 0, 2, (1, 2)),
            ("a GPU", Provider::Cuda, 100, 8, (1, 8)),
        ] {
            let lanes = Lanes::new(provider, images, NonZeroUsize::new(threads));
            assert_eq!((lanes.count, lanes.threads.get()), expected, "{name}");
        }
    }
}
