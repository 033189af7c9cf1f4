//! The record of what is done, a line of JSON per image, from which an interrupted run goes on.
//!
//! A line is written when all files of its image are whole under their names, so an image is complete if and only if it
//! has a line and its files have the hashes that the line names. A line also names its job, so that it never counts for
//! another one, whatever is killed, copied or removed. While a run lasts, lines stand in the order in which images became
//! complete; a run that ends puts them into the order of the inputs.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::slice;

use seg_data::{WriteError, remove_unfinished, write_bytes};
use thiserror::Error;

use super::job::{JOB, Job, JobError, JobPart};
use super::line::{Counts, Line, Place, each_line, text_of, write_lines};
use super::prediction::Prediction;

/// The file with one line of JSON per image.
pub const PREDICTIONS: &str = "predictions.jsonl";

/// Which process writes to a folder is settled by a lock on this file.
const LOCK: &str = ".lock";
/// Whose folder it is, is settled under a lock on this file: parts that begin at the same time share the other one.
const JOB_LOCK: &str = ".lock-job";

/// Why a folder's record cannot be kept.
#[derive(Debug, Error)]
pub enum ManifestError {
    /// Another process writes there.
    #[error("another process is writing to `{folder}`; wait for it, or choose another folder")]
    Locked {
        /// The folder.
        folder: PathBuf,
    },
    /// The folder is that of another job.
    #[error(transparent)]
    Job(#[from] JobError),
    /// The folder cannot be had.
    #[error("cannot create the folder `{path}`")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file or the folder cannot be read or written.
    #[error("cannot keep the record in `{path}`")]
    File {
        /// What cannot be read or written.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A line before could not be written.
    #[error("`{path}` takes no more lines after one that could not be written; make room there and let the run go on")]
    Closed {
        /// The file.
        path: PathBuf,
    },
    /// A line is that of another job.
    #[error(
        "line {line} of `{path}` is of another job, with other models, flags or inputs; move the file and its results elsewhere, \
         or choose another folder"
    )]
    OtherJob {
        /// The file.
        path: PathBuf,
        /// The number of the line, counted from 1.
        line: usize,
    },
    /// A line is none.
    #[error(
        "cannot read line {line} of `{path}` as a prediction; it belongs to another version or is damaged, choose another \
         folder"
    )]
    Line {
        /// The file.
        path: PathBuf,
        /// The number of the line, counted from 1.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
}

/// The record of a run, or of a part of it, while it is written.
#[derive(Debug)]
pub struct Manifest {
    path: PathBuf,
    /// The job's [`id`](Job::id).
    job: String,
    file: File,
    /// The length of the file, in bytes; none after a line that could not be written.
    bytes: Option<u64>,
    /// Where the last line of each image stands, by the image's name.
    lines: HashMap<String, Place>,
    /// Held until the run ends, in whatever way.
    _locks: Vec<File>,
}

impl Manifest {
    /// Begins the record of a job, or of a part of it, in a folder, which is created.
    ///
    /// `keep` says of what was reported of an image whether it still holds; the lines of such images stay where their files
    /// are whole. Without it the record begins anew, and a whole one takes the place of those of parts. Parts of one job may
    /// be written at the same time, and nothing else.
    ///
    /// # Errors
    /// When another process writes to the folder, it holds results of another job, or it cannot be read or written.
    pub fn begin(
        folder: &Path,
        job: &Job,
        part: Option<JobPart>,
        keep: Option<&dyn Fn(&Prediction) -> bool>,
    ) -> Result<Self, ManifestError> {
        fs::create_dir_all(folder).map_err(|source| ManifestError::Folder { path: folder.into(), source })?;
        let locks = lock(folder, part)?;
        let id = job.id();
        let whole = folder.join(PREDICTIONS);
        let path = part.map_or_else(|| whole.clone(), |part| folder.join(part.file_name()));
        let others = match part {
            None => parts(folder)?.iter().map(|part| folder.join(part.file_name())).collect(),
            Some(_) => Vec::from_iter(whole.exists().then_some(whole)),
        };
        claim(folder, job, others.iter().chain([&path]))?;
        if keep.is_none() && part.is_none() {
            let remove = |path: &PathBuf| {
                fs::remove_file(path).map_err(|source| ManifestError::File { path: path.clone(), source })
            };
            others.iter().try_for_each(remove)?;
        }

        let mut kept = Vec::new();
        if let Some(keep) = keep {
            each_line(&path, &id, |line, bytes| match line {
                Line::Segmented(prediction) if prediction.is_whole(folder) && keep(&prediction) => {
                    kept.push((prediction.name, bytes));
                }
                // What was skipped may have been fetched again.
                _ => {}
            })?;
        }
        let from = if kept.is_empty() { &[] } else { slice::from_ref(&path) };
        write_lines(&path, from, kept.iter().map(|(_, bytes)| (0, bytes.clone())))?;
        let mut end = 0;
        let moved = kept.into_iter().map(|(name, bytes)| {
            let start = end;
            end += bytes.end - bytes.start;
            (name, Place { bytes: start..end, is_skipped: false })
        });
        let lines = moved.collect();
        let opened = OpenOptions::new().append(true).open(&path);
        let file = opened.map_err(|source| ManifestError::File { path: path.clone(), source })?;
        Ok(Self { path, job: id, file, bytes: Some(end), lines, _locks: locks })
    }

