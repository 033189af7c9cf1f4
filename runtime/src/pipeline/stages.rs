//! The stages of the pipeline: what readers, lanes and writers do with an image, and what they have of memory.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use seg_contract::{Geometry, PreprocessError, Preprocessed};
use seg_data::{ImageReader, ReadError, open_image};
use seg_inference::Tiling;
use seg_inference::digest;
use seg_inference::segment::steps::{RawOutput, SegmentSteps, milliseconds_since};
use seg_inference::session::RunsOn;
use seg_inference::{SegmentError, Segmentation, Segmenter, Timings};

use super::{Task, TaskError};
use crate::pipeline::budget::{Budget, Permit, pixels_held, rows_held};
use crate::record::SavedFile;
use crate::record::{Prediction, areas};
use crate::save::{Finished, ResultWriter};

/// How many pixels of images are in memory at once, with all that is made of them; see [`pixels_held`].
const PIXELS_IN_MEMORY: u64 = 1 << 26;
/// How many pixels the networks work on at once; a network takes several hundred bytes for each.
pub(super) const PIXELS_IN_NETWORKS: u64 = 1 << 22;

/// What a task came to, by its place.
pub(super) type Ended = (usize, Result<Prediction, TaskError>);

/// What all stages know.
pub(super) struct Stages<'a> {
    tasks: &'a [Task],
    folder: &'a Path,
    writers: &'a [Box<dyn ResultWriter>],
    steps: &'a SegmentSteps,
    runs_on: RunsOn,
    next: AtomicUsize,
    is_stopped: AtomicBool,
    in_memory: Budget,
    in_networks: Budget,
}

/// An image on its way.
pub(super) struct Item<'a> {
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
pub(super) enum Ready {
    Whole(Preprocessed),
    InTiles(Tiling),
}

/// What a lane hands to a writer.
pub(super) enum Answered {
    Whole(RawOutput, Geometry),
    InTiles(Box<Segmentation>),
}

impl<'a> Stages<'a> {
    pub(super) fn new(
        tasks: &'a [Task],
        folder: &'a Path,
        writers: &'a [Box<dyn ResultWriter>],
        steps: &'a SegmentSteps,
        runs_on: RunsOn,
    ) -> Self {
        Self {
            tasks,
            folder,
            writers,
            steps,
            runs_on,
            next: AtomicUsize::new(0),
            is_stopped: AtomicBool::new(false),
            in_memory: Budget::new(PIXELS_IN_MEMORY),
            in_networks: Budget::new(PIXELS_IN_NETWORKS),
        }
    }

    /// Lets no further image be begun.
    pub(super) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
    }

    fn failed(&self, index: usize, source: SegmentError) -> Ended {
        let error = match source {
            SegmentError::Read(error) => error.into(),
            source => TaskError::Segment { path: self.tasks[index].input.clone(), source },
        };
        (index, Err(error))
    }

    pub(super) fn read(&'a self, ready: &SyncSender<(Item<'a>, Ready)>, ended: &SyncSender<Ended>) {
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
        let tiling = self.steps.tiling(size);
        let rows = match (tiling, info.band) {
            (Some(tiling), Some(band)) => rows_held(size[0], tiling.size[0], band),
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
            _in_memory: self.in_memory.take(pixels_held(rows, size, self.steps.maps())),
        };
        if let Some(tiling) = tiling {
            return Ok((item, Ready::InTiles(tiling)));
        }
        let start = Instant::now();
        let picture = item.reader.rows(0..info.height)?;
        item.decode_ms += milliseconds_since(start);
        let start = Instant::now();
        let segment = |source: PreprocessError| TaskError::Segment { path: task.input.clone(), source: source.into() };
        let input = self.steps.prepare(picture.pixels()).map_err(segment)?;
        item.preprocess_ms = milliseconds_since(start);
        Ok((item, Ready::Whole(input)))
    }

    pub(super) fn infer(
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
        let batch = self.steps.settings.batch.map_or(1, NonZeroUsize::get);
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
            segmenter.infer(&inputs).map(|answers| (answers, milliseconds_since(start) / count as f64))
        };
        match answers {
            Ok((answers, infer_ms)) => {
                let send = |((mut item, input), answer): ((Item<'a>, Preprocessed), RawOutput)| {
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

    pub(super) fn write(&self, queue: &Mutex<Receiver<(Item<'a>, Answered)>>, ended: &SyncSender<Ended>) {
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
                let mut known = self.steps.interpret(answer, &geometry).map_err(segment)?;
                self.steps.clean(&mut known.mask);
                (Segmentation::whole(known, geometry.network, Timings::default()), milliseconds_since(start))
            }
        };
        let start = Instant::now();
        let info = item.reader.info().clone();
        let mut finished = Finished { name: &task.name, image: item.reader.as_mut(), segmentation: &segmentation };
        let files = self.writers.iter().map(|writer| SavedFile::write(writer.as_ref(), self.folder, &mut finished));
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
            area: areas(&segmentation.mask, &self.steps.contract.classes),
            files,
            runs_on: self.runs_on.clone(),
            decode_ms: item.decode_ms,
            preprocess_ms: item.preprocess_ms,
            infer_ms: item.infer_ms,
            postprocess_ms,
            encode_ms: milliseconds_since(start),
        })
    }
}

/// Waits for the next item of a queue that several threads take from; nothing when the stage before it has ended.
fn receive<T>(queue: &Mutex<Receiver<T>>) -> Option<T> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}
