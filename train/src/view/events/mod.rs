//! A run's curves for TensorBoard: a `tfevents` file per process, in the run's folder.

mod message;
mod record;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::time::{Duration, Instant, SystemTime};

use image::RgbImage;
use message::{FILE_VERSION, Image, SESSION_START, SessionLog, Summary, Value};
use prost::Message;
use record::frame;
use seg_data::png_bytes;
use thiserror::Error;

use crate::run::record::{EpochRecord, Validation};
use crate::run::trainer::Event;

/// A run's steps are thinned to about this many points.
const POINTS_MAX: usize = 10_000;
/// The longest time that a point waits to be seen.
const FLUSH: Duration = Duration::from_secs(5);

/// An error in writing the events.
#[derive(Debug, Error)]
#[error("cannot write the TensorBoard events `{}`", path.display())]
pub struct EventsError {
    path: PathBuf,
    source: io::Error,
}

/// Writes what a run reports, for TensorBoard.
///
/// Losses of steps lie under `step/`, counted in steps; what an epoch leaves lies under `epoch/`,
/// `validation/` and `images/`, counted in epochs. A resumed run begins a file of its own with a
/// mark that voids the steps after the last whole epoch, so that no curve doubles.
///
/// Unlike every other file, this one grows in place: a reader follows it while it grows, and skips
/// a last entry that was cut off.
#[derive(Debug)]
pub struct Events {
    path: PathBuf,
    file: BufWriter<File>,
    flushed: Instant,
    /// The number of steps over whose mean a point is.
    steps_per_point: usize,
    /// The losses that wait for their point.
    waiting: Vec<f64>,
}

impl Events {
    /// Begins a file in `folder` for a run of `steps` steps, of which `step` are done.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn begin(folder: &Path, step: usize, steps: usize) -> Result<Self, EventsError> {
        let (path, file) = create(folder)?;
        let steps_per_point = steps.div_ceil(POINTS_MAX).max(1);
        let file = BufWriter::new(file);
        let mut events = Self { path, file, flushed: Instant::now(), steps_per_point, waiting: Vec::new() };
        events.write(0, |event| event.file_version = Some(FILE_VERSION.into()))?;
        events.write(step + 1, |event| event.session_log = Some(SessionLog { status: SESSION_START }))?;
        events.flush()?;
        Ok(events)
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes what the run reports.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn observe(&mut self, event: &Event) -> Result<(), EventsError> {
        match event {
            Event::Start { .. } => Ok(()),
            Event::Step { step, loss } => self.step(*step, *loss),
            Event::Epoch(record) => {
                self.scalars(record.epoch, &epoch_scalars(record))?;
                self.flush()
            }
        }
    }

    /// Writes a picture under `images/`, at an epoch.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn picture(&mut self, epoch: usize, name: &str, picture: &RgbImage) -> Result<(), EventsError> {
        let image = Image {
            height: picture.height() as i32,
            width: picture.width() as i32,
            colorspace: 3,
            encoded_image_string: png_bytes(picture).map_err(|source| self.failed(source))?,
        };
        let value = Value { tag: format!("images/{name}"), image: Some(image), ..Value::default() };
        self.write(epoch, |event| event.summary = Some(Summary { value: vec![value] }))?;
        self.flush()
    }

    fn step(&mut self, step: usize, loss: f64) -> Result<(), EventsError> {
        self.waiting.push(loss);
        if self.waiting.len() < self.steps_per_point {
            return Ok(());
        }
        let mean = self.waiting.iter().sum::<f64>() / self.waiting.len() as f64;
        self.waiting.clear();
        self.scalars(step, &[("step/loss".into(), mean)])?;
        if self.flushed.elapsed() > FLUSH { self.flush() } else { Ok(()) }
    }

    fn scalars(&mut self, step: usize, scalars: &[(String, f64)]) -> Result<(), EventsError> {
        let value = scalars.iter().map(|(tag, value)| scalar(tag, *value)).collect();
        self.write(step, |event| event.summary = Some(Summary { value }))
    }

    fn write(&mut self, step: usize, fill: impl FnOnce(&mut message::Event)) -> Result<(), EventsError> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut event = message::Event { wall_time: now.as_secs_f64(), step: step as i64, ..message::Event::default() };
        fill(&mut event);
        self.file.write_all(&frame(&event.encode_to_vec())).map_err(|source| self.failed(source))
    }

    fn flush(&mut self) -> Result<(), EventsError> {
        self.flushed = Instant::now();
        self.file.flush().map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> EventsError {
        EventsError { path: self.path.clone(), source }
    }
}

/// Creates a file whose name begins with the time: TensorBoard reads a folder's files in the order
/// of their names.
fn create(folder: &Path) -> Result<(PathBuf, File), EventsError> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut number = 0;
    loop {
        let path = folder.join(format!("events.out.tfevents.{now:010}.{number}.{}", process::id()));
        match File::create_new(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(source) => return Err(EventsError { path, source }),
        }
    }
}

