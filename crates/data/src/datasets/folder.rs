//! Any folder with `images` and `masks` of the same names; extensions may differ.
//!
//! A folder `fields_of_view`, with a file for each image, says which pixels are ignored: the black
//! ones. The lists `train.txt` and `val.txt` split the images. A folder may also hold such folders:
//! `train`, `val` and `test`. `val` is the test part, unless `test` exists as well: then it chooses
//! the best epoch. `classes.json` names the classes: see [`classes`](super::classes).

use std::collections::BTreeSet;
use std::path::Path;

use super::pairs::images_and_masks;
use super::{Dataset, DatasetError, Layout, Parts, Sample, classes, lists};
use crate::masks::MaskCoding;

/// The possible names of the folder of validation images.
const VALIDATION: [&str; 3] = ["val", "valid", "validation"];

pub(super) fn matches(root: &Path) -> bool {
    is_part(root) || is_part(&root.join("train"))
}

fn is_part(folder: &Path) -> bool {
    folder.join("images").is_dir() && folder.join("masks").is_dir()
}

/// Lists the samples of a part; none if its folder is not one.
fn part(folder: &Path, coding: &MaskCoding, problems: &mut Vec<DatasetError>) -> Vec<Sample> {
    if is_part(folder) { images_and_masks(folder, coding, problems) } else { Vec::new() }
}

pub(super) fn survey(root: &Path, name: String, problems: &mut Vec<DatasetError>) -> Result<Dataset, DatasetError> {
    let (classes, coding) = classes::read(root, "target")?;
    let parts = if is_part(root) {
        lists::split_folder(root, images_and_masks(root, &coding, problems), problems)
    } else {
        let [train, test] = ["train", "test"].map(|name| part(&root.join(name), &coding, problems));
        let chosen = VALIDATION.into_iter().find(|name| is_part(&root.join(name)));
        let validation = chosen.map_or_else(Vec::new, |name| part(&root.join(name), &coding, problems));
        let names = |samples: &[Sample]| samples.iter().map(|sample| sample.name.clone()).collect::<BTreeSet<_>>();
        let repeated: Vec<_> = names(&train).intersection(&names(&validation)).cloned().collect();
        if let Some(chosen) = chosen.filter(|_| !repeated.is_empty() && !test.is_empty()) {
            problems.push(DatasetError::Repeated {
                first: root.join("train"),
                second: root.join(chosen),
                names: repeated,
            });
        }
        Parts { train, validation, test }
    };
    Ok(parts.into_dataset(name, root, Layout::Folder, classes))
}
