//! DRIVE as published: retinal photographs, the vessels drawn by a first observer, and fields of
//! view.
//!
//! ```text
//! training/images/21_training.tif       test/images/01_test.tif
//! training/1st_manual/21_manual1.gif    test/1st_manual/01_manual1.gif
//! training/mask/21_training_mask.gif    test/mask/01_test_mask.gif
//! ```

use std::path::Path;

use super::pairs::{Files, pair};
use super::{Dataset, DatasetError, Layout, Sample, two_classes};
use crate::masks::MaskCoding;

const FIRST_OBSERVER: &str = "1st_manual";

pub(super) fn matches(root: &Path) -> bool {
    root.join("training").join(FIRST_OBSERVER).is_dir()
}

/// Surveys DRIVE. If the test part has no drawings, as in some downloads, there is no test part.
pub(super) fn survey(root: &Path, problems: &mut Vec<DatasetError>) -> Dataset {
    let train = part(&root.join("training"), "training", problems);
    let test = root.join("test");
    let test = if test.join(FIRST_OBSERVER).is_dir() { part(&test, "test", problems) } else { Vec::new() };
    Dataset {
        name: "DRIVE".into(),
        root: root.into(),
        layout: Layout::Drive,
        classes: two_classes("vessel"),
        train,
        validation: Vec::new(),
        test,
        reading: "images in `images`, drawings in `1st_manual`, fields of view in `mask`".into(),
        notes: Vec::new(),
    }
}

/// Lists the samples of one of the two parts, whose files are named after it.
fn part(folder: &Path, name: &str, problems: &mut Vec<DatasetError>) -> Vec<Sample> {
    let images = Files::list(folder.join("images"), &format!("_{name}"), problems);
    let masks = Files::list(folder.join(FIRST_OBSERVER), "_manual1", problems);
    let fields_of_view = Files::list(folder.join("mask"), &format!("_{name}_mask"), problems);
    pair(images, masks, Some(fields_of_view), &MaskCoding::Binary, problems)
}
