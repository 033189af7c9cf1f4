//! The images that DICOM segmentations refer to.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dicom_dictionary_std::tags;

use super::dicom::file::{DicomFile, is_dicom};
use super::dicom::segmentation::{Segmentation, is_segmentation};
use super::file::open_file;
use super::picture_path::PicturePath;

/// Segmentations, and the images that they refer to.
#[derive(Default)]
pub(crate) struct References {
    segmentations: Vec<(PathBuf, Segmentation)>,
}

impl References {
    /// Adds a file; returns false if it is not a segmentation.
    pub(crate) fn add(&mut self, path: &Path) -> bool {
        let PicturePath { file, number: None, .. } = PicturePath::new(path) else { return false };
        if !open_file(&file).is_ok_and(|(_, head)| is_dicom(&head)) {
            return false;
        }
        match DicomFile::open_head(&file, &file) {
            Ok(found) if is_segmentation(&found) => {
                self.segmentations.push((file, Segmentation::new(Arc::new(found))));
                true
            }
            _ => false,
        }
    }

    /// Returns whether no segmentation was added.
    pub(crate) fn is_empty(&self) -> bool {
        self.segmentations.is_empty()
    }

    /// Returns the path of the mask of an image, or of a frame of it; `None` if no segmentation
    /// refers to it.
    pub(crate) fn mask_of(&self, image: &Path) -> Option<PathBuf> {
        let image = PicturePath::new(image);
        let file = DicomFile::open_head(&image.file, &image.file).ok()?;
        let instance = file.text(tags::SOP_INSTANCE_UID)?;
        self.segmentations.iter().find_map(|(path, segmentation)| {
            let number = segmentation.number_of(&instance, image.number)?;
            // A file of several frames is shown by as many pictures of the segmentation.
            let is_whole = image.number.is_none() && file.frames() > 1;
            Some(if is_whole { path.clone() } else { PicturePath::of(path, number).path })
        })
    }
}
