//! The entries of a record, a line for each image, which are read without holding the record in
//! memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use seg_data::{WriteError, write_atomic};
use seg_text::raw_path::raw_path;
use serde::{Deserialize, Serialize};

use super::error::RecordError;
use super::prediction::Prediction;

/// An entry of the record: the result for one image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Entry {
    /// The image is complete.
    Segmented {
        /// The report.
        #[serde(flatten)]
        prediction: Box<Prediction>,
        /// The path of the image without loss if it is not UTF-8: a byte that is not part of UTF-8
        /// is `\xff`, and a backslash is doubled.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        input_raw: Option<String>,
    },
    /// The image cannot be segmented.
    Skipped {
        /// The name that the image's files would have.
        name: String,
        /// The image.
        input: String,
        /// The path of the image without loss if it is not UTF-8, as above.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        input_raw: Option<String>,
        /// The reason.
        error: String,
    },
}

impl Entry {
    /// Makes the entry of a complete image, whose path is `input`.
    pub fn segmented(prediction: Prediction, input: &Path) -> Self {
        Self::Segmented { prediction: Box::new(prediction), input_raw: raw_path(input) }
    }

    /// Makes the entry of an image that cannot be segmented, whose path is `input`.
    pub fn skipped(name: String, input: &Path, error: String) -> Self {
        Self::Skipped { name, input: input.to_string_lossy().into_owned(), input_raw: raw_path(input), error }
    }

    /// Returns whether `input` is the image that was segmented: the same path with the same
    /// content.
    ///
    /// A file that cannot be read is not.
    pub fn is_of(&self, input: &Path) -> bool {
        let Self::Segmented { prediction, input_raw } = self else { return false };
        // Most differences show without reading the file.
        let is_path = match raw_path(input) {
            Some(raw) => *input_raw == Some(raw),
            None => input_raw.is_none() && input.to_str() == Some(&prediction.input),
        };
        is_path && prediction.is_content_of(input)
    }

    /// Returns the first file of the entry that is not where the files of its image are written.
    fn file_elsewhere(&self, folder: &Path) -> Option<&str> {
        let Self::Segmented { prediction, .. } = self else { return None };
        let elsewhere = prediction.files.iter().find(|file| !file.is_in_place(folder, &prediction.name));
        elsewhere.map(|file| file.path.as_str())
    }

    /// Returns the path of the image, as it was given.
    pub fn input(&self) -> &str {
        match self {
            Self::Segmented { prediction, .. } => &prediction.input,
            Self::Skipped { input, .. } => input,
        }
    }

