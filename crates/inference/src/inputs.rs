//! Lists the image files that arguments stand for: files, folders and glob patterns.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use glob::{GlobError, MatchOptions, PatternError, glob_with};
use seg_contract::Reading;
use seg_data::{Listing, PicturePath, Unread, list_folder, pictures};
use thiserror::Error;

/// The reason for which an input stands for no images.
#[derive(Debug, Error)]
pub enum InputError {
    /// The file or folder does not exist.
    #[error("there is no file or folder `{input}`")]
    Absent {
        /// The input.
        input: PathBuf,
    },
    /// The folder cannot be read.
    #[error("cannot read the folder `{input}`")]
    Folder {
        /// The input.
        input: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The folder has no images.
    #[error("the folder `{input}` holds no image; expected {} files directly in it", seg_data::image_formats())]
    Empty {
        /// The input.
        input: PathBuf,
    },
    /// The glob pattern is malformed.
    #[error("`{input}` is not a glob pattern")]
    Pattern {
        /// The input.
        input: PathBuf,
        /// The cause.
        source: PatternError,
    },
    /// A folder that the pattern reaches cannot be read.
    #[error("cannot follow the glob pattern `{input}`")]
    Unreadable {
        /// The input.
        input: PathBuf,
        /// The cause.
        source: GlobError,
    },
    /// The pattern matches no file.
    #[error("the glob pattern `{input}` matches no file")]
    NoMatch {
        /// The input.
        input: PathBuf,
    },
}

/// The pictures that inputs stand for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    /// The paths of all pictures, as [`PicturePath`] says.
    pub pictures: Vec<PathBuf>,
    /// The files of folders that are not images.
    pub unread: Vec<Unread>,
}

/// Lists the image files that the inputs stand for, in the order of the inputs, each once, as
/// [`list_inputs`] does.
///
/// # Errors
/// When an input stands for nothing or cannot be read.
pub fn image_files(inputs: &[PathBuf]) -> Result<Vec<PathBuf>, InputError> {
    Ok(list_inputs(inputs, &Reading::default())?.pictures)
}

/// Lists the pictures that the inputs stand for, in the order of the inputs, each once.
///
/// - A file stands for all its pictures, whatever its name, and `stack.tif#3` for the third one.
/// - A folder stands for the images directly in it, sorted by name, and the slices of a DICOM
///   series by their position; hidden files are left out.
/// - Anything else with `*`, `?` or `[` is a glob pattern and stands for the files that it matches,
///   sorted.
///
/// A file whose pictures cannot be counted stands for one, so that reading it reports the error.
///
/// # Errors
/// When an input stands for nothing or cannot be read.
pub fn list_inputs(inputs: &[PathBuf], reading: &Reading) -> Result<Inputs, InputError> {
    let mut found = Inputs::default();
    let of_file = |file: PathBuf| pictures(&file, reading).unwrap_or_else(|_| vec![file]);
    for input in inputs {
        let is_pattern = input.to_string_lossy().contains(['*', '?', '[']);
        if input.is_dir() {
            let listed =
                list_folder(input, reading).map_err(|source| InputError::Folder { input: input.clone(), source });
            let Listing { pictures, unread } = listed?;
            if pictures.is_empty() {
                return Err(InputError::Empty { input: input.clone() });
            }
            found.pictures.extend(pictures);
            found.unread.extend(unread);
        } else if is_pattern && !input.exists() {
            found.pictures.extend(files_matching(input)?.into_iter().flat_map(of_file));
        } else if PicturePath::new(input).file.symlink_metadata().is_err() {
            return Err(InputError::Absent { input: input.clone() });
        } else {
            found.pictures.extend(of_file(input.clone()));
        }
    }
    let mut seen = HashSet::new();
    found.pictures.retain(|file| seen.insert(file.clone()));
    Ok(found)
}

fn files_matching(pattern: &Path) -> Result<Vec<PathBuf>, InputError> {
    let input = || pattern.to_path_buf();
    // As in a shell, a wildcard does not reach hidden files.
    let options = MatchOptions { require_literal_leading_dot: true, ..MatchOptions::new() };
    let paths = glob_with(&pattern.to_string_lossy(), options)
        .map_err(|source| InputError::Pattern { input: input(), source })?;
    let mut files = Vec::new();
    for path in paths {
        let path = path.map_err(|source| InputError::Unreadable { input: input(), source })?;
        if !path.is_dir() {
            files.push(path);
        }
    }
    if files.is_empty() { Err(InputError::NoMatch { input: input() }) } else { Ok(files) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Creates a folder with files of the given names.
    fn folder(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        folder
    }

    #[test]
    fn files_folders_and_patterns_become_files_in_order() {
        let folder = folder(&["b.png", "a.JPG", "notes.txt", ".hidden.png", "sub/c.webp", "odd[1].gif", "sub/d.png"]);
        let rows: [(&str, &[&str], &[&str]); 7] = [
            ("a file", &["b.png"], &["b.png"]),
            ("a file without an image's name", &["notes.txt"], &["notes.txt"]),
            ("a folder", &["."], &["a.JPG", "b.png", "odd[1].gif"]),
            ("a pattern", &["*.png"], &["b.png"]),
            ("a pattern over folders", &["**/*.png"], &["b.png", "sub/d.png"]),
            ("a file whose name looks like a pattern", &["odd[1].gif"], &["odd[1].gif"]),
            ("several, one file twice", &["sub", "b.png", "sub/c.webp"], &["sub/c.webp", "sub/d.png", "b.png"]),
        ];
        for (name, inputs, expected) in rows {
            let inputs: Vec<_> = inputs.iter().map(|input| folder.path().join(input)).collect();
            let found = image_files(&inputs).unwrap();
            let found: Vec<_> = found.iter().map(|file| file.strip_prefix(folder.path()).unwrap()).collect();
            assert_eq!(found, expected.iter().map(Path::new).collect::<Vec<_>>(), "{name}");
        }
    }

    #[test]
    fn inputs_that_stand_for_nothing_are_errors() {
        let folder = folder(&["empty/notes.txt"]);
        for (input, part) in [
            ("absent.png", "no file or folder"),
            ("empty", "holds no image"),
            ("*.png", "matches no file"),
            ("[", "not a glob pattern"),
        ] {
            let path = folder.path().join(input);
            let message = image_files(std::slice::from_ref(&path)).unwrap_err().to_string();
            assert!(message.contains(part) && message.contains(&path.display().to_string()), "{input}: {message}");
        }
    }
}
