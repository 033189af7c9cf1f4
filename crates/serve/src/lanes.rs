//! The lanes of a model: sessions that run side by side and take their work from one bounded queue.
//!
//! A lane takes the oldest job, and with it others of the same size that are there already or come
//! within the batch's delay. A job whose client has left, or whose time is over, is not run.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ndarray::{Array, Array4, ArrayView, Axis, RemoveAxis, concatenate};
use seg_contract::Contract;
use seg_data::ImageReader;
use seg_inference::{GraphTensor, Inferred, ModelOutput, Segmenter, Settings, Tiling, WholeImage};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::error::ApiError;
use crate::metrics::Metrics;

/// The pixels that one permit of a budget stands for.
pub(crate) const PIXELS_PER_PERMIT: u64 = 1 << 10;

/// A budget of pixels that all models share.
#[derive(Clone)]
pub(crate) struct Budget {
    permits: Arc<Semaphore>,
    all: u32,
}

impl Budget {
    pub(crate) fn new(pixels: u64) -> Self {
        let all = permits(pixels);
        Self { permits: Arc::new(Semaphore::new(all as usize)), all }
    }

    /// Waits for the share of so many pixels; a request for more than the total takes all.
    pub(crate) async fn take(&self, pixels: u64) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).acquire_many_owned(permits(pixels).min(self.all)).await.ok()
    }
}

fn permits(pixels: u64) -> u32 {
    pixels.div_ceil(PIXELS_PER_PERMIT).clamp(1, u64::from(u32::MAX >> 3)) as u32
}

/// The work of a lane, with the receiver of its result.
pub(crate) enum Work {
    /// A batch in the graph's own form.
    Tensor(GraphTensor, Reply<ModelOutput>),
    /// An image as one input.
    Whole(Box<WholeImage>, Reply<Inferred>),
    /// An image in tiles, which is read while the network runs.
    Tiles(Box<dyn ImageReader>, Tiling, Settings, Reply<(Inferred, Box<dyn ImageReader>)>),
}

/// The receiver of a result.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, ApiError>>;

/// Work that waits, with its share of memory.
pub(crate) struct Job {
    pub(crate) work: Work,
    pub(crate) enqueued: Instant,
    pub(crate) deadline: Instant,
    /// The pixels of the networks' input.
    pub(crate) pixels: u64,
    /// Given back when the job has ended, also if its client has left.
    pub(crate) memory: Option<OwnedSemaphorePermit>,
}

/// The shape that the jobs of one batch share.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Tensor([usize; 3]),
    Whole([usize; 2]),
}

impl Job {
    fn is_wanted(&self) -> bool {
        let is_closed = match &self.work {
            Work::Tensor(_, reply) => reply.is_closed(),
            Work::Whole(_, reply) => reply.is_closed(),
            Work::Tiles(.., reply) => reply.is_closed(),
        };
        !is_closed && Instant::now() < self.deadline
    }

    /// Returns what other jobs must equal to run with this one, and its number of images.
    fn shape(&self) -> Option<(Shape, usize)> {
        match &self.work {
            Work::Tensor(GraphTensor::Floats(images), _) => Some((Shape::Tensor(size(images)), images.len_of(Axis(0)))),
            Work::Tensor(GraphTensor::Bytes(images), _) => Some((Shape::Tensor(size(images)), images.len_of(Axis(0)))),
            Work::Whole(image, _) => Some((Shape::Whole(image.network()), 1)),
            Work::Tiles(..) => None,
        }
    }

    fn refuse(self, error: ApiError) {
        // A client that has left reads no error.
        match self.work {
            Work::Tensor(_, reply) => drop(reply.send(Err(error))),
            Work::Whole(_, reply) => drop(reply.send(Err(error))),
            Work::Tiles(.., reply) => drop(reply.send(Err(error))),
        }
    }
}

fn size<T>(images: &Array4<T>) -> [usize; 3] {
    let (_, a, b, c) = images.dim();
    [a, b, c]
}

/// The rules of batches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batching {
    /// The most images that run at once.
    pub(crate) images: NonZeroUsize,
    /// The time that a lane waits for more.
    pub(crate) delay: Duration,
}

/// The queue that lanes share.
struct Queue {
    jobs: Mutex<Waiting>,
    changed: Condvar,
    batching: Batching,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    is_closed: bool,
}

/// The lanes of one model; dropping this ends them after the jobs that wait.
pub(crate) struct Lanes {
    queue: Arc<Queue>,
}

impl Lanes {
    /// Starts a thread for each segmenter.
    pub(crate) fn start(
        name: &str,
        segmenters: Vec<Segmenter>,
        batching: Batching,
        networks: &Budget,
        metrics: &Arc<Metrics>,
    ) -> std::io::Result<Self> {
        let runtime = Handle::current();
        let queue = Arc::new(Queue { jobs: Mutex::default(), changed: Condvar::new(), batching });
        let lanes = Self { queue };
        for (index, segmenter) in segmenters.into_iter().enumerate() {
            let mut lane = Lane {
                segmenter,
                queue: Arc::clone(&lanes.queue),
                networks: networks.clone(),
                runtime: runtime.clone(),
                metrics: Arc::clone(metrics),
                model: name.to_owned(),
            };
            thread::Builder::new().name(format!("lane-{index}")).spawn(move || lane.run())?;
        }
        Ok(lanes)
    }

