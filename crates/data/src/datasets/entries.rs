//! The entries of a folder, and their names.

use std::path::{Path, PathBuf};
use std::{fs, io};

use seg_text::raw_path::raw_path;

use super::DatasetError;
use super::error::first_names;
use super::words;

/// Lists the paths in a folder, sorted.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    let read = || fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>();
    let mut entries = read().map_err(|source| DatasetError::Read { path: folder.into(), source })?;
    entries.sort();
    Ok(entries)
}

/// Returns the last part of a path; without loss if it is not UTF-8, as [`raw_path`] writes it.
pub(super) fn name_of(path: &Path) -> String {
    let name = Path::new(path.file_name().unwrap_or_default());
    raw_path(name).unwrap_or_else(|| name.to_string_lossy().into_owned())
}

/// Returns the error of a folder without images or without masks.
pub(super) fn unknown_layout(root: &Path, missing: words::Kind) -> Result<DatasetError, DatasetError> {
    let entries = entries(root)?;
    let is_of_kind = |path: &&PathBuf| {
        path.is_dir() && words::Word::read(&name_of(path)).kind.is_some_and(|(kind, _)| kind == missing)
    };
    if let Some(folder) = entries.iter().find(is_of_kind) {
        return Ok(DatasetError::Empty { folder: folder.clone() });
    }
    let names: Vec<_> = entries.iter().map(|entry| name_of(entry)).collect();
    let found = if names.is_empty() { "nothing".into() } else { first_names(&names) };
    Ok(DatasetError::Layout { root: root.into(), found })
}
