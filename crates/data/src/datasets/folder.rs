//! Any folder with `images` and `masks` of the same names; extensions may differ.
//!
//! Where `fields_of_view` lies beside them, with a file for each image, pixels that are black there do not count. Where
//! `train.txt` and `val.txt` do, they split the images. A folder may also hold such folders: `train`, `val` and `test`.
//! What `val` names is held out, unless `test` is there as well: then it chooses the best epoch. `classes.json` names the
//! classes: see [`classes`](super::classes).

use std::collections::BTreeSet;
use std::path::Path;

use super::pairs::images_and_masks;
use super::{Dataset, DatasetError, Layout, Parts, Sample, classes, lists};

/// The names that a folder of images to choose by goes by.
const VALIDATION: [&str; 3] = ["val", "valid", "validation"];

pub(super) fn matches(root: &Path) -> bool {
    is_part(root) || is_part(&root.join("train"))
}

fn is_part(folder: &Path) -> bool {
    folder.join("images").is_dir() && folder.join("masks").is_dir()
}

pub(super) fn survey(root: &Path, name: String, problems: &mut Vec<DatasetError>) -> Result<Dataset, DatasetError> {
    let (classes, coding) = classes::read(root, "target")?;
    let parts = if is_part(root) {
        lists::split_folder(root, images_and_masks(root, &coding, problems), problems)
    } else {
        let mut part = |name: &str| {
            let folder = root.join(name);
            if is_part(&folder) { images_and_masks(&folder, &coding, problems) } else { Vec::new() }
        };
        let (train, test) = (part("train"), part("test"));
        let chosen = VALIDATION.into_iter().find(|name| is_part(&root.join(name)));
        let validation = chosen.map_or_else(Vec::new, &mut part);
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
