//! Segments many image files to many result files, in stages that overlap.
//!
//! ```text
//! readers: decode, prepare -> lanes: the networks -> writers: finish, encode -> the caller: report
//! ```
//!
//! Queues between stages are bounded, and so are the pixels that are in memory and those that the
//! network works on, so that memory does not grow with the number of images. On the CPU there are
//! several lanes of few threads each: the network's operators then do not wait for each other's
//! threads, and threads that are busy in other stages do not delay each operator.

mod budget;
mod memory;
mod stages;

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::thread;

pub use memory::{pixels_in_memory, pixels_in_networks, whole_pixels_max};
use seg_contract::{Contract, Input, Reading};
use seg_data::{PicturePath, ReadError, WriteError, open_image_as, stored_size_as};
use seg_inference::{Provider, RunError, SegmentError, Segmenter, Settings, available_threads};
use stages::Stages;
use thiserror::Error;

use crate::record::Prediction;
use crate::record::RecordError;
use crate::save::ResultWriter;

/// The most lanes; each has its own copy of the model.
const LANES_MAX: usize = 8;
/// The most readers, and the most writers.
const WORKERS_MAX: usize = 8;

/// An image to be segmented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// The image file.
    pub input: PathBuf,
    /// The name of the image's results, without an extension.
    pub name: String,
}

/// The reason for which an image file could not be segmented into files.
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
        /// The cause.
        source: SegmentError,
    },
    /// A result cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl TaskError {
    /// Returns whether the image is to blame, so that others may still succeed, and not the output
    /// folder or the provider.
    pub fn is_about_the_image(&self) -> bool {
        match self {
            Self::Segment { source: SegmentError::Run(RunError::Provider { .. }), .. } => false,
            Self::Read(_) | Self::Segment { .. } => true,
            // Drawing onto an image reads it again.
            Self::Write(WriteError::Content { source, .. }) => {
                source.get_ref().is_some_and(|cause| cause.is::<ReadError>())
            }
            Self::Write(_) => false,
        }
    }
}

/// The networks that run side by side, and their threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lanes {
    /// The CPU threads of each network.
    pub threads: Vec<NonZeroUsize>,
}

impl Lanes {
    /// Divides the threads among lanes for `images` images; all processors that may be used unless
    /// given.
    ///
    /// `largest` returns the most pixels that a network works on at once; it is called if several
    /// lanes are possible. There are no more lanes than can work at the same time in bounded
    /// memory, so that no thread waits for a lane.
    pub fn new(
        provider: Provider,
        images: usize,
        threads: Option<NonZeroUsize>,
        largest: impl FnOnce() -> usize,
    ) -> Self {
        Self::within(pixels_in_networks(), provider, images, threads, largest)
    }

    /// Divides the threads among lanes that work on at most `at_once` pixels.
    fn within(
        at_once: u64,
        provider: Provider,
        images: usize,
        threads: Option<NonZeroUsize>,
        largest: impl FnOnce() -> usize,
    ) -> Self {
        let threads = threads.unwrap_or_else(available_threads).get();
        let most = if provider.spec().gains_from_lanes { images.min(threads).clamp(1, LANES_MAX) } else { 1 };
        let fit = || (at_once as usize / largest().max(1)).max(1);
        let count = if most > 1 { most.min(fit()) } else { 1 };
        let of = |lane| threads / count + usize::from(lane < threads % count);
        Self { threads: (0..count).filter_map(|lane| NonZeroUsize::new(of(lane))).collect() }
    }
}

/// Returns the most pixels that the network works on at once for any of these images, by the heads
/// of their files.
///
/// A file that cannot be read counts for nothing: segmenting it will report the error.
pub fn largest_at_once<'a>(
    inputs: impl IntoIterator<Item = &'a Path>,
    contract: &Contract,
    settings: &Settings,
) -> usize {
    let reading = contract.input.reading.or(settings.reading);
    let mut last = None;
    // The slices of a volume have one size.
    let firsts = inputs.into_iter().filter(|input| {
        let file = PicturePath::new(input).file;
        let is_first = last.as_ref() != Some(&file);
        last = Some(file);
        is_first
    });
    let sizes = firsts.filter_map(|input| size_seen(input, contract, &reading));
    sizes.map(|size| settings.pixels_at_once(contract, size)).max().unwrap_or(0)
}

/// Returns the height and width at which the network sees an image, by the head of its file.
fn size_seen(input: &Path, contract: &Contract, reading: &Reading) -> Option<[usize; 2]> {
    if reading.resample.is_none() {
        let (width, height) = stored_size_as(input, reading).ok()?;
        return Some([height as usize, width as usize]);
    }
    let reader = open_image_as(input, reading).ok()?;
    let info = reader.info();
    let input = Input { reading: *reading, ..contract.input.clone() };
    input.resampled([info.height as usize, info.width as usize], info.spacing).ok()
}

