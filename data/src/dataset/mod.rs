//! Data sets: which images there are, which mask belongs to each, and what is held out for the test.

mod drive;
mod fingerprint;
mod folder;
mod kvasir;
mod lists;
mod pairs;
mod part;
mod sample;

pub use part::{Part, PartError};
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
    #[error("cannot open the data set: reading `{path}` failed")]
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

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// A folder with the given files, all empty: opening a data set reads none of them.
    fn folder(files: &[&str]) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        root
    }

    fn names(samples: &[Sample]) -> Vec<&str> {
        samples.iter().map(|sample| sample.name.as_str()).collect()
    }

    #[test]
    fn drive_is_read_as_published() {
        let root = folder(&[
            "training/images/22_training.tif",
            "training/images/21_training.tif",
            "training/1st_manual/21_manual1.gif",
            "training/1st_manual/22_manual1.gif",
            "training/mask/21_training_mask.gif",
            "training/mask/22_training_mask.gif",
            "test/images/01_test.tif",
            "test/1st_manual/01_manual1.gif",
            "test/2nd_manual/01_manual2.gif",
            "test/mask/01_test_mask.gif",
        ]);
        let dataset = Dataset::open(root.path()).unwrap();
        assert_eq!((dataset.name.as_str(), dataset.layout), ("DRIVE", Layout::Drive));
        assert_eq!(dataset.classes[1].name, "vessel");
        assert_eq!((names(&dataset.train), names(&dataset.test)), (vec!["21", "22"], vec!["01"]));
        let sample = &dataset.train[1];
        assert_eq!(sample.image, root.path().join("training/images/22_training.tif"));
        assert_eq!(sample.mask, root.path().join("training/1st_manual/22_manual1.gif"));
        assert_eq!(sample.field_of_view, Some(root.path().join("training/mask/22_training_mask.gif")));

        fs::remove_dir_all(root.path().join("test/1st_manual")).unwrap();
        assert!(Dataset::open(root.path()).unwrap().test.is_empty(), "a test part without drawings");
    }

    #[test]
    fn kvasir_seg_is_told_by_its_name_or_its_boxes() {
        let named = folder(&["Kvasir-SEG/images/a.jpg", "Kvasir-SEG/masks/a.jpg"]);
        let boxed = folder(&["images/a.jpg", "masks/a.jpg", "kavsir_bboxes.json"]);
        for root in [named.path().join("Kvasir-SEG"), boxed.path().into()] {
            let dataset = Dataset::open(&root).unwrap();
            assert_eq!((dataset.name.as_str(), dataset.layout), ("Kvasir-SEG", Layout::KvasirSeg));
            assert_eq!(dataset.classes[1].name, "polyp");
            assert_eq!((names(&dataset.train), dataset.test.len()), (vec!["a"], 0));
        }
    }

    #[test]
    fn any_folder_of_images_and_masks_is_a_data_set() {
        let root = folder(&[
            "cells/images/b.JPG",
            "cells/images/a.x.png",
            "cells/images/.hidden.png",
            "cells/images/notes.txt",
            "cells/images/folder.png/c.png",
            "cells/masks/a.x.gif",
            "cells/masks/b.png",
        ]);
        let dataset = Dataset::open(&root.path().join("cells/images/..")).unwrap();
        assert_eq!((dataset.name.as_str(), dataset.layout), ("cells", Layout::Folder));
        assert_eq!(names(&dataset.train), ["a.x", "b"]);
        assert!(dataset.train[0].mask.ends_with("masks/a.x.gif") && dataset.train[0].field_of_view.is_none());
    }

    #[test]
    fn folders_that_are_no_data_set_are_errors_that_name_the_reason() {
        let rows: [(&str, &[&str], &str); 8] = [
            ("nothing", &[], "it holds nothing"),
            (
                "something else",
                &["pictures/a.png", "readme"],
                "it holds `pictures`, `readme`, expected the folders `images`",
            ),
            ("no masks", &["images/a.png"], "it holds `images`, expected"),
            ("no image", &["images/a.txt", "masks/a.png"], "images` holds no image"),
            ("two files of a name", &["images/a.png", "images/a.jpg", "masks/a.png"], "stand for the same name"),
            (
                "images without masks",
                &["images/a.png", "images/b.png", "images/c.png", "masks/b.png"],
                "2 of the images in",
            ),
            ("a mask without image", &["images/a.png", "masks/a.png", "masks/b.png"], "1 of the images in"),
            (
                "a vessel drawing without field of view",
                &[
                    "training/images/21_training.tif",
                    "training/1st_manual/21_manual1.gif",
                    "training/mask/22_training_mask.gif",
                ],
                "`21`",
            ),
        ];
        for (name, files, part) in rows {
            let root = folder(files);
            let message = Dataset::open(root.path()).unwrap_err().to_string();
            assert!(message.contains(part), "{name}: {message}");
        }
        let missing = Dataset::open(Path::new("no/such/folder")).unwrap_err().to_string();
        assert!(missing.contains("no/such/folder"), "{missing}");
    }

    #[test]
    fn long_lists_of_names_are_cut_short() {
        let quoted = |count: usize| first_names((0..count).map(|name| name.to_string()));
        assert_eq!(quoted(2), "`0`, `1`");
        assert_eq!(quoted(6), "`0`, `1`, `2`, `3`, `4`, ...");
    }
}
