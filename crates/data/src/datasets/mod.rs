//! Data sets: the images, the mask of each, and the test part.

mod classes;
mod drive;
mod error;
mod fingerprint;
mod folder;
mod isic;
mod kvasir;
mod lists;
mod pairs;
mod part;
mod pictures;
mod sample;

pub use error::DatasetError;
pub use part::{Part, PartError};
pub use sample::{Sample, SampleError};

use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use error::first_names;
use seg_contract::{Class, Reading};
use seg_text::control::escape;
use seg_text::raw_path::raw_path;

/// A data set on disk.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// The name in reports.
    pub name: String,
    /// The folder that was opened.
    pub root: PathBuf,
    /// The layout of the folder.
    pub layout: Layout,
    /// The classes by label; index 0 is the background.
    pub classes: Vec<Class>,
    /// The samples for training, sorted by name.
    pub train: Vec<Sample>,
    /// The names in `train` by which the publishers choose an epoch; empty if they do not say.
    pub validation: Vec<String>,
    /// The publishers' test samples, sorted by name; empty if there are none.
    pub test: Vec<Sample>,
}

/// The layout of a data set's folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Retinal vessels with fields of view, as DRIVE is published.
    Drive,
    /// Colon polyps, as Kvasir-SEG is published.
    KvasirSeg,
    /// Skin lesions, as ISIC 2018's Task 1 is published.
    Isic2018,
    /// Any folder with `images` and `masks` of the same names.
    Folder,
}

impl Dataset {
    /// Opens the data set in a folder and recognises its layout by the content.
    ///
    /// Only names are read, no images: see [`Sample::load`].
    ///
    /// # Errors
    /// When the folder does not exist, has an unknown layout, holds no image, or images and masks
    /// do not match one to one.
    pub fn open(root: &Path) -> Result<Self, DatasetError> {
        let (dataset, problems) = Self::survey(root)?;
        match problems.into_iter().next() {
            Some(problem) => Err(problem),
            None => Ok(dataset),
        }
    }

    /// Lists the files of all samples: images, masks and fields of view.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let samples = self.train.iter().chain(&self.test);
        let files = samples.flat_map(|sample| [Some(&sample.image), Some(&sample.mask), sample.field_of_view.as_ref()]);
        files.flatten().map(PathBuf::as_path)
    }

    /// Surveys a data set: the samples that are complete, and every problem for which
    /// [`Dataset::open`] refuses it.
    pub(crate) fn survey(root: &Path) -> Result<(Self, Vec<DatasetError>), DatasetError> {
        let entries = entries(root)?;
        // `.` and `..` have a name only once they are resolved.
        let resolved = fs::canonicalize(root).map_err(|source| DatasetError::Read { path: root.into(), source })?;
        // It goes into the contract, which takes no control characters.
        let name = escape(&name_of(&resolved));
        let mut problems = Vec::new();
        let dataset = if drive::matches(root) {
            drive::survey(root, &mut problems)
        } else if isic::matches(root) {
            isic::survey(root, &mut problems)
        } else if kvasir::matches(root, &name) {
            kvasir::survey(root, &mut problems)?
        } else if folder::matches(root) {
            folder::survey(root, name, &mut problems)?
        } else {
            let names: Vec<_> = entries.iter().map(|entry| name_of(entry)).collect();
            let found = if names.is_empty() { "nothing".into() } else { first_names(&names) };
            return Err(DatasetError::Layout { root: root.into(), found });
        };
        let mut dataset = dataset;
        dataset.divide(&Reading::default(), &mut problems);
        Ok((dataset, problems))
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Drive => "DRIVE as published",
            Self::KvasirSeg => "Kvasir-SEG as published",
            Self::Isic2018 => "ISIC 2018, Task 1, as published",
            Self::Folder => "images and masks",
        })
    }
}

/// The parts of a folder, each sorted by name.
#[derive(Default)]
struct Parts {
    /// The training samples.
    train: Vec<Sample>,
    /// The samples that choose the best epoch, or the test samples if there is no other test part.
    validation: Vec<Sample>,
    test: Vec<Sample>,
}