fn scalar(tag: &str, value: f64) -> Value {
    Value { tag: tag.into(), simple_value: Some(value as f32), ..Value::default() }
}

/// Lists the numbers of an epoch, by tag.
fn epoch_scalars(record: &EpochRecord) -> Vec<(String, f64)> {
    let mut scalars = vec![
        ("epoch/loss".to_owned(), record.loss),
        ("epoch/cross_entropy".into(), record.cross_entropy),
        ("epoch/dice_loss".into(), record.dice_loss),
        ("epoch/learning_rate".into(), record.learning_rate),
        ("epoch/images_per_second".into(), record.images_per_second),
        ("epoch/waiting".into(), record.waiting),
    ];
    if let Some(norm) = record.gradient_norm {
        scalars.push(("epoch/gradient_norm".into(), norm.mean));
    }
    if let Some(Validation { scores, .. }) = &record.validation {
        scalars.push(("validation/dice_per_image".into(), scores.dice_per_image));
        scalars.push(("validation/mean_iou_pooled".into(), scores.mean_iou_pooled));
        scalars.push(("validation/accuracy_pooled".into(), scores.accuracy_pooled));
        for (metric, by_class) in [("dice_pooled", &scores.dice_pooled), ("iou_pooled", &scores.iou_pooled)] {
            scalars.extend(by_class.iter().map(|(class, value)| (format!("validation/{metric}/{class}"), *value)));
        }
    }
    scalars
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::record::tests::messages;
    use super::*;
    use crate::run::record::tests::record as epoch;

    fn read(events: &Events) -> Vec<message::Event> {
        let bytes = fs::read(events.path()).unwrap();
        messages(&bytes).iter().map(|bytes| message::Event::decode(bytes.as_slice()).unwrap()).collect()
    }

    /// Reads the points of a tag in one file.
    fn points(events: &[message::Event], tag: &str) -> Vec<(i64, f32)> {
        let values = |event: &message::Event| {
            let values = event.summary.clone().unwrap_or_default().value;
            values
                .into_iter()
                .filter(|value| value.tag == tag)
                .map(|value| (event.step, value.simple_value.unwrap()))
                .collect::<Vec<_>>()
        };
        events.iter().flat_map(values).collect()
    }

    #[test]
    fn what_is_written_can_be_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut events = Events::begin(folder.path(), 0, 2).unwrap();
        events.observe(&Event::Step { step: 1, loss: 2.0 }).unwrap();
        events.observe(&Event::Step { step: 2, loss: 1.0 }).unwrap();
        events.observe(&Event::Epoch(epoch(1))).unwrap();
        events.picture(1, "best/cell", &RgbImage::new(5, 3)).unwrap();
        let read = read(&events);
        assert_eq!(read[0].file_version.as_deref(), Some(FILE_VERSION));
        for (tag, expected) in [
            ("step/loss", vec![(1, 2.0), (2, 1.0)]),
            ("epoch/loss", vec![(1, 0.7)]),
            ("epoch/gradient_norm", vec![(1, 1.5)]),
            ("validation/dice_per_image", vec![(1, 0.3)]),
            ("validation/mean_iou_pooled", vec![(1, 0.25)]),
            ("validation/dice_pooled/nucleus", vec![(1, 1.0 / 3.0)]),
            ("validation/iou_pooled/nucleus", vec![(1, 0.5)]),
        ] {
            assert_eq!(points(&read, tag), expected, "{tag}");
        }
        let image = read.last().unwrap().summary.as_ref().unwrap().value[0].image.as_ref().unwrap();
        assert_eq!((image.width, image.height), (5, 3));
        let decoded = image::load_from_memory(&image.encoded_image_string).unwrap();
        assert_eq!((decoded.width(), decoded.height()), (5, 3));
    }

    #[test]
    fn a_resumed_run_voids_what_came_after_its_last_whole_epoch_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        // One step per epoch is the narrowest case: epochs and steps are counted alike.
        let first = Events::begin(folder.path(), 0, 3).unwrap();
        let second = Events::begin(folder.path(), 2, 3).unwrap();
        assert!(first.path() < second.path(), "the later file is read later");
        for (events, from) in [(&first, 1), (&second, 3)] {
            let start = &read(events)[1];
            assert_eq!(start.session_log, Some(SessionLog { status: SESSION_START }));
            assert_eq!(start.step, from, "the first step that is void");
        }
    }

    #[test]
    fn many_steps_become_means() {
        let folder = tempfile::tempdir().unwrap();
        let mut events = Events::begin(folder.path(), 0, 2 * POINTS_MAX).unwrap();
        for (step, loss) in [(1, 4.0), (2, 2.0), (3, 1.0)] {
            events.observe(&Event::Step { step, loss }).unwrap();
        }
        events.flush().unwrap();
        assert_eq!(points(&read(&events), "step/loss"), [(2, 3.0)]);
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let message = Events::begin(Path::new("no/such/run"), 0, 1).unwrap_err().to_string();
        assert!(message.contains("no/such/run"), "{message}");
    }
}
