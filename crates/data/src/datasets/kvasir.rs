//! Kvasir-SEG as published: colonoscopy images and their polyps, JPEG both, in `images` and
//! `masks`.
//!
//! If `train.txt` and `val.txt` exist, they are the publishers' split: `val.txt` is the test part.

use std::path::Path;

use super::pairs::images_and_masks;
use super::{Dataset, DatasetError, Layout, Parts, classes, lists};
use crate::masks::Border;

/// The file of bounding boxes in the data set; the publishers' spelling.
const BOXES: &str = "kavsir_bboxes.json";

pub(super) fn matches(root: &Path, name: &str) -> bool {
    root.join("images").is_dir()
        && root.join("masks").is_dir()
        && (name.to_ascii_lowercase().starts_with("kvasir-seg") || root.join(BOXES).is_file())
}

pub(super) fn survey(root: &Path, problems: &mut Vec<DatasetError>) -> Result<Dataset, DatasetError> {
    let classes::Described { classes, coding, .. } = classes::read(root, "polyp", Border::None)?;
    let parts = lists::split_folder(root, images_and_masks(root, &coding, problems), problems);
    // The publishers' second list is the test part.
    let parts =
        if parts.test.is_empty() { Parts { test: parts.validation, validation: Vec::new(), ..parts } } else { parts };
    let dataset = parts.into_dataset("Kvasir-SEG".into(), root, Layout::KvasirSeg, classes);
    Ok(Dataset { reading: "images in `images`, masks of the same names in `masks`".into(), ..dataset })
}
