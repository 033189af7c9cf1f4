//! Folders of data sets, as published and as people keep them: which files belong together, and
//! what is refused with its reason. All files are empty, as opening a data set reads none of them.

#![expect(clippy::unwrap_used, reason = "a claim that cannot be set up has failed")]

use std::fs;
use std::path::Path;

use seg_data::{Border, Dataset, DatasetError, Layout, MaskCoding, Sample, Selection};
use tempfile::TempDir;

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
    let json = r#"{"masks": "index", "classes": [{"name": "background"}, {"name": "disc"}, {"name": "cup"}]}"#;
    fs::write(root.path().join("classes.json"), json).unwrap();
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
    let names: Vec<String> = files.iter().flat_map(|file| ["1", "2"].map(|number| file.replace('#', number))).collect();
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
    let border = Selection { border: Some(Border::Class), ..Selection::default() };
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
        let last = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
        let found = format!("{} in {}", last(image), last(mask.parent().unwrap()));
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
        ("masks in two folders", &["images/#.png", "masks/#.png", "labels/#.png"], ["`labels`", "`masks`", "--masks"]),
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
