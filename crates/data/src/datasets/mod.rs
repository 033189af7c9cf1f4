//! Data sets: the images, the mask of each, and the test part.

mod affix;
mod annotated;
mod classes;
mod described_elsewhere;
mod drive;
mod error;
mod fingerprint;
mod glob;
mod isic;
mod kvasir;
mod listing;
mod lists;
mod matching;
mod one_folder;
mod overlap;
mod pairs;
mod palettes;
mod part;
mod pictures;
mod sample;
mod selection;
mod table;
mod text;
mod tree;
mod words;

pub use error::DatasetError;
pub use overlap::{Overlap, image_digests};
pub use part::{Part, PartError};
pub use sample::{Sample, SampleError, SizedSample};
pub use selection::Selection;

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
    /// The way in which the folder was read, in words.
    pub reading: String,
    /// The files that were not used, and why, a sentence each.
    pub notes: Vec<String>,
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
    /// Any folder in which images and masks belong together by their names.
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
        Self::open_with(root, &Selection::default())
    }

    /// Opens the data set in a folder as a person chose.
    ///
    /// # Errors
    /// As [`Dataset::open`], and when the choice fits nothing.
    pub fn open_with(root: &Path, selection: &Selection) -> Result<Self, DatasetError> {
        let (dataset, problems) = Self::survey(root, selection)?;
        match problems.into_iter().next() {
            Some(problem) => Err(problem),
            None => Ok(dataset),
        }
    }

    /// Lists the files of all samples: images, masks and fields of view.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let samples = self.train.iter().chain(&self.test);
        let files = samples.flat_map(|sample| {
            let own = [Some(&sample.image), Some(&sample.mask), sample.field_of_view.as_ref()];
            own.into_iter().flatten().chain(sample.coding.files())
        });
        files.map(PathBuf::as_path)
    }

    /// Surveys a data set: the samples that are complete, and every problem for which
    /// [`Dataset::open`] refuses it.
    pub(crate) fn survey(root: &Path, selection: &Selection) -> Result<(Self, Vec<DatasetError>), DatasetError> {
        let border = selection.border.unwrap_or_default();
        let mut problems = Vec::new();
        // A file is a table of files.
        let table = if root.is_file() { Some(root) } else { selection.pairs.as_deref() };
        if let Some(table) = table {
            let folder = if root.is_file() { root.parent().unwrap_or(root) } else { root };
            let name = escape(&listing::stem(&name_of(table)));
            let dataset = table::survey(folder, name, table, border, &mut problems)?;
            let mut dataset = Self { root: root.into(), ..dataset };
            dataset.divide(&Reading::default(), &mut problems);
            return Ok((dataset, problems));
        }
        entries(root)?;
        // `.` and `..` have a name only once they are resolved.
        let resolved = fs::canonicalize(root).map_err(|source| DatasetError::Read { path: root.into(), source })?;
        // It goes into the contract, which takes no control characters.
        let name = escape(&name_of(&resolved));
        let mut dataset = if !selection.is_open() {
            tree::survey(root, name, selection, &mut problems)?
        } else if drive::matches(root) {
            drive::survey(root, &mut problems)
        } else if isic::matches(root) {
            isic::survey(root, &mut problems)
        } else if kvasir::matches(root, &name) {
            kvasir::survey(root, &mut problems)?
        } else {
            tree::survey(root, name, selection, &mut problems)?
        };
        dataset.divide(&Reading::default(), &mut problems);
        Ok((dataset, problems))
    }

    /// Describes the parts: how many images are learned from, choose the best epoch, and are held
    /// out.
    pub fn parts_in_words(&self) -> String {
        let (validation, test) = (self.validation.len(), self.test.len());
        let train = self.train.len() - validation.min(self.train.len());
        let chosen = match validation {
            0 => ", a part of which chooses the best epoch".into(),
            _ => format!(", {validation} that choose the best epoch"),
        };
        let held = match test {
            0 => "none held out: scores on these images say nothing about others".into(),
            _ => format!("{test} held out for the test"),
        };
        format!("{train} images to learn from{chosen}; {held}")
    }
}