    /// Whether the image of this name is complete.
    pub fn is_complete(&self, name: &str) -> bool {
        self.lines.get(name).is_some_and(|line| !line.is_skipped)
    }

    /// Adds a line, which is on the disk when this returns.
    ///
    /// # Errors
    /// When it cannot be written; no line is added after that.
    pub fn add(&mut self, line: &Line) -> Result<(), ManifestError> {
        let Some(bytes) = self.bytes.take() else { return Err(ManifestError::Closed { path: self.path.clone() }) };
        let text = text_of(line, &self.job);
        if let Err(source) = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data()) {
            // A piece of the line that stays all the same is left out when the record is read.
            let _ = self.file.set_len(bytes);
            return Err(ManifestError::File { path: self.path.clone(), source });
        }
        let end = bytes + text.len() as u64;
        self.bytes = Some(end);
        let place = Place { bytes: bytes..end, is_skipped: matches!(line, Line::Skipped { .. }) };
        self.lines.insert(line.name().to_owned(), place);
        Ok(())
    }

    /// Puts the lines into the order of `names`, one for each; the run is at its end.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn end(self, names: &[String]) -> Result<Counts, ManifestError> {
        let places = || names.iter().filter_map(|name| self.lines.get(name));
        write_lines(&self.path, slice::from_ref(&self.path), places().map(|place| (0, place.bytes.clone())))?;
        Ok(places().collect())
    }
}

/// Makes the folder that of the job, after making sure that nothing in these records is of another one.
///
/// # Errors
/// When the folder is that of another job, or something cannot be read or written.
fn claim<'a>(folder: &Path, job: &Job, records: impl IntoIterator<Item = &'a PathBuf>) -> Result<(), ManifestError> {
    let path = folder.join(JOB_LOCK);
    let failed = |source| ManifestError::File { path: path.clone(), source };
    // Held until the end of the function, or of the process if that comes first.
    let lock = open_lock(&path).map_err(failed)?;
    lock.lock().map_err(failed)?;
    job.check(folder)?;
    let id = job.id();
    records.into_iter().try_for_each(|path| each_line(path, &id, |_, _| {}))?;
    Ok(write_bytes(&folder.join(JOB), job.text().as_bytes())?)
}

/// Opens the file of a lock.
fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).open(path)
}

/// Removes what killed processes left unfinished in the folders of results, where no other process writes.
///
/// # Errors
/// When a folder cannot be read or a file not be removed.
pub fn remove_leftovers(folders: impl IntoIterator<Item = PathBuf>) -> Result<(), ManifestError> {
    for path in folders {
        remove_unfinished(&path).map_err(|source| ManifestError::File { path, source })?;
    }
    Ok(())
}

