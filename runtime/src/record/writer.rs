//! Writes the record of finished images, a line of JSON for each, from which an interrupted run
//! continues.
//!
//! An entry is written when all files of its image are whole under their names, so an image is
//! complete if and only if it has an entry and its files have the hashes that the entry names. An
//! entry also names its job, so that it never counts for another one, whatever is killed, copied or
//! removed. While a run lasts, entries stand in the order in which images became complete; at its
//! end, the run puts them into the order of the inputs.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::slice;

use seg_data::{remove_unfinished, write_bytes};

use super::entry::{Counts, Entry, EntryPlace, each_entry, to_json_line, write_entries};
use super::error::RecordError;
use super::job::{JOB, Job, JobPart};
use super::lock::{JOB_LOCK, lock, open_lock};

/// The file with one line of JSON per image.
pub const PREDICTIONS: &str = "predictions.jsonl";

/// The record of a run, or of a part of it, while it is written.
#[derive(Debug)]
pub struct RecordWriter {
    path: PathBuf,
    /// The job's [`id`](Job::id).
    job: String,
    file: File,
    /// The length of the file, in bytes; `None` after an entry that could not be written.
    bytes: Option<u64>,
    /// The place of each image's last entry, by the image's name.
    entries: HashMap<String, EntryPlace>,
    /// The locks, which are held until the run ends, in whatever way.
    _locks: Vec<File>,
}

impl RecordWriter {
    /// Begins the record of a job, or of a part of it, in a folder, which is created if necessary.
    ///
    /// `keep` decides whether an earlier entry still holds; entries for which it does stay if their
    /// files are whole. The images may then be others than before, unless this is a part. Without
    /// `keep`, the record starts empty, and the record of a whole job replaces those of parts.
    /// Parts of one job may be written at the same time, but nothing else.
    ///
    /// # Errors
    /// When another process writes to the folder, the folder holds results of another job, or it
    /// cannot be read or written.
    pub fn begin(
        folder: &Path,
        job: &Job,
        part: Option<JobPart>,
        keep: Option<&dyn Fn(&Entry) -> bool>,
    ) -> Result<Self, RecordError> {
        fs::create_dir_all(folder).map_err(|source| RecordError::Folder { path: folder.into(), source })?;
        let locks = lock(folder, part)?;
        let id = job.id();
        let whole = folder.join(PREDICTIONS);
        let path = part.map_or_else(|| whole.clone(), |part| folder.join(part.file_name()));
        let others = match part {
            None => parts(folder)?.iter().map(|part| folder.join(part.file_name())).collect(),
            Some(_) => Vec::from_iter(whole.exists().then_some(whole)),
        };
        claim(folder, job, keep.is_some() && part.is_none(), others.iter().chain([&path]))?;
        if keep.is_none() && part.is_none() {
            for path in &others {
                fs::remove_file(path).map_err(|source| RecordError::File { path: path.clone(), source })?;
            }
        }

        let mut kept = Vec::new();
        if let Some(keep) = keep {
            each_entry(&path, &id, |entry, bytes| match &entry {
                Entry::Segmented { prediction, .. } if prediction.is_whole(folder) && keep(&entry) => {
                    kept.push((prediction.name.clone(), bytes));
                }
                // An image that was skipped may have been replaced.
                _ => {}
            })?;
        }
        let from = if kept.is_empty() { &[] } else { slice::from_ref(&path) };
        write_entries(&path, from, kept.iter().map(|(_, bytes)| (0, bytes.clone())))?;
        let mut end = 0;
        let moved = kept.into_iter().map(|(name, bytes)| {
            let start = end;
            end += bytes.end - bytes.start;
            (name, EntryPlace { bytes: start..end, is_skipped: false })
        });
        let entries = moved.collect();
        let opened = OpenOptions::new().append(true).open(&path);
        let file = opened.map_err(|source| RecordError::File { path: path.clone(), source })?;
        Ok(Self { path, job: id, file, bytes: Some(end), entries, _locks: locks })
    }

    /// Returns whether the image of this name is complete.
    pub fn is_complete(&self, name: &str) -> bool {
        self.entries.get(name).is_some_and(|entry| !entry.is_skipped)
    }