/// Returns the error of a folder without images or without masks.
fn unknown_layout(root: &Path, missing: words::Kind) -> Result<DatasetError, DatasetError> {
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
    /// The samples that choose the best epoch.
    validation: Vec<Sample>,
    test: Vec<Sample>,
}

impl Parts {
    /// Returns the data set: the validation samples choose the best epoch.
    fn into_dataset(self, name: String, root: &Path, layout: Layout, classes: Vec<Class>) -> Dataset {
        let Self { train, validation, test } = self;
        let names = validation.iter().map(|sample| sample.name.clone()).collect();
        let mut train = merge(train, validation);
        // One that is in both lists has been reported.
        train.dedup_by(|one, other| one.name == other.name);
        Dataset {
            name,
            root: root.into(),
            layout,
            classes,
            validation: names,
            train,
            test,
            reading: String::new(),
            notes: Vec::new(),
        }
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
    fn the_validation_folder_chooses_the_epoch() {
        let files = |part: &str, name: &str| [format!("{part}/images/{name}.png"), format!("{part}/masks/{name}.png")];
        for (name, parts, train, validation, test) in [
            ("two", &["train", "valid"][..], "ab", "b", ""),
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
        let dataset = Dataset::open(root.path()).unwrap();
        assert_eq!((names(&dataset.train), dataset.validation), (vec!["train_1", "val_1"], vec!["val_1".to_owned()]));
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
        let (dataset, problems) = Dataset::survey(root.path(), &Selection::default()).unwrap();
        assert_eq!((names(&dataset.train), dataset.validation.concat().as_str()), (vec!["a", "b"], "ab"));
        let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert!(dataset.notes[0].starts_with("1 images in `images` have no mask"), "{:?}", dataset.notes);
        for part in ["stand for the same name", "`d`", "`x`", "are in both"] {
            assert!(problems.iter().any(|problem| problem.contains(part)), "{part}: {problems:#?}");
        }
        assert_eq!(problems.len(), 4, "{problems:#?}");
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

    /// Writes two images, each in a file of the given names with `1` and `2` for `#`, and opens the
    /// folder.
    fn open_two(files: &[&str], others: &[(&str, &str)], selection: &Selection) -> Result<Dataset, DatasetError> {
        let names: Vec<String> =
            files.iter().flat_map(|file| ["1", "2"].map(|number| file.replace('#', number))).collect();
        let root = folder(&names.iter().map(String::as_str).collect::<Vec<_>>());
        for (file, text) in others {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Dataset::open_with(root.path(), selection)
    }

    #[test]
    fn ordinary_layouts_are_read() {
        let rows: [(&str, &[&str], &[&str], &str); 21] = [
            ("an end", &["images/c#.png", "masks/c#_mask.png"], &["c1", "c2"], "end with `_mask`"),
            ("other words", &["imgs/c#.jpg", "labels/c#.png"], &["c1", "c2"], "`imgs`, masks in `labels`"),
            ("other case", &["Images/c#.png", "MASKS/c#.png"], &["c1", "c2"], "of the same names"),
            ("VOC", &["JPEGImages/c#.jpg", "SegmentationClass/c#.png"], &["c1", "c2"], "SegmentationClass"),
            ("CVC", &["Original/c#.tif", "Ground Truth/c#.tif"], &["c1", "c2"], "Ground Truth"),
            ("nested", &["images/p#/c#.png", "masks/p#/c#.png"], &["p1_c1", "p2_c2"], "1 more folders"),
            ("nested images, flat masks", &["images/p#/c#.png", "masks/c#.png"], &["p1_c1", "p2_c2"], "other folders"),
            ("parts below", &["images/train/c#.png", "masks/train/c#.png"], &["c1", "c2"], "`images/train`"),
            ("parts above", &["train/img/c#.png", "train/gt/c#.png"], &["c1", "c2"], "`train/img`"),
            ("parts and words", &["train_images/c#.jpg", "train_masks/c#.gif"], &["c1", "c2"], "train_masks"),
            ("a silent folder of images", &["train/c#.jpg", "train_masks/c#_mask.gif"], &["c1", "c2"], "_mask"),
            ("a silent folder of masks", &["images/c#.png", "1st_manual/c#_manual1.gif"], &["c1", "c2"], "1st_manual"),
            ("nnU-Net", &["imagesTr/c#_0000.png", "labelsTr/c#.png"], &["c1", "c2"], "without `_0000`"),
            ("one folder", &["c#.png", "c#_mask.png"], &["c1", "c2"], "_mask"),
            ("one folder of images", &["images/c#.png", "images/c#_seg.png"], &["c1", "c2"], "_seg"),
            ("one folder, by format", &["c#.jpg", "c#.png"], &["c1", "c2"], "of the same names"),
            ("a folder each", &["p#/image.png", "p#/mask.png"], &["p1", "p2"], "`p1` and 1 more"),
            (
                "a folder each, with words",
                &["p#/images/p#.png", "p#/masks/a.png", "p#/masks/b.png"],
                &["p1", "p2"],
                "one object each",
            ),
            (
                "a folder of objects",
                &["images/c#.png", "masks/c#/x.png", "masks/c#/y.png"],
                &["c1", "c2"],
                "one object each",
            ),
            (
                "names in two forms of Unicode",
                &["images/\u{e4}#.png", "masks/a\u{308}#.png"],
                &["\u{e4}1", "\u{e4}2"],
                "same",
            ),
            ("two file extensions", &["images/c#.ome.tif", "masks/c#.tif"], &["c1", "c2"], "of the same names"),
        ];
        for (name, files, expected, reading) in rows {
            let dataset = open_two(files, &[], &Selection::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(names(&dataset.train), expected, "{name}");
            assert!(dataset.reading.contains(reading), "{name}: {}", dataset.reading);
            for (number, sample) in (1..).zip(&dataset.train) {
                let shown =
                    [&sample.image, &sample.mask].map(|path| path.display().to_string().contains(&number.to_string()));
                assert_eq!(shown, [true, true], "{name}: {sample:?}");
            }
        }
    }

    #[test]
    fn masks_of_objects_are_numbered() {
        let more = [("masks/c1_02.png", "")];
        let dataset = open_two(&["images/c#.png", "masks/c#_01.png"], &more, &Selection::default()).unwrap();
        assert!(dataset.reading.contains("one object each"), "{}", dataset.reading);
        assert_eq!(dataset.files().filter(|file| file.to_string_lossy().contains("c1_0")).count(), 2);
        let border = Selection { border: Some(crate::masks::Border::Class), ..Selection::default() };
        let dataset = open_two(&["images/c#.png", "masks/c#_01.png"], &more, &border).unwrap();
        assert_eq!(dataset.classes.last().unwrap().name, "border");
        // Two of the same for each image may be two readers.
        let two = ["images/c#.png", "masks/c#_01.png", "masks/c#_02.png"];
        let message = open_two(&two, &[], &Selection::default()).unwrap_err().to_string();
        assert!(message.contains("`_01`") && message.contains("`_02`"), "{message}");
    }

    #[test]
    fn parts_are_folders_or_lists() {
        let voc = ["JPEGImages/c#.jpg", "JPEGImages/unused#.jpg", "SegmentationClass/c#.png"];
        let lists = [("ImageSets/Segmentation/train.txt", "c1\n"), ("ImageSets/Segmentation/val.txt", "c2\n")];
        let dataset = open_two(&voc, &lists, &Selection::default()).unwrap();
        assert_eq!((names(&dataset.train), dataset.validation.concat()), (vec!["c1", "c2"], "c2".into()));
        assert!(dataset.notes[0].starts_with("2 images in `JPEGImages` have no mask"), "{:?}", dataset.notes);
        assert!(dataset.parts_in_words().ends_with("none held out: scores on these images say nothing about others"));

        let nnunet = ["imagesTr/c#_0000.png", "labelsTr/c#.png", "imagesTs/t#_0000.png"];
        let labels = [("dataset.json", r#"{"labels": {"background": 0, "tumour": 1}}"#)];
        let dataset = open_two(&nnunet, &labels, &Selection::default()).unwrap();
        assert_eq!((names(&dataset.train), dataset.classes[1].name.as_str()), (vec!["c1", "c2"], "tumour"));
        assert!(dataset.notes[0].contains("imagesTs"), "{:?}", dataset.notes);

        let parts = ["images/train/c#.png", "masks/train/c#.png", "images/test/t#.png", "masks/test/t#.png"];
        let dataset = open_two(&parts, &[], &Selection::default()).unwrap();
        assert_eq!((names(&dataset.train), names(&dataset.test)), (vec!["c1", "c2"], vec!["t1", "t2"]));
        assert!(dataset.parts_in_words().ends_with("2 held out for the test"));
    }

    #[test]
    fn flags_choose_among_files() {
        let select = |images: &str, masks: &str| Selection {
            images: (!images.is_empty()).then(|| images.into()),
            masks: (!masks.is_empty()).then(|| masks.into()),
            ..Selection::default()
        };
        let files = ["images/c#.png", "masks/c#.png", "labels/c#.png", "scans/x#/ct.png", "drawn/x#_ct.gif"];
        for (name, selection, expected) in [
            ("a folder", select("", "labels"), "c1.png in labels"),
            ("a pattern", select("", "masks/*.png"), "c1.png in masks"),
            ("two patterns", select("scans/*/ct.png", "drawn/*_ct.gif"), "ct.png in drawn"),
            ("two folders", select("images", "labels"), "c1.png in labels"),
        ] {
            let dataset = open_two(&files, &[], &selection).unwrap_or_else(|error| panic!("{name}: {error}"));
            let Sample { image, mask, .. } = &dataset.train[0];
            let found = format!("{} in {}", name_of(image), name_of(mask.parent().unwrap()));
            assert_eq!((found.as_str(), dataset.train.len()), (expected, 2), "{name}");
        }
        for (name, selection, part) in [
            ("two words", select("", ""), "`--masks labels`"),
            ("nothing", select("", "gone/*.png"), "`gone/*.png` selects no image file"),
        ] {
            let message = open_two(&files, &[], &selection).unwrap_err().to_string();
            assert!(message.contains(part), "{name}: {message}");
        }
    }

    #[test]
    fn a_folder_that_can_be_read_in_two_ways_names_both_and_the_flag() {
        let rows: [(&str, &[&str], [&str; 3]); 5] = [
            (
                "masks in two folders",
                &["images/#.png", "masks/#.png", "labels/#.png"],
                ["`labels`", "`masks`", "--masks"],
            ),
            ("images in two folders", &["img/#.png", "images/#.png", "masks/#.png"], ["`img`", "`images`", "--images"]),
            ("two masks each", &["images/#.png", "masks/#_a.png", "masks/#_b.png"], ["`_a`", "`_b`", "--masks"]),
            ("two formats", &["#.tif", "#.png"], ["png files", "tif files", "--images"]),
            (
                "a whole and a part",
                &["images/#.png", "masks/#.png", "train/images/#.png", "train/masks/#.png"],
                ["`images`", "`train/images`", "the data set"],
            ),
        ];
        for (name, files, parts) in rows {
            let message = open_two(files, &[], &Selection::default()).unwrap_err().to_string();
            assert!(parts.iter().all(|part| message.contains(part)), "{name}: {message}");
        }
        let channels = ["imagesTr/c#_0000.png", "imagesTr/c#_0001.png", "labelsTr/c#.png"];
        let message = open_two(&channels, &[], &Selection::default()).unwrap_err().to_string();
        assert!(message.contains("several channels") && message.contains("_0001"), "{message}");
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
