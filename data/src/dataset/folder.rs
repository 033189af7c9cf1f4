//! Any folder with `images` and `masks` of the same names; extensions may differ.
//!
//! Where `fields_of_view` lies beside them, with a file for each image, pixels that are black there do not count. Where
//! `train.txt` and `val.txt` do, they split the images. A folder may also hold two such folders, `train` and `test`.
//! `classes.json` names the classes: see [`classes`](super::classes).

use std::path::Path;

use super::pairs::images_and_masks;
use super::{Dataset, DatasetError, Layout, classes, lists};

pub(super) fn matches(root: &Path) -> bool {
    is_part(root) || is_part(&root.join("train"))
}

fn is_part(folder: &Path) -> bool {
    folder.join("images").is_dir() && folder.join("masks").is_dir()
}

pub(super) fn survey(root: &Path, name: String, problems: &mut Vec<DatasetError>) -> Result<Dataset, DatasetError> {
    let (classes, coding) = classes::read(root, "target")?;
    let (train, test) = if is_part(root) {
        lists::split_in_two(root, images_and_masks(root, &coding, problems), problems)
    } else {
        let train = images_and_masks(&root.join("train"), &coding, problems);
        let test = root.join("test");
        (train, if is_part(&test) { images_and_masks(&test, &coding, problems) } else { Vec::new() })
    };
    Ok(Dataset { name, root: root.into(), layout: Layout::Folder, classes, train, validation: Vec::new(), test })
}