/// The locks that a run needs: a whole one has the folder for itself, parts share it, each with its own lock.
///
/// # Errors
/// When another process has them, or they cannot be had.
pub(crate) fn lock(folder: &Path, part: Option<JobPart>) -> Result<Vec<File>, ManifestError> {
    let take = |name: &str, is_shared| {
        let path = folder.join(name);
        let failed = |source| ManifestError::File { path: path.clone(), source };
        let file = open_lock(&path).map_err(failed)?;
        let locked = if is_shared { file.try_lock_shared() } else { file.try_lock() };
        match locked {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(ManifestError::Locked { folder: folder.into() }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    };
    let mut locks = vec![take(LOCK, part.is_some())?];
    if let Some(part) = part {
        locks.push(take(&format!("{LOCK}-{}-of-{}", part.part, part.parts), false)?);
    }
    Ok(locks)
}

/// The parts that have a record in a folder.
///
/// # Errors
/// When the folder cannot be read.
pub(crate) fn parts(folder: &Path) -> Result<Vec<JobPart>, ManifestError> {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = entries.map_err(|source| ManifestError::File { path: folder.into(), source })?;
    Ok(entries.iter().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

#[cfg(test)]
pub(crate) mod tests {
    use seg_contract::sha256;
    use seg_inference::Settings;
    use seg_inference::provider::ComputePrecision;
    use seg_inference::session::RunsOn;

    use super::super::line::read_lines;
    use super::super::saved_file::SavedFile;
    use super::*;
    use crate::save::Save;

    pub(crate) fn job(names: &[&str]) -> Job {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        Job::new(Vec::new(), vec![ComputePrecision::Fp32], Settings::default(), vec![Save::Mask], &names)
    }

    /// A complete image whose only file holds `content`.
    pub(crate) fn complete(folder: &Path, name: &str, content: &str) -> Line {
        let path = format!("masks/{name}.png");
        fs::create_dir_all(folder.join("masks")).unwrap();
        fs::write(folder.join(&path), content).unwrap();
        Line::Segmented(Box::new(Prediction {
            name: name.into(),
            input: format!("{name}.tif"),
            input_bytes: 10,
            input_sha256: sha256(name),
            width: 1,
            height: 1,
            orientation: 1,
            network: [1, 1],
            tiles: None,
            area: Vec::new(),
            files: vec![SavedFile { kind: Save::Mask, path, sha256: sha256(content) }],
            runs_on: RunsOn { nodes: [("CPUExecutionProvider".into(), 7)].into(), ..RunsOn::default() },
            decode_ms: 0.0,
            preprocess_ms: 0.5,
            infer_ms: 0.1,
            postprocess_ms: 0.0,
            encode_ms: 0.0,
        }))
    }

    #[test]
    fn what_is_complete_and_verified_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let job = job(&["a", "b", "c", "d"]);
        let mut manifest = Manifest::begin(folder, &job, None, None).unwrap();
        for name in ["b", "a", "c"] {
            manifest.add(&complete(folder, name, name)).unwrap();
        }
        let skipped = Line::Skipped { name: "d".into(), input: "d.tif".into(), error: "cut off".into() };
        manifest.add(&skipped).unwrap();
        drop(manifest);
        fs::write(folder.join("masks/c.png"), "damaged").unwrap();
        // A process that is killed while it writes a line.
        let mut file = OpenOptions::new().append(true).open(folder.join(PREDICTIONS)).unwrap();
        file.write_all(b"{\"name\":\"e\",\"input\":\"\xc3").unwrap();

        let names = ["a", "b", "c", "d"].map(str::to_owned);
        let recorded = || {
            let lines = read_lines(&folder.join(PREDICTIONS), &job.id()).unwrap();
            lines.iter().map(|line| line.name().to_owned()).collect::<Vec<_>>()
        };
        let kept = |keep: &dyn Fn(&Prediction) -> bool| {
            let manifest = Manifest::begin(folder, &job, None, Some(keep)).unwrap();
            let complete: Vec<_> = names.iter().filter(|name| manifest.is_complete(name)).cloned().collect();
            (complete, manifest)
        };
        let (complete, mut manifest) = kept(&|_| true);
        assert_eq!(complete, ["a", "b"]);
        assert_eq!(recorded(), ["b", "a"]);
        manifest.add(&Line::Skipped { name: "c".into(), input: "c.tif".into(), error: "…".into() }).unwrap();
        assert!(!manifest.is_complete("c"));
        assert_eq!(manifest.end(&names).unwrap(), Counts { images: 3, skipped: 1 });
        assert_eq!(recorded(), ["a", "b", "c"], "in the order of the inputs");
        let (complete, manifest) = kept(&|done| done.input == "b.tif");
        assert_eq!(complete, ["b"], "an image that has changed is not complete");
        drop(manifest);
        drop(Manifest::begin(folder, &job, None, None).unwrap());
        assert_eq!(recorded(), Vec::<String>::new(), "a run begins anew");
    }

    /// Whatever was killed before, copied there or removed.
    #[test]
    fn lines_count_for_the_job_that_they_name_and_nothing_replaces_those_of_another() {
        let (ours, other) = (job(&["a", "b"]), job(&["a", "c"]));
        let first = Some(JobPart { part: 1, parts: 2 });
        let record = |part: Option<JobPart>| part.map_or_else(|| PREDICTIONS.into(), |part| part.file_name());
        // The folder's `job.json`, which records it has and whose lines are in them, and whether our job may begin there.
        for (name, named, records, may) in [
            ("nothing", None, &[][..], true),
            ("our job, killed before its record", Some(&ours), &[], true),
            ("our job", Some(&ours), &[(None, &ours)], true),
            ("our job, which has lost its name", None, &[(None, &ours)], true),
            ("our job in parts", Some(&ours), &[(first, &ours)], true),
            ("another job", Some(&other), &[(None, &other)], false),
            ("another job, killed before its record", Some(&other), &[], false),
            ("another job, which has lost its name", None, &[(None, &other)], false),
            ("another job under our name", Some(&ours), &[(None, &other)], false),
            ("a part of another job", Some(&ours), &[(None, &ours), (first, &other)], false),
        ] {
            for (part, keep) in [(None, true), (None, false), (first, true), (first, false)] {
                let folder = tempfile::tempdir().unwrap();
                let folder = folder.path();
                if let Some(job) = named {
                    fs::write(folder.join(JOB), job.text()).unwrap();
                }
                for (part, job) in records {
                    let line = complete(folder, "a", "a");
                    fs::write(folder.join(record(*part)), text_of(&line, &job.id())).unwrap();
                }
                let state = || [JOB.into(), record(None), record(first)].map(|name| fs::read(folder.join(name)).ok());
                let before = state();
                let name = format!("{name}, {part:?}, {keep}");
                match Manifest::begin(folder, &ours, part, keep.then_some(&|_| true)) {
                    Ok(manifest) => {
                        assert!(may, "{name}");
                        let kept = keep && records.iter().any(|(found, _)| *found == part);
                        assert_eq!(manifest.is_complete("a"), kept, "{name}");
                        let has_part = folder.join(record(first)).exists();
                        assert!(keep || part.is_some() || !has_part, "{name}: a part's record is left");
                    }
                    Err(error) => {
                        assert!(!may, "{name}: {error}");
                        assert!(error.to_string().contains("another job"), "{name}: {error}");
                        assert_eq!(state(), before, "{name}");
                    }
                }
            }
        }
    }

    #[test]
    fn nothing_follows_a_line_that_could_not_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let job = job(&["a", "b", "c"]);
        let mut manifest = Manifest::begin(folder, &job, None, None).unwrap();
        manifest.add(&complete(folder, "a", "a")).unwrap();
        let whole = std::mem::replace(&mut manifest.file, File::open(folder.join(PREDICTIONS)).unwrap());
        assert!(matches!(manifest.add(&complete(folder, "b", "b")), Err(ManifestError::File { .. })));
        manifest.file = whole;
        assert!(matches!(manifest.add(&complete(folder, "c", "c")), Err(ManifestError::Closed { .. })));
        let recorded = read_lines(&folder.join(PREDICTIONS), &job.id()).unwrap();
        assert_eq!(recorded.iter().map(Line::name).collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn two_processes_write_to_one_folder_only_as_parts() {
        let folder = tempfile::tempdir().unwrap();
        let job = job(&["a", "b"]);
        let part = |part| Some(JobPart { part, parts: 2 });
        let begin = |part| Manifest::begin(folder.path(), &job, part, None);
        let first = begin(part(1)).unwrap();
        let second = begin(part(2)).unwrap();
        for (name, other) in [("the same part", part(1)), ("the whole", None)] {
            assert!(matches!(begin(other), Err(ManifestError::Locked { .. })), "{name}");
        }
        drop((first, second));
        let whole = begin(None).unwrap();
        assert!(matches!(begin(part(1)), Err(ManifestError::Locked { .. })));
        drop(whole);
        begin(part(1)).unwrap();
    }

    #[test]
    fn of_parts_that_begin_at_the_same_time_no_two_are_of_different_jobs() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let (ours, other) = (job(&["a", "b"]), job(&["a", "c"]));
        // As a part of the other job that has made sure that the folder is nobody's, and has not yet said that it is its own.
        let begins = open_lock(&folder.join(JOB_LOCK)).unwrap();
        begins.lock().unwrap();
        let part = Some(JobPart { part: 1, parts: 2 });
        std::thread::scope(|scope| {
            let begun = scope.spawn(|| Manifest::begin(folder, &ours, part, None).map(drop));
            // The part's own lock is the last thing that it has before it must wait.
            while !folder.join(".lock-1-of-2").exists() {
                std::thread::yield_now();
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
            fs::write(folder.join(JOB), other.text()).unwrap();
            drop(begins);
            let message = begun.join().unwrap().unwrap_err().to_string();
            assert!(message.contains("another job, which differs in its images"), "{message}");
        });
        assert_eq!(fs::read_to_string(folder.join(JOB)).unwrap(), other.text());
    }
}
