//! ISIC 2018, Task 1 as published: photographs of skin and the lesions on them.
//!
//! ```text
//! ISIC2018_Task1-2_Training_Input/ISIC_0000000.jpg
//! ISIC2018_Task1_Training_GroundTruth/ISIC_0000000_segmentation.png
//! ```
//!
//! and likewise `Validation` and `Test`, if they were downloaded. Copies that hold the training
//! images alone may split them by `split_train.txt`, `split_valid.txt` and `split_test.txt`.

use std::path::Path;

use super::pairs::{Files, pair};
use super::{Dataset, DatasetError, Layout, Sample, lists, merge, two_classes};
use crate::masks::MaskCoding;

const LISTS: [&str; 3] = ["split_train.txt", "split_valid.txt", "split_test.txt"];

fn images(part: &str) -> String {
    format!("ISIC2018_Task1-2_{part}_Input")
}

fn masks(part: &str) -> String {
    format!("ISIC2018_Task1_{part}_GroundTruth")
}

pub(super) fn matches(root: &Path) -> bool {
    root.join(masks("Training")).is_dir()
}

pub(super) fn survey(root: &Path, problems: &mut Vec<DatasetError>) -> Dataset {
    let [training, validation, test] = ["Training", "Validation", "Test"].map(|name| part(root, name, problems));
    let (train, validation, test) = match lists::split(root, LISTS, &training, problems) {
        Some([train, chosen, held_out]) => (train, merge(validation, chosen), merge(test, held_out)),
        None => (training, validation, test),
    };
    Dataset {
        name: "ISIC2018".into(),
        root: root.into(),
        layout: Layout::Isic2018,
        classes: two_classes("lesion"),
        validation: validation.iter().map(|sample| sample.name.clone()).collect(),
        train: merge(train, validation),
        test,
        reading: "images in `..._Input`, masks in `..._GroundTruth`".into(),
        notes: Vec::new(),
    }
}

/// Lists the samples of a part; empty if its masks do not exist, as those of a running challenge.
fn part(root: &Path, name: &str, problems: &mut Vec<DatasetError>) -> Vec<Sample> {
    let masks = root.join(masks(name));
    if !masks.is_dir() {
        return Vec::new();
    }
    let images = Files::list(root.join(images(name)), "", problems);
    let masks = Files::list(masks, "_segmentation", problems);
    pair(images, masks, None, &MaskCoding::Binary, problems)
}
