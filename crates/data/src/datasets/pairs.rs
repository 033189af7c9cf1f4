//! Matches image files with their masks by name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use seg_contract::Reading;

use super::{DatasetError, Sample, entries, name_of};
use crate::formats::{PicturePath, References, has_image_extension};
use crate::masks::MaskCoding;

/// The folder of fields of view, beside `images` and `masks`.
const FIELDS_OF_VIEW: &str = "fields_of_view";

/// The image files of a folder by the names of their samples.
pub(super) struct Files {
    folder: PathBuf,
    by_name: BTreeMap<String, PathBuf>,
}

impl Files {
    /// Lists a folder. A file's sample is named by the file without its extension and `suffix`.
    ///
    /// Files that are not images, hidden files and folders are skipped.
    pub(super) fn list(folder: PathBuf, suffix: &str, problems: &mut Vec<DatasetError>) -> Self {
        let mut by_name = BTreeMap::<String, PathBuf>::new();
        let paths = match entries(&folder) {
            Ok(paths) => paths,
            Err(problem) => {
                problems.push(problem);
                return Self { folder, by_name };
            }
        };
        for path in paths {
            if !has_image_extension(&path) || name_of(&path).starts_with('.') || path.is_dir() {
                continue;
            }
            let stem = PicturePath::new(&path).stem();
            let name = stem.strip_suffix(suffix).unwrap_or(&stem).to_owned();
            if let Some(first) = by_name.get(&name) {
                problems.push(DatasetError::Twice { first: first.clone(), second: path });
            } else {
                by_name.insert(name, path);
            }
        }
        if by_name.is_empty() {
            problems.push(DatasetError::Empty { folder: folder.clone() });
        }
        Self { folder, by_name }
    }

    /// Replaces DICOM segmentations by the masks of the images that they refer to, under the names
    /// of these.
    fn refer_to(&mut self, images: &Self) {
        let mut references = References::default();
        self.by_name.retain(|_, path| !references.add(path));
        if references.is_empty() {
            return;
        }
        for (name, image) in &images.by_name {
            if let Some(mask) = references.mask_of(image) {
                self.by_name.entry(name.clone()).or_insert(mask);
            }
        }
    }

    /// Checks that each name has a file here and in `other`.
    fn compare(&self, other: &Self, problems: &mut Vec<DatasetError>) {
        if self.by_name.is_empty() || other.by_name.is_empty() {
            // A duplicate has been reported already.
            return;
        }
        for (one, other) in [(self, other), (other, self)] {
            let names: Vec<_> = one.by_name.keys().filter(|name| !other.by_name.contains_key(*name)).cloned().collect();
            if !names.is_empty() {
                let (folder, other) = (one.folder.clone(), other.folder.clone());
                problems.push(DatasetError::Unpaired { folder, other, names });
            }
        }
    }
}

/// Returns one sample per name that has all of its files, sorted by name.
pub(super) fn pair(
    images: Files,
    mut masks: Files,
    mut fields_of_view: Option<Files>,
    coding: &MaskCoding,
    problems: &mut Vec<DatasetError>,
) -> Vec<Sample> {
    masks.refer_to(&images);
    images.compare(&masks, problems);
    if let Some(fields) = &fields_of_view {
        images.compare(fields, problems);
    }
    let mut samples = Vec::new();
    for (name, image) in images.by_name {
        let field_of_view = fields_of_view.as_mut().map(|fields| fields.by_name.remove(&name));
        // A missing file has been reported already.
        if let (Some(mask), None | Some(Some(_))) = (masks.by_name.remove(&name), &field_of_view) {
            let (coding, field_of_view) = (coding.clone(), field_of_view.flatten());
            samples.push(Sample { name, image, mask, coding, field_of_view, reading: Reading::default() });
        }
    }
    samples
}

/// Lists the samples of a folder with `images`, `masks` of the same names and, perhaps, fields of
/// view.
pub(super) fn images_and_masks(root: &Path, coding: &MaskCoding, problems: &mut Vec<DatasetError>) -> Vec<Sample> {
    let images = Files::list(root.join("images"), "", problems);
    let masks = Files::list(root.join("masks"), "", problems);
    let fields = root.join(FIELDS_OF_VIEW);
    let fields = fields.is_dir().then(|| Files::list(fields, "", problems));
    pair(images, masks, fields, coding, problems)
}