impl Parts {
    fn into_dataset(self, name: String, root: &Path, layout: Layout, classes: Vec<Class>) -> Dataset {
        let Self { train, validation, test } = self;
        let root = root.into();
        if test.is_empty() {
            return Dataset { name, root, layout, classes, train, validation: Vec::new(), test: validation };
        }
        let names = validation.iter().map(|sample| sample.name.clone()).collect();
        Dataset { name, root, layout, classes, train: merge(train, validation), validation: names, test }
    }
}

/// Returns the classes of a data set with one target.
fn two_classes(target: &str) -> Vec<Class> {
    vec![Class::new("background", 0), Class::new(target, 1)]
}

/// Joins two lists of samples and sorts them by name.
fn merge(mut first: Vec<Sample>, second: Vec<Sample>) -> Vec<Sample> {
    first.extend(second);
    first.sort_by(|one, other| one.name.cmp(&other.name));
    first
}

/// Lists the paths in a folder, sorted.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    let read = || fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>();
    let mut entries = read().map_err(|source| DatasetError::Read { path: folder.into(), source })?;
    entries.sort();
    Ok(entries)
}

/// Returns the last part of a path; without loss if it is not UTF-8, as [`raw_path`] writes it.
fn name_of(path: &Path) -> String {
    let name = Path::new(path.file_name().unwrap_or_default());
    raw_path(name).unwrap_or_else(|| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::masks::{EXAMPLE_INDEX, MaskCoding};

    /// Creates a folder with the given files, all empty: opening a data set reads none of them.
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
    fn isic_2018_is_read_as_published_and_as_a_copy_with_lists() {
        let published = [
            "ISIC2018_Task1-2_Training_Input/ISIC_0000003.jpg",
            "ISIC2018_Task1-2_Training_Input/ISIC_0000001.jpg",
            "ISIC2018_Task1-2_Training_Input/ATTRIBUTION.txt",
            "ISIC2018_Task1-2_Training_Input/Thumbs.db",
            "ISIC2018_Task1_Training_GroundTruth/ISIC_0000001_segmentation.png",
            "ISIC2018_Task1_Training_GroundTruth/ISIC_0000003_segmentation.png",
            "ISIC2018_Task1_Training_GroundTruth/LICENSE.txt",
            "ISIC2018_Task1_Training_GroundTruth/.DS_Store",
        ];
        let parts = [
            "ISIC2018_Task1-2_Validation_Input/ISIC_0000002.jpg",
            "ISIC2018_Task1_Validation_GroundTruth/ISIC_0000002_segmentation.png",
            "ISIC2018_Task1-2_Test_Input/ISIC_0000009.jpg",
            "ISIC2018_Task1_Test_GroundTruth/ISIC_0000009_segmentation.png",
        ];
        let (one, three) = ("ISIC_0000001", "ISIC_0000003");
        let lists = [("split_train.txt", one), ("split_valid.txt", three), ("split_test.txt", "ISIC_0000004")];
        let more = [
            "ISIC2018_Task1-2_Training_Input/ISIC_0000004.jpg",
            "ISIC2018_Task1_Training_GroundTruth/ISIC_0000004_segmentation.png",
        ];
        for (name, files, lists, train, validation, test) in [
            ("training alone", vec![], &[][..], vec![one, three], vec![], vec![]),
            (
                "all parts",
                parts.to_vec(),
                &[],
                vec![one, "ISIC_0000002", three],
                vec!["ISIC_0000002"],
                vec!["ISIC_0000009"],
            ),
            ("lists", more.to_vec(), &lists, vec![one, three], vec![three], vec!["ISIC_0000004"]),
        ] {
            let root = folder(&[&published[..], &files].concat());
            for (list, names) in lists {
                fs::write(root.path().join(list), names).unwrap();
            }
            let dataset = Dataset::open(root.path()).unwrap();
            assert_eq!((dataset.name.as_str(), dataset.layout), ("ISIC2018", Layout::Isic2018), "{name}");
            assert_eq!(dataset.classes[1].name, "lesion", "{name}");
            assert_eq!((names(&dataset.train), names(&dataset.test)), (train, test), "{name}");
            assert_eq!(dataset.validation, validation, "{name}");
        }
    }

    #[test]
    fn a_folder_may_hold_two_parts_fields_of_view_and_named_classes() {
        let root = folder(&[
            "train/images/a.png",
            "train/masks/a.png",
            "train/fields_of_view/a.gif",
            "test/images/b.png",
            "test/masks/b.png",
        ]);
        fs::write(root.path().join("classes.json"), EXAMPLE_INDEX).unwrap();
        let dataset = Dataset::open(root.path()).unwrap();
        assert_eq!((names(&dataset.train), names(&dataset.test)), (vec!["a"], vec!["b"]));
        assert_eq!(dataset.train[0].field_of_view, Some(root.path().join("train/fields_of_view/a.gif")));
        assert_eq!(dataset.classes[2].name, "cup");
        assert_eq!(dataset.test[0].coding, MaskCoding::Index { classes: 3 });
    }

    #[test]
    fn what_is_to_choose_by_is_held_out_where_nothing_else_is() {
        let files = |part: &str, name: &str| [format!("{part}/images/{name}.png"), format!("{part}/masks/{name}.png")];
        for (name, parts, train, validation, test) in [
            ("two", &["train", "valid"][..], "a", "", "b"),
            ("three", &["train", "val", "test"], "ab", "b", "c"),
            ("three, by another name", &["train", "validation", "test"], "ab", "b", "c"),
        ] {
            let all: Vec<_> = parts.iter().zip(["a", "b", "c"]).flat_map(|(part, name)| files(part, name)).collect();
            let root = folder(&all.iter().map(String::as_str).collect::<Vec<_>>());
            let dataset = Dataset::open(root.path()).unwrap();
            let found = (names(&dataset.train).concat(), dataset.validation.concat(), names(&dataset.test).concat());
            assert_eq!(found, (train.into(), validation.into(), test.into()), "{name}");
        }
        let same = [files("train", "1"), files("val", "1"), files("test", "1")].concat();
        let root = folder(&same.iter().map(String::as_str).collect::<Vec<_>>());
        let message = Dataset::open(root.path()).unwrap_err().to_string();
        assert!(message.contains("val`: `1`; rename"), "{message}");
    }

    #[test]
    fn a_survey_names_every_problem_and_keeps_what_is_whole() {
        let root = folder(&[
            "images/a.png",
            "images/b.png",
            "images/b.jpg",
            "images/c.png",
            "masks/a.png",
            "masks/b.png",
            "masks/d.png",
        ]);
        fs::write(root.path().join("train.txt"), "a\nx").unwrap();
        fs::write(root.path().join("val.txt"), "a\nb").unwrap();
        let (dataset, problems) = Dataset::survey(root.path()).unwrap();
        assert_eq!((names(&dataset.train), names(&dataset.test)), (vec!["a"], vec!["a", "b"]));
        let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
        for part in ["stand for the same name", "`c`", "`d`", "`x`", "are in both"] {
            assert!(problems.iter().any(|problem| problem.contains(part)), "{part}: {problems:#?}");
        }
        assert_eq!(problems.len(), 5, "{problems:#?}");
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
        let rows: [(&str, &[&str], &str); 9] = [
            ("nothing", &[], "it holds nothing"),
            (
                "something else",
                &["pictures/a.png", "readme"],
                "it holds `pictures`, `readme`, expected the folders `images`",
            ),
            ("no masks", &["images/a.png"], "it holds `images`, expected"),
            (
                "fields of view for some images",
                &["images/a.png", "images/b.png", "masks/a.png", "masks/b.png", "fields_of_view/a.png"],
                "1 of the images in",
            ),
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
}
