//! Data sets: which images there are, which mask belongs to each, and what is held out for the test.

mod drive;
mod folder;
mod kvasir;
mod lists;
mod pairs;
mod sample;

pub use sample::{Sample, SampleError};

use std::path::{Path, PathBuf};
use std::{fs, io};

use seg_onnx::contract::Class;
use thiserror::Error;

/// A data set on disk.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Its name in reports.
    pub name: String,
    /// The folder that was opened.
    pub root: PathBuf,
    /// How the folder is laid out.
    pub layout: Layout,
    /// The classes by label; index 0 is the background.
    pub classes: Vec<Class>,
    /// What may be learned from, sorted by name.
    pub train: Vec<Sample>,
    /// What the publishers hold out, sorted by name; empty where they hold out nothing.
    pub test: Vec<Sample>,
}

/// How a data set's folder is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Retinal vessels with fields of view, as DRIVE is published.
    Drive,
    /// Colon polyps, as Kvasir-SEG is published.
    KvasirSeg,
    /// Any folder with `images` and `masks` of the same names.
    Folder,
}

/// Why a folder cannot be opened as a data set.
#[derive(Debug, Error)]
pub enum DatasetError {
    /// The folder, or a file in it, could not be read.
    #[error("cannot read `{path}` of the data set")]
    Read {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The folder is laid out in no known way.
    #[error(
        "cannot open `{root}` as a data set: it holds {found}, expected the folders `images` and `masks`, or `training` and \
         `test` as DRIVE is published"
    )]
    Layout {
        /// The folder.
        root: PathBuf,
        /// What it holds.
        found: String,
    },
    /// A folder that should hold images holds none.
    #[error("the folder `{folder}` holds no image; expected PNG, JPEG, TIFF, GIF, BMP or WebP files")]
    Empty {
        /// The folder.
        folder: PathBuf,
    },
    /// Two files of a folder stand for the same name.
    #[error("`{first}` and `{second}` stand for the same name; remove one of them")]
    Twice {
        /// The one file.
        first: PathBuf,
        /// The other file.
        second: PathBuf,
    },
    /// Files have no counterpart.
    #[error(
        "{count} of the images in `{folder}` have no counterpart of the same name in `{other}`: {names}; add the missing \
         files or remove these"
    )]
    Unpaired {
        /// The folder that holds them.
        folder: PathBuf,
        /// The folder that lacks them.
        other: PathBuf,
        /// How many they are.
        count: usize,
        /// The first of their names.
        names: String,
    },
    /// Of the two lists that split a data set only one is there.
    #[error("the list `{found}` is there but `{missing}` is not; a data set is split by both or by neither")]
    ListMissing {
        /// The list that is there.
        found: PathBuf,
        /// The list that is not.
        missing: PathBuf,
    },
    /// A list names no sample.
    #[error("the list `{list}` is empty; expected one name per line")]
    ListEmpty {
        /// The list.
        list: PathBuf,
    },
    /// A list names samples that are not there.
    #[error(
        "{count} names in the list `{list}` belong to no image: {names}; add the missing images or remove the lines"
    )]
    ListUnknown {
        /// The list.
        list: PathBuf,
        /// How many they are.
        count: usize,
        /// The first of the names.
        names: String,
    },
    /// Samples are to be learned from and held out at once.
    #[error("{count} names are in both `{train}` and `{test}`: {names}; remove them from one of the lists")]
    ListOverlap {
        /// The list to learn from.
        train: PathBuf,
        /// The list that is held out.
        test: PathBuf,
        /// How many they are.
        count: usize,
        /// The first of the names.
        names: String,
    },
}

impl Dataset {
    /// Opens the data set in a folder, whose layout is told from what it holds.
    ///
    /// Only names are read, no image: see [`Sample::load`].
    ///
    /// # Errors
    /// When the folder is not there, is laid out in no known way, holds no image, or images and masks do not match
    /// one to one.
    pub fn open(root: &Path) -> Result<Self, DatasetError> {
        let entries = entries(root)?;
        // `.` and `..` have a name only once they are resolved.
        let resolved = fs::canonicalize(root).map_err(|source| DatasetError::Read { path: root.into(), source })?;
        let name = name_of(&resolved);
        if drive::matches(root) {
            drive::open(root)
        } else if kvasir::matches(root, &name) {
            kvasir::open(root)
        } else if folder::matches(root) {
            folder::open(root, name)
        } else {
            let found = if entries.is_empty() {
                "nothing".into()
            } else {
                first_names(entries.iter().map(|entry| name_of(entry)))
            };
            Err(DatasetError::Layout { root: root.into(), found })
        }
    }
}

/// The classes of a data set with one target.
fn classes(target: &str) -> Vec<Class> {
    vec![Class::new("background", 0), Class::new(target, 1)]
}

/// The paths in a folder, sorted.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    let read = || fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>();
    let mut entries = read().map_err(|source| DatasetError::Read { path: folder.into(), source })?;
    entries.sort();
    Ok(entries)
}

/// The last part of a path.
fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The first few names, for a message.
fn first_names(names: impl Iterator<Item = String>) -> String {
    const NAMES_MAX: usize = 5;
    let quoted: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    let more = if quoted.len() > NAMES_MAX { ", ..." } else { "" };
    quoted[..quoted.len().min(NAMES_MAX)].join(", ") + more
}
