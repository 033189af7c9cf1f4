//! The entries of a record, a line for each image, which are read without holding the record in
//! memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use seg_data::{WriteError, write_atomic};
use serde::{Deserialize, Serialize};

use super::error::RecordError;
use super::prediction::Prediction;

/// An entry of the record: the result for one image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Entry {
    /// The image is complete.
    Segmented(Box<Prediction>),
    /// The image cannot be segmented.
    Skipped {
        /// The name that the image's files would have.
        name: String,
        /// The image.
        input: String,
        /// The reason.
        error: String,
    },
}

impl Entry {
    /// Returns the name of the image's files.
    pub fn name(&self) -> &str {
        match self {
            Self::Segmented(prediction) => &prediction.name,
            Self::Skipped { name, .. } => name,
        }
    }
}

/// The number of images in a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All images.
    pub images: usize,
    /// The images that cannot be segmented.
    pub skipped: usize,
}

impl<'a> FromIterator<&'a EntryPlace> for Counts {
    fn from_iter<T: IntoIterator<Item = &'a EntryPlace>>(places: T) -> Self {
        places.into_iter().fold(Self::default(), |counts, place| Self {
            images: counts.images + 1,
            skipped: counts.skipped + usize::from(place.is_skipped),
        })
    }
}

/// The part of an entry that stays in memory, which must not grow with the content of entries.
#[derive(Clone, Debug)]
pub(crate) struct EntryPlace {
    /// The bytes of the line in its file, with the line end.
    pub(crate) bytes: Range<u64>,
    /// True if the image cannot be segmented.
    pub(crate) is_skipped: bool,
}

/// An entry as the file stores it.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct StoredEntry<L> {
    /// The job's [`id`](super::job::Job::id).
    job: String,
    #[serde(flatten)]
    entry: L,
}

/// Returns the JSON schema of a line of the file.
#[cfg(feature = "schema")]
pub fn record_schema(generator: schemars::SchemaGenerator) -> schemars::Schema {
    generator.into_root_schema_for::<StoredEntry<Entry>>()
}

/// Formats an entry of the job with this id as a line of the file.
pub(crate) fn to_json_line(entry: &Entry, job: &str) -> String {
    let stored = StoredEntry { job: job.into(), entry };
    serde_json::to_string(&stored).expect("a line has no map with keys that are no strings") + "\n"
}

/// Reads a record, and passes on each entry with its place in the file; all must be of the job with
/// this id.
///
/// A record that does not exist has no entries, and an incomplete last line is left out.
///
/// # Errors
/// When the file cannot be read, or another line is damaged or of another job.
pub(crate) fn each_entry(path: &Path, job: &str, mut take: impl FnMut(Entry, Range<u64>)) -> Result<(), RecordError> {
    let failed = |source| RecordError::File { path: path.into(), source };
    let mut file = match File::open(path) {
        Ok(file) => BufReader::new(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(failed(source)),
    };
    // These are bytes, as the last line may end within a character.
    let (mut bytes, mut start) = (Vec::new(), 0);
    for number in 1.. {
        bytes.clear();
        file.read_until(b'\n', &mut bytes).map_err(failed)?;
        if !bytes.ends_with(b"\n") {
            break;
        }
        let end = start + bytes.len() as u64;
        match serde_json::from_slice::<StoredEntry<Entry>>(&bytes) {
            Ok(stored) if stored.job == job => take(stored.entry, start..end),
            Ok(_) => return Err(RecordError::OtherJob { path: path.into(), line: number }),
            Err(source) => return Err(RecordError::Entry { path: path.into(), line: number, source }),
        }
        start = end;
    }
    Ok(())
}

/// Copies lines of other records, each given by the number of its file and its place there, to a
/// new record, which may replace one of them.
///
/// # Errors
/// When a file cannot be read or written.
pub(crate) fn write_entries(
    path: &Path,
    from: &[PathBuf],
    entries: impl Iterator<Item = (usize, Range<u64>)>,
) -> Result<(), WriteError> {
    write_atomic(path, |out| {
        let mut files = from.iter().map(File::open).collect::<io::Result<Vec<_>>>()?;
        for (file, bytes) in entries {
            let file = &mut files[file];
            file.seek(SeekFrom::Start(bytes.start))?;
            io::copy(&mut file.take(bytes.end - bytes.start), out)?;
        }
        Ok(())
    })
}

#[cfg(test)]
pub(crate) fn read_entries(path: &Path, job: &str) -> Result<Vec<Entry>, RecordError> {
    let mut entries = Vec::new();
    each_entry(path, job, |entry, _| entries.push(entry))?;
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn skipped(name: &str) -> Entry {
        Entry::Skipped { name: name.into(), input: "ä.tif".into(), error: "…".into() }
    }

    #[test]
    fn a_record_that_is_cut_anywhere_has_its_whole_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record");
        let lines = ["ä", "b", "文"].map(skipped);
        let text: String = lines.iter().map(|line| to_json_line(line, "1")).collect();
        for end in 0..=text.len() {
            let cut = &text.as_bytes()[..end];
            fs::write(&path, cut).unwrap();
            let whole = cut.iter().filter(|byte| **byte == b'\n').count();
            assert_eq!(read_entries(&path, "1").unwrap(), lines[..whole], "{end}");
        }
        fs::write(&path, [b"\xff\n", text.as_bytes()].concat()).unwrap();
        assert!(matches!(read_entries(&path, "1"), Err(RecordError::Entry { line: 1, .. })), "damage is no tear");
    }

    #[test]
    fn lines_of_several_records_become_one_in_any_order() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["first", "second"].map(|name| folder.path().join(name));
        let mut places = Vec::new();
        for (index, (path, names)) in paths.iter().zip([&["a", "ä"][..], &["c"]]).enumerate() {
            fs::write(path, names.iter().map(|name| to_json_line(&skipped(name), "1")).collect::<String>()).unwrap();
            each_entry(path, "1", |_, bytes| places.push((index, bytes))).unwrap();
        }
        places.reverse();
        write_entries(&paths[0], &paths, places.into_iter()).unwrap();
        assert_eq!(read_entries(&paths[0], "1").unwrap(), ["c", "ä", "a"].map(skipped));
    }
}