    /// Adds an entry, which is on the disk when this returns.
    ///
    /// # Errors
    /// When the entry cannot be written; no entry is added after that.
    pub fn add(&mut self, entry: &Entry) -> Result<(), RecordError> {
        let Some(bytes) = self.bytes.take() else { return Err(RecordError::Closed { path: self.path.clone() }) };
        let text = to_json_line(entry, &self.job);
        if let Err(source) = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data()) {
            // If a piece of the line stays nevertheless, reading the record leaves it out.
            let _ = self.file.set_len(bytes);
            return Err(RecordError::File { path: self.path.clone(), source });
        }
        let end = bytes + text.len() as u64;
        self.bytes = Some(end);
        let place = EntryPlace { bytes: bytes..end, is_skipped: matches!(entry, Entry::Skipped { .. }) };
        self.entries.insert(entry.name().to_owned(), place);
        Ok(())
    }

    /// Puts the entries into the order of `names`, one for each, at the end of the run, behind
    /// those of earlier images, which were not given again. Counts the entries of `names`.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn end(self, names: &[String]) -> Result<Counts, RecordError> {
        let places = || names.iter().filter_map(|name| self.entries.get(name));
        let given: HashSet<&String> = names.iter().collect();
        let earlier = self.entries.iter().filter(|(name, _)| !given.contains(name));
        let mut earlier: Vec<&EntryPlace> = earlier.map(|(_, place)| place).collect();
        earlier.sort_by_key(|place| place.bytes.start);
        let all = earlier.into_iter().chain(places());
        write_entries(&self.path, slice::from_ref(&self.path), all.map(|place| (0, place.bytes.clone())))?;
        Ok(places().collect())
    }
}

/// Assigns the folder to the job, after checking that these records hold no entry of another one.
///
/// # Errors
/// When the folder belongs to another job, or a file cannot be read or written.
fn claim<'a>(
    folder: &Path,
    job: &Job,
    grows: bool,
    records: impl IntoIterator<Item = &'a PathBuf>,
) -> Result<(), RecordError> {
    let path = folder.join(JOB_LOCK);
    let failed = |source| RecordError::File { path: path.clone(), source };
    // The lock is held until the end of the function, or of the process if that comes first.
    let lock = open_lock(&path).map_err(failed)?;
    lock.lock().map_err(failed)?;
    job.check(folder, grows)?;
    let id = job.id();
    records.into_iter().try_for_each(|path| each_entry(path, &id, |_, _| {}))?;
    Ok(write_bytes(&folder.join(JOB), job.text().as_bytes())?)
}

/// Removes unfinished files of killed processes from the folders of results, where no other process
/// writes.
///
/// # Errors
/// When a folder cannot be read or a file cannot be removed.
pub fn remove_leftovers(folders: impl IntoIterator<Item = PathBuf>) -> Result<(), RecordError> {
    for path in folders {
        remove_unfinished(&path).map_err(|source| RecordError::File { path, source })?;
    }
    Ok(())
}

