//! Matches image files with their masks by name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{DatasetError, Sample, entries, first_names, name_of};
use crate::decode::has_image_extension;
use crate::mask::MaskCoding;

/// The image files of a folder by the name of their sample.
pub(super) struct Files {
    folder: PathBuf,
    by_name: BTreeMap<String, PathBuf>,
}

impl Files {
    /// Lists a folder. A file's sample is named by the file without its extension and `suffix`.
    ///
    /// Other files than images, hidden ones and folders are passed over.
    pub(super) fn list(folder: PathBuf, suffix: &str) -> Result<Self, DatasetError> {
        let mut by_name = BTreeMap::new();
        for path in entries(&folder)? {
            if !has_image_extension(&path) || name_of(&path).starts_with('.') || path.is_dir() {
                continue;
            }
            let stem = path.with_extension("");
            let stem = name_of(&stem);
            let name = stem.strip_suffix(suffix).unwrap_or(&stem).to_owned();
            if let Some(first) = by_name.insert(name, path.clone()) {
                return Err(DatasetError::Twice { first, second: path });
            }
        }
        if by_name.is_empty() { Err(DatasetError::Empty { folder }) } else { Ok(Self { folder, by_name }) }
    }

    /// Whether each name has a file here and in `other`.
    fn check_same_names(&self, other: &Self) -> Result<(), DatasetError> {
        for (one, other) in [(self, other), (other, self)] {
            let lone: Vec<_> = one.by_name.keys().filter(|name| !other.by_name.contains_key(*name)).cloned().collect();
            if !lone.is_empty() {
                return Err(DatasetError::Unpaired {
                    folder: one.folder.clone(),
                    other: other.folder.clone(),
                    count: lone.len(),
                    names: first_names(lone.into_iter()),
                });
            }
        }
        Ok(())
    }
}

/// One sample per name, sorted by name.
pub(super) fn pair(
    images: Files,
    masks: Files,
    fields_of_view: Option<Files>,
    coding: MaskCoding,
) -> Result<Vec<Sample>, DatasetError> {
    images.check_same_names(&masks)?;
    if let Some(fields) = &fields_of_view {
        images.check_same_names(fields)?;
    }
    let samples = images.by_name.into_iter().zip(masks.by_name.into_values());
    let mut fields = fields_of_view.into_iter().flat_map(|files| files.by_name.into_values());
    // All three are sorted by the same names, so that they go in step.
    Ok(samples
        .map(|((name, image), mask)| Sample { name, image, mask, coding, field_of_view: fields.next() })
        .collect())
}

/// The samples of a folder with `images` and `masks` of the same names.
pub(super) fn images_and_masks(root: &Path) -> Result<Vec<Sample>, DatasetError> {
    pair(Files::list(root.join("images"), "")?, Files::list(root.join("masks"), "")?, None, MaskCoding::Binary)
}