/// Segments image files into files, and reports each when it is complete.
///
/// `segmenters` are the lanes: the same model with the same settings, once for each. Files are
/// written below `folder`, where their folders must exist. `report` gets the place of a task and
/// its result, in the order in which tasks end; when it breaks, no further image is started, and
/// those under way are still reported.
///
/// # Panics
/// When there is no segmenter, or a stage panics: the other stages then finish what they can
/// without it.
pub fn run(
    segmenters: &mut [Segmenter],
    tasks: &[Task],
    folder: &Path,
    writers: &[Box<dyn ResultWriter>],
    mut report: impl FnMut(usize, Result<Prediction, TaskError>) -> ControlFlow<()>,
) {
    let steps = segmenters[0].steps().clone();
    let stages = Stages::new(tasks, folder, writers, &steps, segmenters[0].runs_on());
    let batch = steps.settings.batch.map_or(1, NonZeroUsize::get);
    let workers = (available_threads().get() / 2).clamp(1, WORKERS_MAX);
    let (ready, to_lanes) = sync_channel(segmenters.len() * batch);
    let (inferred, to_writers) = sync_channel(workers);
    let (ended, results) = sync_channel(workers);
    let (to_lanes, to_writers) = (Arc::new(Mutex::new(to_lanes)), Arc::new(Mutex::new(to_writers)));
    thread::scope(|scope| {
        let stages = &stages;
        for _ in 0..workers {
            let (ready, ended) = (ready.clone(), ended.clone());
            scope.spawn(move || stages.read(&ready, &ended));
        }
        for segmenter in segmenters {
            let (to_lanes, inferred, ended) = (Arc::clone(&to_lanes), inferred.clone(), ended.clone());
            scope.spawn(move || stages.infer(segmenter, batch, &to_lanes, &inferred, &ended));
        }
        for _ in 0..workers {
            let (to_writers, ended) = (Arc::clone(&to_writers), ended.clone());
            scope.spawn(move || stages.write(&to_writers, &ended));
        }
        // From here on only the threads own ends of the queues, so that each stage ends with the
        // one before it, and with the one after it if that panics: no thread waits for a stage that
        // has ended.
        drop((ready, to_lanes, inferred, to_writers, ended));
        for (index, result) in results {
            if report(index, result).is_break() {
                stages.stop();
            }
        }
    });
}

/// Creates the folders to which the writers write, and returns them.
///
/// # Errors
/// When a folder cannot be created.
pub fn create_folders(folder: &Path, writers: &[Box<dyn ResultWriter>]) -> Result<Vec<PathBuf>, RecordError> {
    let mut folders: Vec<_> = writers.iter().map(|writer| folder.join(&writer.place().folder)).collect();
    folders.dedup();
    for path in &folders {
        std::fs::create_dir_all(path).map_err(|source| RecordError::Folder { path: path.clone(), source })?;
    }
    Ok(folders)
}

#[cfg(test)]
mod tests {
    use seg_contract::SizePolicy;
    use seg_inference::{Tiles, Tiling};

    use super::*;
    use crate::threshold;

    #[test]
    fn lanes_share_the_threads_and_are_no_more_than_can_work_at_the_same_time() {
        const MPX: usize = 1 << 20;
        let rows: [(&str, _, _, _, _, &[usize]); 10] = [
            ("many images", Provider::Cpu, 100, 2, 1000, &[1, 1]),
            ("one image", Provider::Cpu, 1, 4, 1000, &[4]),
            ("few images", Provider::Cpu, 3, 8, 1000, &[3, 3, 2]),
            ("many threads", Provider::Cpu, 100, 32, 1000, &[4; 8]),
            ("nothing to do", Provider::Cpu, 0, 2, 0, &[2]),
            ("a GPU", Provider::Cuda, 100, 8, 1000, &[8]),
            ("images of which two fit", Provider::Cpu, 100, 2, 2 * MPX, &[1, 1]),
            ("images of which one fits", Provider::Cpu, 100, 2, 2 * MPX + 1, &[2]),
            ("images of which three fit", Provider::Cpu, 100, 8, 4 * MPX / 3, &[3, 3, 2]),
            ("an image that is larger than all that fits", Provider::Cpu, 100, 2, 99 * MPX, &[2]),
        ];
        for (name, provider, images, threads, pixels, expected) in rows {
            let lanes = Lanes::within(4 * MPX as u64, provider, images, NonZeroUsize::new(threads), || pixels);
            let found: Vec<_> = lanes.threads.iter().map(|threads| threads.get()).collect();
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn the_largest_image_counts_as_the_network_is_given_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let contract = threshold::model(SizePolicy::Native).contract;
        image::GrayImage::new(30, 20).save(path("small.png")).unwrap();
        image::GrayImage::new(2000, 3).save(path("narrow.png")).unwrap();
        std::fs::write(path("text.png"), "no image").unwrap();
        let tiling = Tiling { size: [64; 2], overlap: 0.5 };
        let tiles = Settings { tiles: Tiles::Of(tiling), batch: NonZeroUsize::new(3), ..Settings::default() };
        let whole = Settings::default();
        let rows: [(&str, &[&str], _, _); 5] = [
            ("none", &[], &whole, 0),
            ("one that cannot be read", &["text.png"], &whole, 0),
            ("extended to the network's shortest side", &["small.png", "narrow.png"], &whole, 2000 * 8),
            ("the first", &["small.png", "text.png"], &whole, 600),
            ("in tiles, three at once", &["small.png"], &tiles, 3 * 64 * 64),
        ];
        for (name, files, settings, expected) in rows {
            let paths: Vec<_> = files.iter().map(|name| path(name)).collect();
            let found = largest_at_once(paths.iter().map(PathBuf::as_path), &contract, settings);
            assert_eq!(found, expected, "{name}");
        }
    }
}