    /// Returns the name of the image's files.
    pub fn name(&self) -> &str {
        match self {
            Self::Segmented { prediction, .. } => &prediction.name,
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
/// this id and name only files that lie where those of their image are written.
///
/// A record that does not exist has no entries, and an incomplete last line is left out.
///
/// # Errors
/// When the file cannot be read, or another line is damaged, of another job, or names a file
/// elsewhere.
pub(crate) fn each_entry(path: &Path, job: &str, mut take: impl FnMut(Entry, Range<u64>)) -> Result<(), RecordError> {
    let failed = |source| RecordError::File { path: path.into(), source };
    let folder = path.parent().unwrap_or(Path::new(""));
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
            Ok(stored) if stored.job == job => match stored.entry.file_elsewhere(folder) {
                Some(file) => {
                    let file = file.into();
                    return Err(RecordError::Elsewhere { path: path.into(), line: number, file });
                }
                None => take(stored.entry, start..end),
            },
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

    use super::super::saved_file::SavedFile;
    use super::super::writer::tests::complete;
    use super::*;
    use crate::save::Save;

    fn skipped(name: &str) -> Entry {
        Entry::skipped(name.into(), Path::new("ä.tif"), "…".into())
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
    fn only_files_where_those_of_the_image_are_written_are_read() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("out");
        let other = place.path().join("other");
        for folder in [&folder.join("masks"), &folder.join("binary"), &other] {
            fs::create_dir_all(folder).unwrap();
        }
        #[cfg(unix)]
        for (target, link) in
            [(&other, "overlays"), (&other, "binary/2-cell"), (&other.join("secret.png"), "masks/link.png")]
        {
            std::os::unix::fs::symlink(target, folder.join(link)).unwrap();
        }
        let record = folder.join("record");
        for (name, kind, file, is_read) in [
            ("a", Save::Mask, "masks/a.png", true),
            ("a b.v1", Save::Mask, "masks/a b.v1.png", true),
            ("..a", Save::Mask, "masks/..a.png", true),
            ("a", Save::Binary, "binary/1-cell.png", false),
            ("a", Save::Binary, "binary/1-cell nucleus_/a.png", true),
            ("a", Save::ProbabilitiesNpy, "probabilities/a.npy", true),
            ("a", Save::Polygons, "polygons/a.geojson", true),
            ("a", Save::Mask, "masks/b.png", false),
            ("a", Save::Mask, "masks/a.npy", false),
            ("a", Save::Mask, "polygons/a.png", false),
            ("a", Save::Mask, "a.png", false),
            ("a", Save::Mask, "masks/1-cell/a.png", false),
            ("a", Save::Mask, "/masks/a.png", false),
            ("a", Save::Mask, "masks/../masks/a.png", false),
            ("a", Save::Mask, "../other/a.png", false),
            ("../../other/a", Save::Mask, "masks/../../other/a.png", false),
            ("..", Save::Binary, "binary/../...png", false),
            ("a", Save::Binary, "binary/../a.png", false),
            ("a", Save::Binary, "binary/1-../a.png", true),
            ("/etc/a", Save::Mask, "masks//etc/a.png", false),
            ("", Save::Mask, "masks/.png", false),
            ("a", Save::Overlay, "overlays/a.png", !cfg!(unix)),
            ("a", Save::Binary, "binary/2-cell/a.png", !cfg!(unix)),
            ("link", Save::Mask, "masks/link.png", !cfg!(unix)),
        ] {
            let Entry::Segmented { mut prediction, .. } = complete(&folder, "done", "done") else {
                unreachable!("it is complete")
            };
            let done = Entry::segmented((*prediction).clone(), Path::new("done.tif"));
            prediction.name = name.into();
            prediction.files = vec![SavedFile { kind, path: file.into(), sha256: String::new() }];
            let entry = Entry::segmented(*prediction, Path::new("a.tif"));
            fs::write(&record, to_json_line(&done, "1") + &to_json_line(&entry, "1")).unwrap();
            match read_entries(&record, "1") {
                Ok(read) => assert!(is_read && read == [done, entry], "{name}: {file}"),
                Err(error) => {
                    let message = error.to_string();
                    assert!(!is_read, "{name}: {message}");
                    let part = format!("line 2 of `{}` names the file `{file}`", record.display());
                    assert!(message.contains(&part), "{name}: {message}");
                }
            }
        }
    }

    #[test]
    fn a_path_that_is_not_utf8_is_recorded_without_loss() {
        let folder = tempfile::tempdir().unwrap();
        let record = folder.path().join("record");
        let Entry::Segmented { mut prediction, .. } = complete(folder.path(), "a", "a") else {
            unreachable!("it is complete")
        };
        let mut names = vec![(b"a.tif".to_vec(), None), (br"a\xff.tif".to_vec(), None)];
        if cfg!(unix) {
            names.extend([
                (b"a\xff.tif".to_vec(), Some(r"a\xff.tif")),
                (b"a\xfe.tif".to_vec(), Some(r"a\xfe.tif")),
                (b"\\a\xfe.tif".to_vec(), Some(r"\\a\xfe.tif")),
            ]);
        }
        let mut entries = Vec::new();
        for (bytes, raw) in &names {
            let input = path_of(bytes);
            let input = folder.path().join(input);
            // All have the same content, so that only the path tells them apart.
            fs::write(&input, "an image").unwrap();
            let (bytes, sha256) = seg_inference::digest(&input).unwrap();
            (prediction.input_bytes, prediction.input_sha256) = (bytes, sha256);
            prediction.input = input.to_string_lossy().into_owned();
            let entry = Entry::segmented((*prediction).clone(), &input);
            let Entry::Segmented { input_raw, .. } = &entry else { unreachable!("it is complete") };
            let raw = raw.map(|raw| format!("{}/{raw}", folder.path().display()));
            assert_eq!(input_raw, &raw);
            assert_eq!(to_json_line(&entry, "1").contains("\"input_raw\""), raw.is_some());
            let skipped = Entry::skipped("a".into(), &input, "…".into());
            assert_eq!(to_json_line(&skipped, "1").contains("\"input_raw\""), raw.is_some());
            entries.extend([entry, skipped]);
        }
        fs::write(&record, entries.iter().map(|entry| to_json_line(entry, "1")).collect::<String>()).unwrap();
        let read = read_entries(&record, "1").unwrap();
        assert_eq!(read, entries);
        for (row, entry) in read.iter().step_by(2).enumerate() {
            for (other, (bytes, _)) in names.iter().enumerate() {
                let input = folder.path().join(path_of(bytes));
                assert_eq!(entry.is_of(&input), row == other, "{row}: {}", input.display());
            }
        }
    }

    #[cfg(unix)]
    fn path_of(bytes: &[u8]) -> PathBuf {
        use std::os::unix::ffi::OsStrExt;
        std::ffi::OsStr::from_bytes(bytes).into()
    }

    #[cfg(not(unix))]
    fn path_of(bytes: &[u8]) -> PathBuf {
        std::str::from_utf8(bytes).unwrap().into()
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
