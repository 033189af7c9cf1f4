//! Lists the image files that arguments stand for: files, folders and glob patterns.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use glob::{GlobError, MatchOptions, PatternError, glob_with};
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

/// Lists the image files that the inputs stand for, in the order of the inputs, each once.
///
/// - A file stands for itself, whatever its name.
/// - A folder stands for the files directly in it that have an extension of an image format, sorted
///   by name; hidden files are left out.
/// - Anything else with `*`, `?` or `[` is a glob pattern and stands for the files that it matches,
///   sorted.
///
/// # Errors
/// When an input stands for nothing or cannot be read.
pub fn image_files(inputs: &[PathBuf]) -> Result<Vec<PathBuf>, InputError> {
    let mut files = Vec::new();
    for input in inputs {
        let is_pattern = input.to_string_lossy().contains(['*', '?', '[']);
        if input.is_dir() {
            files.extend(files_in(input)?);
        } else if is_pattern && !input.exists() {
            files.extend(files_matching(input)?);
        } else if input.symlink_metadata().is_err() {
            return Err(InputError::Absent { input: input.clone() });
        } else {
            files.push(input.clone());
        }
    }
    let mut seen = HashSet::new();
    files.retain(|file| seen.insert(file.clone()));
    Ok(files)
}

fn files_in(folder: &Path) -> Result<Vec<PathBuf>, InputError> {
    let read = || folder.read_dir()?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>();
    let mut files = read().map_err(|source| InputError::Folder { input: folder.into(), source })?;
    let is_hidden = |file: &Path| file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    files.retain(|file| seg_data::has_image_extension(file) && !is_hidden(file) && !file.is_dir());
    files.sort();
    if files.is_empty() { Err(InputError::Empty { input: folder.into() }) } else { Ok(files) }
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
