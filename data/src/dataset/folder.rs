//! Any folder with `images` and `masks` of the same names; extensions may differ.
//!
//! Where `train.txt` and `val.txt` lie beside them, they split it.

use std::path::Path;

use super::pairs::images_and_masks;
use super::{Dataset, DatasetError, Layout, classes, lists};

pub(super) fn matches(root: &Path) -> bool {
    root.join("images").is_dir() && root.join("masks").is_dir()
}

pub(super) fn open(root: &Path, name: String) -> Result<Dataset, DatasetError> {
    let (train, test) = lists::split(root, images_and_masks(root)?)?;
    Ok(Dataset { name, root: root.into(), layout: Layout::Folder, classes: classes("target"), train, test })
}