/// Lists the parts that have a record in a folder.
///
/// # Errors
/// When the folder cannot be read.
pub(crate) fn parts(folder: &Path) -> Result<Vec<JobPart>, RecordError> {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = entries.map_err(|source| RecordError::File { path: folder.into(), source })?;
    Ok(entries.iter().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

#[cfg(test)]
pub(crate) mod tests {
    use seg_contract::sha256;
    use seg_inference::{ComputePrecision, RunsOn, Settings};

    use super::super::entry::read_entries;
    use super::super::prediction::Prediction;
    use super::super::saved_file::SavedFile;
    use super::*;
    use crate::save::Save;

    pub(crate) fn job(names: &[&str]) -> Job {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        Job::new(Vec::new(), vec![ComputePrecision::Fp32], Settings::default(), vec![Save::Mask], &names)
    }

    /// Makes a job with other settings.
    fn other_job(names: &[&str]) -> Job {
        Job { settings: Settings { threshold: Some(0.25), ..Settings::default() }, ..job(names) }
    }

    /// Makes a complete image whose only file holds `content`.
    pub(crate) fn complete(folder: &Path, name: &str, content: &str) -> Entry {
        let path = format!("masks/{name}.png");
        fs::create_dir_all(folder.join("masks")).unwrap();
        fs::write(folder.join(&path), content).unwrap();
        let prediction = Prediction {
            name: name.into(),
            input: format!("{name}.tif"),
            input_bytes: 10,
            input_sha256: sha256(name),
            width: 1,
            height: 1,
            orientation: 1,
            spacing_mm: None,
            level: None,
            window: None,
            network: [1, 1],
            resampled: None,
            tiles: None,
            area: Vec::new(),
            files: vec![SavedFile { kind: Save::Mask, path, sha256: sha256(content) }],
            runs_on: RunsOn { nodes: [("CPUExecutionProvider".into(), 7)].into(), ..RunsOn::default() },
            decode_ms: 0.0,
            preprocess_ms: 0.5,
            infer_ms: 0.1,
            postprocess_ms: 0.0,
            encode_ms: 0.0,
        };
        Entry::segmented(prediction, Path::new(&format!("{name}.tif")))
    }

    /// Returns the names of the recorded entries.
    fn recorded(folder: &Path, job: &Job) -> Vec<String> {
        let lines = read_entries(&folder.join(PREDICTIONS), &job.id()).unwrap();
        lines.iter().map(|line| line.name().to_owned()).collect()
    }

    #[test]
    fn what_is_complete_and_verified_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let job = job(&["a", "b", "c", "d"]);
        let mut writer = RecordWriter::begin(folder, &job, None, None).unwrap();
        for name in ["b", "a", "c"] {
            writer.add(&complete(folder, name, name)).unwrap();
        }
        let skipped = Entry::skipped("d".into(), Path::new("d.tif"), "cut off".into());
        writer.add(&skipped).unwrap();
        drop(writer);
        fs::write(folder.join("masks/c.png"), "damaged").unwrap();
        // This process was killed while it wrote a line.
        let mut file = OpenOptions::new().append(true).open(folder.join(PREDICTIONS)).unwrap();
        file.write_all(b"{\"name\":\"e\",\"input\":\"\xc3").unwrap();

        let names = ["a", "b", "c", "d"].map(str::to_owned);
        let kept = |keep: &dyn Fn(&Entry) -> bool| {
            let writer = RecordWriter::begin(folder, &job, None, Some(keep)).unwrap();
            let complete: Vec<_> = names.iter().filter(|name| writer.is_complete(name)).cloned().collect();
            (complete, writer)
        };
        let (complete, mut writer) = kept(&|_| true);
        assert_eq!(complete, ["a", "b"]);
        assert_eq!(recorded(folder, &job), ["b", "a"]);
        writer.add(&Entry::skipped("c".into(), Path::new("c.tif"), "…".into())).unwrap();
        assert!(!writer.is_complete("c"));
        assert_eq!(writer.end(&names).unwrap(), Counts { images: 3, skipped: 1 });
        assert_eq!(recorded(folder, &job), ["a", "b", "c"], "in the order of the inputs");
        let (complete, writer) = kept(&|done| done.name() == "b");
        assert_eq!(complete, ["b"], "an image that has changed is not complete");
        drop(writer);
        drop(RecordWriter::begin(folder, &job, None, None).unwrap());
        assert_eq!(recorded(folder, &job), Vec::<String>::new(), "a run begins anew");
    }

    /// The claim holds whatever was killed, copied or removed before.
    #[test]
    fn entries_count_for_the_job_that_they_name_and_nothing_replaces_those_of_another() {
        let (ours, other) = (job(&["a", "b"]), other_job(&["a", "b"]));
        let first = Some(JobPart { part: 1, parts: 2 });
        let record = |part: Option<JobPart>| part.map_or_else(|| PREDICTIONS.into(), |part| part.file_name());
        // The job in the folder's `job.json`, the records with the job of their entries, and
        // whether our job may begin there.
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
                    fs::write(folder.join(record(*part)), to_json_line(&line, &job.id())).unwrap();
                }
                let state = || [JOB.into(), record(None), record(first)].map(|name| fs::read(folder.join(name)).ok());
                let before = state();
                let name = format!("{name}, {part:?}, {keep}");
                match RecordWriter::begin(folder, &ours, part, keep.then_some(&|_| true)) {
                    Ok(writer) => {
                        assert!(may, "{name}");
                        let kept = keep && records.iter().any(|(found, _)| *found == part);
                        assert_eq!(writer.is_complete("a"), kept, "{name}");
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
    fn a_folder_that_gains_images_keeps_what_is_done() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let (first, more) = (job(&["a", "b"]), job(&["b", "c"]));
        let mut writer = RecordWriter::begin(folder, &first, None, None).unwrap();
        ["a", "b"].iter().for_each(|name| writer.add(&complete(folder, name, name)).unwrap());
        writer.end(&["a", "b"].map(str::to_owned)).unwrap();

        let part = Some(JobPart { part: 1, parts: 2 });
        let begin = |part, keep: bool| {
            let keep = keep.then_some(&(|_: &Entry| true) as &dyn Fn(&Entry) -> bool);
            RecordWriter::begin(folder, &more, part, keep)
        };
        for (name, part, keep) in [("from the start", None, false), ("a part", part, true)] {
            let message = begin(part, keep).unwrap_err().to_string();
            assert!(message.contains("differs in its images; `--continue` keeps"), "{name}: {message}");
        }
        assert_eq!(recorded(folder, &first), ["a", "b"], "nothing is lost");
        let mut writer = begin(None, true).unwrap();
        assert!(writer.is_complete("b") && !writer.is_complete("c"));
        writer.add(&complete(folder, "c", "c")).unwrap();
        assert_eq!(writer.end(&["b", "c"].map(str::to_owned)).unwrap(), Counts { images: 2, skipped: 0 });
        assert_eq!(recorded(folder, &more), ["a", "b", "c"], "the earlier image first");
        assert_eq!(Job::read(folder).unwrap().unwrap(), more);
    }

    #[test]
    fn nothing_follows_an_entry_that_could_not_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let job = job(&["a", "b", "c"]);
        let mut writer = RecordWriter::begin(folder, &job, None, None).unwrap();
        writer.add(&complete(folder, "a", "a")).unwrap();
        let whole = std::mem::replace(&mut writer.file, File::open(folder.join(PREDICTIONS)).unwrap());
        assert!(matches!(writer.add(&complete(folder, "b", "b")), Err(RecordError::File { .. })));
        writer.file = whole;
        assert!(matches!(writer.add(&complete(folder, "c", "c")), Err(RecordError::Closed { .. })));
        let recorded = read_entries(&folder.join(PREDICTIONS), &job.id()).unwrap();
        assert_eq!(recorded.iter().map(Entry::name).collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn two_processes_write_to_one_folder_only_as_parts() {
        let folder = tempfile::tempdir().unwrap();
        let job = job(&["a", "b"]);
        let part = |part| Some(JobPart { part, parts: 2 });
        let begin = |part| RecordWriter::begin(folder.path(), &job, part, None);
        let first = begin(part(1)).unwrap();
        let second = begin(part(2)).unwrap();
        for (name, other) in [("the same part", part(1)), ("the whole", None)] {
            assert!(matches!(begin(other), Err(RecordError::Locked { .. })), "{name}");
        }
        drop((first, second));
        let whole = begin(None).unwrap();
        assert!(matches!(begin(part(1)), Err(RecordError::Locked { .. })));
        drop(whole);
        begin(part(1)).unwrap();
    }

    #[test]
    fn of_parts_that_begin_at_the_same_time_no_two_are_of_different_jobs() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let (ours, other) = (job(&["a", "b"]), other_job(&["a", "b"]));
        // This stands for a part of the other job that has found the folder free and has not yet
        // claimed it.
        let begins = open_lock(&folder.join(JOB_LOCK)).unwrap();
        begins.lock().unwrap();
        let part = Some(JobPart { part: 1, parts: 2 });
        std::thread::scope(|scope| {
            let begun = scope.spawn(|| RecordWriter::begin(folder, &ours, part, None).map(drop));
            // The part takes its own lock last, before it must wait.
            while !folder.join(".lock-1-of-2").exists() {
                std::thread::yield_now();
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
            fs::write(folder.join(JOB), other.text()).unwrap();
            drop(begins);
            let message = begun.join().unwrap().unwrap_err().to_string();
            assert!(message.contains("another job, which differs in how masks are made"), "{message}");
        });
        assert_eq!(fs::read_to_string(folder.join(JOB)).unwrap(), other.text());
    }
}