    /// Adds a job to the queue. The number of requests that are admitted bounds its length.
    pub(crate) fn add(&self, job: Job) {
        let mut waiting = self.queue.lock();
        waiting.jobs.push_back(job);
        drop(waiting);
        self.queue.changed.notify_all();
    }

    /// Returns the number of jobs that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.lock().jobs.len()
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        self.queue.lock().is_closed = true;
        self.queue.changed.notify_all();
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for jobs that run together; `None` when there will be no more.
    fn next(&self) -> Option<Vec<Job>> {
        let mut waiting = self.lock();
        let first = loop {
            match waiting.jobs.pop_front() {
                Some(job) if job.is_wanted() => break job,
                Some(job) => job.refuse(too_late()),
                None if waiting.is_closed => return None,
                None => waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner),
            }
        };
        let Some((shape, mut images)) = first.shape() else { return Some(vec![first]) };
        let most = self.batching.images.get();
        let until = (first.enqueued + self.batching.delay).min(first.deadline);
        let mut jobs = vec![first];
        loop {
            let mut index = 0;
            while images < most && index < waiting.jobs.len() {
                let fits = |job: &Job| job.shape().filter(|(other, count)| *other == shape && images + count <= most);
                match fits(&waiting.jobs[index]) {
                    Some((_, count)) => {
                        images += count;
                        jobs.extend(waiting.jobs.remove(index));
                    }
                    None => index += 1,
                }
            }
            let now = Instant::now();
            if images >= most || now >= until || waiting.is_closed {
                return Some(jobs);
            }
            waiting = self.changed.wait_timeout(waiting, until - now).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn too_late() -> ApiError {
    ApiError::busy("the request has waited for its time to end; send it again when the server has less to do", 1)
}

/// A session and the thread that runs it.
struct Lane {
    segmenter: Segmenter,
    queue: Arc<Queue>,
    networks: Budget,
    runtime: Handle,
    metrics: Arc<Metrics>,
    model: String,
}

impl Lane {
    fn run(&mut self) {
        let queue = Arc::clone(&self.queue);
        while let Some(jobs) = queue.next() {
            let now = Instant::now();
            for job in &jobs {
                self.metrics.stage("queue", now - job.enqueued);
            }
            let (tensors, others): (Vec<_>, Vec<_>) =
                jobs.into_iter().partition(|job| matches!(job.work, Work::Tensor(..)));
            self.run_tensors(tensors);
            self.run_images(others);
        }
    }

    /// Waits for the share of networks' memory.
    fn permit(&self, pixels: u64) -> Option<OwnedSemaphorePermit> {
        self.runtime.block_on(self.networks.take(pixels))
    }

    fn run_tensors(&mut self, jobs: Vec<Job>) {
        let jobs: Vec<_> = jobs.into_iter().filter(Job::is_wanted).collect();
        if jobs.is_empty() {
            return;
        }
        let _permit = self.permit(jobs.iter().map(|job| job.pixels).sum());
        let tensors = jobs.iter().filter_map(|job| match &job.work {
            Work::Tensor(tensor, _) => Some(tensor),
            _ => None,
        });
        let tensors: Vec<_> = tensors.collect();
        let counts: Vec<_> = tensors.iter().map(|tensor| images_in(tensor)).collect();
        self.metrics.batch(&self.model, counts.iter().sum());
        let start = Instant::now();
        let segmenter = &mut self.segmenter;
        let output = guarded(|| match tensors.as_slice() {
            [tensor] => Ok(segmenter.infer_graph(tensor)?),
            _ => Ok(segmenter.infer_graph(&join(&tensors))?),
        });
        self.metrics.stage("infer", start.elapsed());
        match output {
            // One of them may be to blame: each on its own.
            Err(_) if jobs.len() > 1 => jobs.into_iter().for_each(|job| self.run_tensors(vec![job])),
            Err(error) => jobs.into_iter().for_each(|job| job.refuse(error.clone())),
            Ok(output) => {
                for (job, part) in jobs.into_iter().zip(split(output, &counts)) {
                    if let Work::Tensor(_, reply) = job.work {
                        drop(job.memory);
                        drop(reply.send(Ok(part)));
                    }
                }
            }
        }
    }

    fn run_images(&mut self, jobs: Vec<Job>) {
        let mut whole = Vec::new();
        for job in jobs.into_iter().filter(Job::is_wanted) {
            if let Work::Tiles(..) = &job.work { self.run_tiles(job) } else { whole.push(job) }
        }
        if whole.is_empty() {
            return;
        }
        let _permit = self.permit(whole.iter().map(|job| job.pixels).sum());
        let images = whole.iter().filter_map(|job| match &job.work {
            Work::Whole(image, _) => Some(image.as_ref()),
            _ => None,
        });
        let images: Vec<_> = images.collect();
        self.metrics.batch(&self.model, images.len());
        let start = Instant::now();
        let segmenter = &mut self.segmenter;
        let outputs = guarded(|| Ok(segmenter.infer_batch(&images)?));
        self.metrics.stage("infer", start.elapsed());
        match outputs {
            Err(_) if whole.len() > 1 => whole.into_iter().for_each(|job| self.run_images(vec![job])),
            Err(error) => whole.into_iter().for_each(|job| job.refuse(error.clone())),
            Ok(outputs) => {
                for (job, output) in whole.into_iter().zip(outputs) {
                    if let Work::Whole(_, reply) = job.work {
                        drop(reply.send(Ok(output)));
                    }
                }
            }
        }
    }

    fn run_tiles(&mut self, job: Job) {
        let _permit = self.permit(job.pixels);
        let Job { work: Work::Tiles(mut reader, tiling, settings, reply), memory: _memory, deadline, .. } = job else {
            return;
        };
        self.metrics.batch(&self.model, 1);
        let start = Instant::now();
        let segmenter = &mut self.segmenter;
        let output = guarded(|| {
            // They were checked when the request came.
            segmenter.set(settings).map_err(|error| ApiError::internal(error.to_string()))?;
            let mut watched =
                Watched { reader: reader.as_mut(), is_over: || reply.is_closed() || Instant::now() > deadline };
            Ok(segmenter.infer_tiles(&mut watched, tiling)?)
        });
        self.metrics.stage("infer", start.elapsed());
        drop(reply.send(output.map(|output| (output, reader))));
    }
}

/// An image that is not read any further when nobody waits for its result.
struct Watched<'a, F> {
    reader: &'a mut dyn ImageReader,
    is_over: F,
}

impl<F: Fn() -> bool + Send> ImageReader for Watched<'_, F> {
    fn info(&self) -> &seg_data::ImageInfo {
        self.reader.info()
    }

