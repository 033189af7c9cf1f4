//! The stages of the pipeline: the work of readers, lanes and writers on an image, and their share
//! of memory.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use seg_data::{ImageReader, ReadError, open_image_as};
use seg_inference::{
    Inferred, Prepared, RunsOn, SegmentError, SegmentSteps, Segmenter, Tiling, Timings, WholeImage, digest,
};

use super::{Task, TaskError};
use crate::pipeline::budget::{Budget, Permit, pixels_held, rows_held};
use crate::pipeline::memory::{pixels_in_memory, pixels_in_networks};
use crate::record::SavedFile;
use crate::record::{Prediction, areas};
use crate::save::{Finished, ResultWriter};

/// The result of a task, by its place.
pub(super) type Ended = (usize, Result<Prediction, TaskError>);

/// The state that all stages share.
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

/// An image between two stages.
pub(super) struct Item<'a> {
    index: usize,
    reader: Box<dyn ImageReader>,
    input_bytes: u64,
    input_sha256: String,
    /// The time that opening the file took, before it was decoded.
    open: Duration,
    _in_memory: Permit<'a>,
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
            in_memory: Budget::new(pixels_in_memory()),
            in_networks: Budget::new(pixels_in_networks()),
        }
    }

    /// Starts no further image.
    pub(super) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
    }

    /// Names the image in an error.
    fn name(&self, index: usize, source: SegmentError) -> TaskError {
        match source {
            SegmentError::Read(error) => error.into(),
            source => TaskError::Segment { path: self.tasks[index].input.clone(), source },
        }
    }

    /// Opens and prepares images until there are no more.
    pub(super) fn read(&'a self, ready: &SyncSender<(Item<'a>, Prepared)>, ended: &SyncSender<Ended>) {
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

    fn open(&'a self, index: usize, task: &Task) -> Result<(Item<'a>, Prepared), TaskError> {
        let start = Instant::now();
        // Before it is opened: a file that changes in between has another hash, and a run that
        // continues does it again.
        let content = digest(&task.input);
        let reader = open_image_as(&task.input, &self.steps.reading())?;
        let (input_bytes, input_sha256) =
            content.map_err(|source| ReadError::File { path: task.input.clone(), source })?;
        let info = reader.info().clone();
        let size = [info.height, info.width].map(|side| side as usize);
        let seen = self.steps.seen(&info).map_err(|source| self.name(index, source))?;
        let tiling = self.steps.tiling(seen);
        let rows = match (tiling, info.band) {
            (Some(tiling), Some(band)) => rows_held(size[0], (tiling.size[0] * size[0]).div_ceil(seen[0]), band),
            (None, Some(band)) if self.steps.stretches() => rows_held(size[0], 1, band),
            _ => size[0],
        };
        // The resampled rows are there beside those of the file.
        let resampled = match tiling {
            _ if seen == size => 0,
            Some(tiling) => rows_held(seen[0], tiling.size[0], 1) * seen[1],
            None => seen[0] * seen[1],
        };
        let open = start.elapsed();
        let held = pixels_held(rows, size, self.steps.maps()).saturating_add(resampled as u64);
        let in_memory = self.in_memory.take(held);
        let mut item = Item { index, reader, input_bytes, input_sha256, open, _in_memory: in_memory };
        let prepared = self.steps.prepare(item.reader.as_mut()).map_err(|source| self.name(index, source))?;
        Ok((item, prepared))
    }

    /// Runs the networks on the images of a queue, in batches of at most `batch`.
    pub(super) fn infer(
        &'a self,
        segmenter: &mut Segmenter,
        batch: usize,
        queue: &Mutex<Receiver<(Item<'a>, Prepared)>>,
        inferred: &SyncSender<(Item<'a>, Inferred)>,
        ended: &SyncSender<Ended>,
    ) {
        let mut waiting = None;
        while let Some((item, prepared)) = waiting.take().or_else(|| receive(queue)) {
            let is_taken = match prepared {
                Prepared::Tiles(tiling) => self.infer_tiles(segmenter, item, tiling, inferred, ended),
                Prepared::Whole(image) => {
                    let mut images = vec![(item, image)];
                    // Images that are there already and have the same size; the lane does not wait
                    // for more.
                    while images.len() < batch && waiting.is_none() {
                        let next = queue.try_lock().ok().and_then(|queue| queue.try_recv().ok());
                        match next {
                            Some((item, Prepared::Whole(image))) if image.network() == images[0].1.network() => {
                                images.push((item, image));
                            }
                            Some(other) => waiting = Some(other),
                            None => break,
                        }
                    }
                    self.infer_batch(segmenter, images, inferred, ended)
                }
            };
            if !is_taken {
                break;
            }
        }
    }

    /// Returns whether the next stage takes the result; it does not if the writers have panicked.
    fn infer_tiles(
        &self,
        segmenter: &mut Segmenter,
        mut item: Item<'a>,
        tiling: Tiling,
        inferred: &SyncSender<(Item<'a>, Inferred)>,
        ended: &SyncSender<Ended>,
    ) -> bool {
        let batch = self.steps.settings.batch.map_or(1, NonZeroUsize::get);
        let _in_networks = self.in_networks.take((tiling.size[0] * tiling.size[1] * batch) as u64);
        match segmenter.infer_tiles(item.reader.as_mut(), tiling) {
            Ok(output) => inferred.send((item, output)).is_ok(),
            Err(error) => ended.send((item.index, Err(self.name(item.index, error)))).is_ok(),
        }
    }

    /// Returns whether the next stage takes the results; it does not if the writers have panicked.
    fn infer_batch(
        &self,
        segmenter: &mut Segmenter,
        images: Vec<(Item<'a>, WholeImage)>,
        inferred: &SyncSender<(Item<'a>, Inferred)>,
        ended: &SyncSender<Ended>,
    ) -> bool {
        let outputs = {
            let inputs: Vec<_> = images.iter().map(|(_, image)| image).collect();
            let pixels: usize = inputs.iter().map(|image| image.network().iter().product::<usize>()).sum();
            let _in_networks = self.in_networks.take(pixels as u64);
            segmenter.infer_batch(&inputs)
        };
        match outputs {
            Ok(outputs) => {
                images.into_iter().zip(outputs).all(|((item, _), output)| inferred.send((item, output)).is_ok())
            }
            // One image may be to blame: each on its own.
            Err(_) if images.len() > 1 => {
                images.into_iter().all(|image| self.infer_batch(segmenter, vec![image], inferred, ended))
            }
            Err(error) => {
                let index = images[0].0.index;
                ended.send((index, Err(self.name(index, error)))).is_ok()
            }
        }
    }

    /// Finishes the images of a queue and writes their results.
    pub(super) fn write(&self, queue: &Mutex<Receiver<(Item<'a>, Inferred)>>, ended: &SyncSender<Ended>) {
        while let Some((item, inferred)) = receive(queue) {
            let index = item.index;
            if ended.send((index, self.finish(item, inferred))).is_err() {
                break;
            }
        }
    }

    fn finish(&self, mut item: Item<'a>, inferred: Inferred) -> Result<Prediction, TaskError> {
        let task = &self.tasks[item.index];
        let segmentation = self.steps.finish(inferred).map_err(|source| self.name(item.index, source))?;
        let start = Instant::now();
        let info = item.reader.info().clone();
        let mut finished = Finished { name: &task.name, image: item.reader.as_mut(), segmentation: &segmentation };
        let files = self.writers.iter().map(|writer| SavedFile::write(writer.as_ref(), self.folder, &mut finished));
        let files = files.collect::<Result<Vec<_>, _>>()?;
        let Timings { decode, preprocess, infer, postprocess } = segmentation.timings;
        Ok(Prediction {
            name: task.name.clone(),
            input: task.input.to_string_lossy().into_owned(),
            input_bytes: item.input_bytes,
            input_sha256: item.input_sha256,
            width: info.width,
            height: info.height,
            orientation: info.orientation,
            network: segmentation.network,
            resampled: segmentation.resampled,
            tiles: segmentation.tiles,
            spacing_mm: info.spacing,
            level: info.level,
            window: info.window,
            area: areas(&segmentation.mask, &self.steps.contract.classes, info.spacing),
            files,
            runs_on: self.runs_on.clone(),
            decode_ms: milliseconds(item.open + decode),
            preprocess_ms: milliseconds(preprocess),
            infer_ms: milliseconds(infer),
            postprocess_ms: milliseconds(postprocess),
            encode_ms: milliseconds(start.elapsed()),
        })
    }
}

/// Waits for the next item of a queue that several threads share; returns `None` when the stage
/// before it has ended.
fn receive<T>(queue: &Mutex<Receiver<T>>) -> Option<T> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

/// Converts a duration to milliseconds, to the microsecond.
fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e3
}
