//! Joins the records of a job's parts.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::entry::{Counts, Entry, EntryPlace, each_entry, write_entries};
use super::error::RecordError;
use super::job::{Job, JobError, JobPart};
use super::lock::lock;
use super::writer::{PREDICTIONS, parts, remove_leftovers};

/// The reason for which records of parts cannot be joined.
#[derive(Debug, Error)]
pub enum MergeError {
    /// The folder has no job.
    #[error("`{folder}` holds no `job.json`; it must be a folder that `seg infer --num-parts` wrote to")]
    NoJob {
        /// The folder.
        folder: PathBuf,
    },
    /// The job cannot be read.
    #[error(transparent)]
    Job(#[from] JobError),
    /// A record cannot be read or written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The folder has no records of parts, or records of different divisions.
    #[error("`{folder}` holds records of {found}, expected those of all parts of one division")]
    Parts {
        /// The folder.
        folder: PathBuf,
        /// The divisions found.
        found: String,
    },
    /// An image or a file is missing.
    #[error("the parts are not complete: {missing}")]
    Incomplete {
        /// The missing parts, and the remedy.
        missing: String,
    },
}

/// Joins the records of all parts in a folder into one, after checking that each image is there and
/// its files are whole.
///
/// Images that could not be segmented have entries too. Unfinished files of killed processes are
/// removed.
///
/// # Errors
/// When another process writes there, a part, an image or a file is missing, damaged or of another
/// job, or a file cannot be read or written.
pub fn merge(folder: &Path) -> Result<Counts, MergeError> {
    let job = Job::read(folder)?.ok_or_else(|| MergeError::NoJob { folder: folder.into() })?;
    let _locks = lock(folder, None)?;
    let id = job.id();
    let divisions: HashSet<_> = parts(folder)?.iter().map(|part| part.parts).collect();
    let [parts] = divisions.iter().copied().collect::<Vec<_>>()[..] else {
        let found = match divisions.len() {
            0 => "no part".into(),
            count => format!("{count} divisions"),
        };
        return Err(MergeError::Parts { folder: folder.into(), found });
    };

    let records: Vec<_> = (1..=parts).map(|part| folder.join(JobPart { part, parts }.file_name())).collect();
    // By name: the place of each image's last entry, and the number of its record.
    let mut entries = BTreeMap::<String, (usize, EntryPlace)>::new();
    let mut folders = BTreeSet::from([folder.to_path_buf()]);
    let mut missing = Vec::new();
    for (index, record) in records.iter().enumerate() {
        let mut found = HashMap::new();
        each_entry(record, &id, |entry, bytes| {
            let (is_there, is_skipped) = match &entry {
                Entry::Segmented { prediction, .. } => (prediction.is_whole(folder), false),
                Entry::Skipped { .. } => (true, true),
            };
            if is_there {
                found.insert(entry.name().to_owned(), (index, EntryPlace { bytes, is_skipped }));
            }
            if let Entry::Segmented { prediction, .. } = entry {
                let parents =
                    prediction.files.iter().filter_map(|file| folder.join(&file.path).parent().map(Into::into));
                folders.extend(parents);
            }
        })?;
        let part = JobPart { part: index + 1, parts };
        let (count, expected) = (found.len(), part.count(job.images));
        if count != expected {
            missing.push(format!("part {} of {parts} has {count} of {expected} images", part.part));
        }
        entries.extend(found);
    }
    if missing.is_empty() && entries.len() != job.images {
        missing.push(format!("the parts have {} of {} images, some of them twice", entries.len(), job.images));
    }
    if !missing.is_empty() {
        let missing = format!("{}; run `seg infer --continue` for them", missing.join(", "));
        return Err(MergeError::Incomplete { missing });
    }
    remove_leftovers(folders)?;
    let places = entries.values().map(|(record, place)| (*record, place.bytes.clone()));
    write_entries(&folder.join(PREDICTIONS), &records, places).map_err(RecordError::from)?;
    Ok(entries.values().map(|(_, place)| place).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::RecordWriter;
    use super::super::entry::{read_entries, to_json_line};
    use super::super::writer::tests::{complete, job};
    use super::*;

    #[test]
    fn parts_become_one_record_when_all_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        assert!(matches!(merge(folder), Err(MergeError::NoJob { .. })));
        let job = job(&["a", "b", "c"]);
        let record = |part, names: &[&str]| {
            let mut writer = RecordWriter::begin(folder, &job, Some(JobPart { part, parts: 2 }), None).unwrap();
            names.iter().for_each(|name| writer.add(&complete(folder, name, name)).unwrap());
        };
        let refused = |part: &str| {
            let message = merge(folder).unwrap_err().to_string();
            assert!(message.contains(part), "{part}: {message}");
        };
        record(1, &["a", "c"]);
        refused("part 2 of 2 has 0 of 1 images");
        record(2, &["b"]);
        let running = RecordWriter::begin(folder, &job, Some(JobPart { part: 1, parts: 2 }), Some(&|_| true)).unwrap();
        refused("another process is writing");
        drop(running);
        for place in [folder, &folder.join("masks")] {
            fs::write(place.join(".unfinished-1"), "killed").unwrap();
        }
        assert_eq!(merge(folder).unwrap(), Counts { images: 3, skipped: 0 });
        assert!(!folder.join(".unfinished-1").exists() && !folder.join("masks/.unfinished-1").exists());
        let lines = read_entries(&folder.join(PREDICTIONS), &job.id()).unwrap();
        assert_eq!(lines.iter().map(Entry::name).collect::<Vec<_>>(), ["a", "b", "c"]);
        fs::write(folder.join("masks/c.png"), "damaged").unwrap();
        refused("part 1 of 2 has 1 of 2 images");
        record(1, &["a", "b"]);
        refused("some of them twice");
        let part = folder.join("predictions-1-of-2.jsonl");
        let ours = fs::read(&part).unwrap();
        fs::write(&part, to_json_line(&lines[0], "another")).unwrap();
        refused("predictions-1-of-2.jsonl` is of another job");
        fs::write(&part, ours).unwrap();
        fs::write(folder.join("predictions-1-of-3.jsonl"), "").unwrap();
        refused("2 divisions");
    }
}