    fn rows(&mut self, rows: Range<u32>) -> Result<std::borrow::Cow<'_, seg_data::Picture>, seg_data::ReadError> {
        if (self.is_over)() {
            let source = std::io::Error::new(std::io::ErrorKind::TimedOut, "nobody waits for it any more");
            return Err(seg_data::ReadError::File { path: "image".into(), source });
        }
        self.reader.rows(rows)
    }
}

/// Runs a network; a panic is the error of these jobs, and the lane goes on.
fn guarded<T>(run: impl FnOnce() -> Result<T, ApiError>) -> Result<T, ApiError> {
    catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|_| Err(ApiError::internal("the network stopped with a defect of the program")))
}

fn images_in(tensor: &GraphTensor) -> usize {
    match tensor {
        GraphTensor::Floats(images) => images.len_of(Axis(0)),
        GraphTensor::Bytes(images) => images.len_of(Axis(0)),
    }
}

/// Joins batches of one type and size.
fn join(tensors: &[&GraphTensor]) -> GraphTensor {
    const ONE_SIZE: &str = "a batch has tensors of one size";
    let floats: Vec<_> = tensors
        .iter()
        .filter_map(|tensor| match tensor {
            GraphTensor::Floats(images) => Some(images.view()),
            GraphTensor::Bytes(_) => None,
        })
        .collect();
    if floats.len() == tensors.len() {
        return GraphTensor::Floats(concatenate(Axis(0), &floats).expect(ONE_SIZE));
    }
    let bytes: Vec<_> = tensors
        .iter()
        .filter_map(|tensor| match tensor {
            GraphTensor::Bytes(images) => Some(images.view()),
            GraphTensor::Floats(_) => None,
        })
        .collect();
    GraphTensor::Bytes(concatenate(Axis(0), &bytes).expect(ONE_SIZE))
}

/// Splits an output into parts of so many images.
fn split(output: ModelOutput, counts: &[usize]) -> Vec<ModelOutput> {
    if let [_] = counts {
        return vec![output];
    }
    let mut parts = Vec::with_capacity(counts.len());
    let mut first = 0;
    for count in counts {
        let range = first..first + count;
        parts.push(match &output {
            ModelOutput::Scores(scores) => ModelOutput::Scores(part(scores.view(), range.clone())),
            ModelOutput::Masks(masks) => ModelOutput::Masks(part(masks.view(), range.clone())),
        });
        first = range.end;
    }
    parts
}

fn part<T: Clone, D: RemoveAxis>(output: ArrayView<'_, T, D>, images: Range<usize>) -> Array<T, D> {
    output.slice_axis(Axis(0), images.into()).to_owned()
}

/// Returns the pixels of the networks' input for a tensor of this contract.
pub(crate) fn tensor_pixels(contract: &Contract, tensor: &GraphTensor) -> u64 {
    let values = match tensor {
        GraphTensor::Floats(images) => images.len(),
        GraphTensor::Bytes(images) => images.len(),
    };
    (values / contract.input.color.channels().max(1)) as u64
}

/// Converts the reply of a lane that has ended without one.
pub(crate) fn ended<T>(_: T) -> ApiError {
    ApiError::internal("the lane has ended without a result")
}
