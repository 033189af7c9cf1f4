//! DICOM segmentations as masks: the labels of the images that they refer to.

use std::path::Path;
use std::sync::Arc;

use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use image::{DynamicImage, GrayImage};

use super::DICOM;
use super::file::{DicomFile, items, numbers, text};
use super::pixels::{PixelLayout, Stored, samples, unread};
use crate::formats::error::ReadError;

/// The SOP class of label maps, in supplement 243.
const LABEL_MAP: &str = "1.2.840.10008.5.1.4.1.1.66.7";

/// A segmentation. Its pictures are the images that it refers to: its number is that of the image
/// in the list of referenced instances or, if there is one of several frames, of the frame.
pub(crate) struct Segmentation {
    file: Arc<DicomFile>,
    /// The uids of the images.
    instances: Vec<String>,
    /// The image that each frame refers to: its place in the list, and its frame.
    sources: Vec<Option<(usize, Option<u32>)>>,
}

/// Returns whether a file is a segmentation.
pub(crate) fn is_segmentation(file: &DicomFile) -> bool {
    matches!(file.class().as_str(), uids::SEGMENTATION_STORAGE | LABEL_MAP)
}

impl Segmentation {
    pub(crate) fn new(file: Arc<DicomFile>) -> Self {
        let uid = |item: &InMemDicomObject| item.get(tags::REFERENCED_SOP_INSTANCE_UID).and_then(text);
        let series = items(&file.object, tags::REFERENCED_SERIES_SEQUENCE);
        let mut instances: Vec<String> = series
            .iter()
            .flat_map(|series| items(series, tags::REFERENCED_INSTANCE_SEQUENCE))
            .filter_map(uid)
            .collect();
        let frames = items(&file.object, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE);
        let shared = items(&file.object, tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE).first();
        let mut sources = Vec::with_capacity(frames.len());
        for frame in frames {
            let derivation = items(frame, tags::DERIVATION_IMAGE_SEQUENCE).first();
            let shared = || items(shared?, tags::DERIVATION_IMAGE_SEQUENCE).first();
            let image = derivation.or_else(shared).and_then(|item| items(item, tags::SOURCE_IMAGE_SEQUENCE).first());
            let source = image.and_then(|image| {
                let instance = uid(image)?;
                let place = instances.iter().position(|known| *known == instance).unwrap_or_else(|| {
                    instances.push(instance);
                    instances.len() - 1
                });
                let number = image.get(tags::REFERENCED_FRAME_NUMBER).map(numbers).unwrap_or_default();
                Some((place, number.first().map(|number| *number as u32)))
            });
            sources.push(source);
        }
        Self { file, instances, sources }
    }

    /// Returns the numbers of the pictures.
    pub(crate) fn pictures(&self) -> Vec<u32> {
        let last_frame = self.sources.iter().flatten().filter_map(|source| source.1).max();
        let count = match (self.instances.len(), last_frame) {
            (1, Some(last)) => last,
            (count, _) => count.max(1) as u32,
        };
        (1..=count).collect()
    }

    /// Returns the number of the picture that shows an image, or a frame of it; `None` if the
    /// segmentation does not refer to it.
    pub(crate) fn number_of(&self, instance: &str, frame: Option<u32>) -> Option<u32> {
        let place = self.instances.iter().position(|known| known == instance)?;
        Some(match frame {
            Some(frame) if self.instances.len() == 1 => frame,
            _ => place as u32 + 1,
        })
    }

    /// Returns the numbers of the segments at each pixel of an image.
    ///
    /// # Errors
    /// When the segmentation is of fractions, segments overlap, or it is damaged.
    pub(crate) fn labels(&self, path: &Path, number: u32) -> Result<DynamicImage, ReadError> {
        let layout = PixelLayout::new(path, &self.file)?;
        let kind = self.file.text(tags::SEGMENTATION_TYPE).unwrap_or_default();
        if !matches!(kind.as_str(), "BINARY" | "LABELMAP") {
            let kind = format!("the segmentation type (0062,0001) `{kind}`, expected BINARY or LABELMAP");
            return Err(unread(path, kind));
        }
        if self.sources.iter().any(Option::is_none) || self.sources.is_empty() {
            let kind =
                "frames that name no source image (0008,2112), so that it is unknown which images they belong to";
            return Err(unread(path, kind.into()));
        }
        let is_frame = self.instances.len() == 1;
        let mut labels = GrayImage::new(layout.width, layout.height);
        for (index, source) in self.sources.iter().enumerate() {
            let Some((place, frame)) = *source else { continue };
            let found = match frame {
                Some(frame) if is_frame => frame,
                _ => place as u32 + 1,
            };
            if found != number {
                continue;
            }
            let Stored::Integers(values) = samples(path, &self.file, &layout, index)? else { continue };
            let segment =
                self.file.frame_numbers(index, tags::SEGMENT_IDENTIFICATION_SEQUENCE, tags::REFERENCED_SEGMENT_NUMBER);
            let segment = segment.first().map(|segment| *segment as i64);
            for (label, value) in labels.iter_mut().zip(values) {
                let found = match segment {
                    Some(segment) if kind == "BINARY" => segment * value,
                    _ => value,
                };
                let found = u8::try_from(found).map_err(|_| ReadError::Damaged {
                    path: path.into(),
                    format: DICOM,
                    found: format!("it has the segment {found}, expected at most 255"),
                })?;
                if found != 0 && *label != 0 && *label != found {
                    let kind = format!("segments {label} and {found} that overlap, where a pixel has one class");
                    return Err(unread(path, kind));
                }
                *label = found.max(*label);
            }
        }
        Ok(labels.into())
    }
}
