//! The mask of a volume as a DICOM segmentation: binary (PS3.3, A.51), or a label map (Supplement
//! 243).

mod attributes;
mod frames;
mod items;

use std::io::{self, Write};

use dicom_core::{PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use image::GrayImage;
use seg_contract::Class;

use attributes::Attributes;
use frames::Frames;
use items::{background, frame_groups, referenced, segment};

use super::stack::{Origin, Stack, VolumeError};
use super::uid::uid;
use crate::formats::dicom::file::DicomFile;
use crate::formats::dicom::series::Slice;

/// The name of the format in messages.
const SEG: &str = "a DICOM segmentation";

/// The reason for which other images have no segmentation.
const NOT_DICOM: &str = "it is not DICOM, so that there is nothing to refer to; save `nifti`, `tiff` or `mask`";

/// The name of the program in the file.
const PROGRAM: &str = "seg-runtime";

/// The kind of a DICOM segmentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentationKind {
    /// A frame of bits for each segment and slice, which every viewer reads.
    Binary,
    /// A frame of labels for each slice, as newer viewers read it.
    LabelMap,
}

impl SegmentationKind {
    /// Returns the SOP class.
    fn class(self) -> &'static str {
        match self {
            Self::Binary => uids::SEGMENTATION_STORAGE,
            Self::LabelMap => uids::LABEL_MAP_SEGMENTATION_STORAGE,
        }
    }
}

/// The texts of a segmentation, and what made it.
#[derive(Clone, Debug)]
pub struct SegmentationLabels<'a> {
    /// The classes of the model; the background is no segment.
    pub classes: &'a [Class],
    /// The hash of the model, by which its results are told from those of another.
    pub model: &'a str,
    /// The name of the algorithm.
    pub algorithm: &'a str,
    /// The version of the program.
    pub version: &'a str,
}

/// A slice with the attributes that a segmentation refers to.
struct Source<'a> {
    slice: &'a Slice,
    class: String,
    instance: String,
}

impl Stack {
    /// Checks that the pictures are those of DICOM images, which a segmentation can refer to.
    ///
    /// # Errors
    /// When they are not.
    pub fn check_dicom_seg(&self) -> Result<(), VolumeError> {
        match self.origin {
            Origin::Dicom(_) => Ok(()),
            _ => Err(self.refuse(SEG, NOT_DICOM)),
        }
    }

    /// Writes the masks of all slices as a DICOM segmentation on the grid of the images, with a
    /// segment for each class but the background. In a binary one, slices without a pixel of a
    /// class have no frame of it.
    ///
    /// # Errors
    /// When the images are not DICOM, have no place that a label map needs, or reading or writing
    /// fails.
    pub fn write_dicom_seg(
        &self,
        labels: &SegmentationLabels<'_>,
        kind: SegmentationKind,
        masks: &mut dyn FnMut(usize) -> io::Result<GrayImage>,
        out: impl Write,
    ) -> Result<(), VolumeError> {
        let Origin::Dicom(slices) = &self.origin else {
            return Err(self.refuse(SEG, NOT_DICOM));
        };
        let mut sources = Vec::new();
        let mut last: Option<(usize, DicomFile)> = None;
        for (place, slice) in slices.iter().enumerate() {
            let is_same = last.as_ref().is_some_and(|(place, _)| slices[*place].file == slice.file);
            if !is_same {
                last = Some((place, DicomFile::open_head(&slice.path(), &slice.file)?));
            }
            let Some((_, file)) = &last else { continue };
            let instance = file.text(tags::SOP_INSTANCE_UID).unwrap_or_default();
            if instance.is_empty() {
                return Err(
                    self.refuse(SEG, "an image has no SOP Instance UID (0008,0018) by which it could be referred to")
                );
            }
            sources.push(Source { slice, class: file.class(), instance });
        }
        let first = DicomFile::open_head(self.first(), &slices[0].file)?;
        if slices.iter().any(|slice| slice.size != slices[0].size) {
            return Err(self.refuse(SEG, "its slices differ in size; give the images of one stack"));
        }
        let is_placed = first.text(tags::FRAME_OF_REFERENCE_UID).is_some()
            && sources.iter().all(|source| source.slice.position.is_some() && source.slice.orientation.is_some());
        let frames = match kind {
            SegmentationKind::Binary => Frames::new(masks, &sources, labels.classes.len())?,
            SegmentationKind::LabelMap if !is_placed => {
                let reason = "its images have no frame of reference, by which a label map finds them; save `dicom-seg`";
                return Err(self.refuse(SEG, reason));
            }
            SegmentationKind::LabelMap => Frames::of_labels(masks, &sources)?,
        };
        let object = self.object(&first, &sources, &frames, labels, kind, is_placed);
        let meta = FileMetaTableBuilder::new()
            .transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN)
            .media_storage_sop_class_uid(kind.class())
            .implementation_class_uid(uid("implementation", &[PROGRAM.as_bytes()]))
            .implementation_version_name("SEG_RUNTIME");
        let file = object.with_meta(meta).map_err(io::Error::other)?;
        let mut bytes = Vec::new();
        file.write_all(&mut bytes).map_err(io::Error::other)?;
        let mut out = out;
        out.write_all(&bytes)?;
        Ok(out.flush()?)
    }

    /// Makes the data set.
    fn object(
        &self,
        first: &DicomFile,
        sources: &[Source<'_>],
        frames: &Frames,
        labels: &SegmentationLabels<'_>,
        kind: SegmentationKind,
        is_placed: bool,
    ) -> InMemDicomObject {
        let mut object = Attributes::new();
        // Patient, study and frame of reference, as in the images; the first ones may be empty.
        for (tag, vr) in [
            (tags::PATIENT_NAME, VR::PN),
            (tags::PATIENT_ID, VR::LO),
            (tags::PATIENT_BIRTH_DATE, VR::DA),
            (tags::PATIENT_SEX, VR::CS),
            (tags::STUDY_INSTANCE_UID, VR::UI),
            (tags::STUDY_DATE, VR::DA),
            (tags::STUDY_TIME, VR::TM),
            (tags::REFERRING_PHYSICIAN_NAME, VR::PN),
            (tags::STUDY_ID, VR::SH),
            (tags::ACCESSION_NUMBER, VR::SH),
        ] {
            object.copy_or_empty(&first.object, tag, vr);
        }
        object.copy(&first.object, tags::SPECIFIC_CHARACTER_SET);
        let hashes: Vec<&[u8]> = sources.iter().map(|source| source.instance.as_bytes()).collect();
        let of_sources = [labels.model.as_bytes(), &hashes.concat()].concat();
        let content: Vec<u8> = frames
            .places
            .iter()
            .flat_map(|(segment, place)| [*segment as u64, *place as u64])
            .flat_map(u64::to_le_bytes)
            .collect();
        object.text(tags::MODALITY, VR::CS, "SEG");
        object.text(tags::SERIES_INSTANCE_UID, VR::UI, &uid("series", &[&of_sources, &frames.bits, &content]));
        object.text(tags::SERIES_NUMBER, VR::IS, "1000");
        object.text(tags::SERIES_DESCRIPTION, VR::LO, "Segmentation");
        object.text(tags::MANUFACTURER, VR::LO, PROGRAM);
        object.text(tags::MANUFACTURER_MODEL_NAME, VR::LO, PROGRAM);
        object.text(tags::DEVICE_SERIAL_NUMBER, VR::LO, "1");
        object.text(tags::SOFTWARE_VERSIONS, VR::LO, labels.version);
        object.text(tags::SOP_CLASS_UID, VR::UI, kind.class());
        object.text(tags::SOP_INSTANCE_UID, VR::UI, &uid("instance", &[&of_sources, &frames.bits, &content]));
        object.text(tags::IMAGE_TYPE, VR::CS, "DERIVED\\PRIMARY");
        object.text(tags::INSTANCE_NUMBER, VR::IS, "1");
        // Those of the images, so that the same run gives the same file.
        let date = [tags::CONTENT_DATE, tags::SERIES_DATE, tags::STUDY_DATE].iter().find_map(|tag| first.text(*tag));
        let time = [tags::CONTENT_TIME, tags::SERIES_TIME, tags::STUDY_TIME].iter().find_map(|tag| first.text(*tag));
        object.text(tags::CONTENT_DATE, VR::DA, date.as_deref().unwrap_or("19700101"));
        object.text(tags::CONTENT_TIME, VR::TM, time.as_deref().unwrap_or("000000"));
        object.text(tags::CONTENT_LABEL, VR::CS, "SEGMENTATION");
        object.text(tags::CONTENT_DESCRIPTION, VR::LO, "");
        object.text(tags::CONTENT_CREATOR_NAME, VR::PN, "");
        let bits = if kind == SegmentationKind::Binary { 1 } else { 8 };
        for (tag, value) in [
            (tags::SAMPLES_PER_PIXEL, 1),
            (tags::PIXEL_REPRESENTATION, 0),
            (tags::BITS_ALLOCATED, bits),
            (tags::BITS_STORED, bits),
            (tags::HIGH_BIT, bits - 1),
        ] {
            object.number(tag, value);
        }
        let [rows, columns] = sources[0].slice.size;
        object.number(tags::ROWS, rows as u16);
        object.number(tags::COLUMNS, columns as u16);
        object.text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2");
        let is_lossy = first.text(tags::LOSSY_IMAGE_COMPRESSION).as_deref() == Some("01");
        object.text(tags::LOSSY_IMAGE_COMPRESSION, VR::CS, if is_lossy { "01" } else { "00" });
        if is_lossy {
            object.copy(&first.object, tags::LOSSY_IMAGE_COMPRESSION_RATIO);
            object.copy(&first.object, tags::LOSSY_IMAGE_COMPRESSION_METHOD);
        }
        let segments = labels.classes.iter().enumerate().skip(1).map(|(number, class)| segment(number, class, labels));
        let background = (kind == SegmentationKind::LabelMap).then(|| background(labels));
        if background.is_some() {
            object.number(tags::PIXEL_PADDING_VALUE, 0);
        }
        let name = if background.is_some() { "LABELMAP" } else { "BINARY" };
        object.text(tags::SEGMENTATION_TYPE, VR::CS, name);
        object.text(tags::SEGMENTS_OVERLAP, VR::CS, "NO");
        object.sequence(tags::SEGMENT_SEQUENCE, background.into_iter().chain(segments).collect());

        let organization = uid("dimensions", &[&of_sources]);
        object.sequence(
            tags::DIMENSION_ORGANIZATION_SEQUENCE,
            vec![Attributes::of(|item| {
                item.text(tags::DIMENSION_ORGANIZATION_UID, VR::UI, &organization);
            })],
        );
        let dimension = |pointer, group| {
            Attributes::of(|item| {
                item.text(tags::DIMENSION_ORGANIZATION_UID, VR::UI, &organization);
                item.put(tags::DIMENSION_INDEX_POINTER, VR::AT, PrimitiveValue::Tags([pointer].as_slice().into()));
                item.put(tags::FUNCTIONAL_GROUP_POINTER, VR::AT, PrimitiveValue::Tags([group].as_slice().into()));
            })
        };
        let mut dimensions = Vec::new();
        if kind == SegmentationKind::Binary {
            dimensions.push(dimension(tags::REFERENCED_SEGMENT_NUMBER, tags::SEGMENT_IDENTIFICATION_SEQUENCE));
        }
        if is_placed {
            dimensions.push(dimension(tags::IMAGE_POSITION_PATIENT, tags::PLANE_POSITION_SEQUENCE));
        }
        object.sequence(tags::DIMENSION_INDEX_SEQUENCE, dimensions);
        let shared = if is_placed {
            object.copy(&first.object, tags::FRAME_OF_REFERENCE_UID);
            object.copy_or_empty(&first.object, tags::POSITION_REFERENCE_INDICATOR, VR::LO);
            self.shared_groups(first, sources)
        } else {
            object.text(tags::PATIENT_ORIENTATION, VR::CS, "");
            InMemDicomObject::new_empty()
        };
        object.sequence(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, vec![shared]);
        object.sequence(tags::REFERENCED_SERIES_SEQUENCE, referenced(sources, first));
        let of_frame = |(segment, place): &(usize, usize)| {
            let segment = (kind == SegmentationKind::Binary).then_some(*segment);
            frame_groups(segment, *place, sources, is_placed)
        };
        let groups = frames.places.iter().map(of_frame);
        object.sequence(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, groups.collect());
        object.text(tags::NUMBER_OF_FRAMES, VR::IS, &frames.places.len().to_string());
        object.put(tags::PIXEL_DATA, VR::OB, PrimitiveValue::U8(frames.bits.clone().into()));
        object.object
    }

    /// Returns the groups that all frames share: orientation and distances.
    fn shared_groups(&self, first: &DicomFile, sources: &[Source<'_>]) -> InMemDicomObject {
        let slice = sources[0].slice;
        let frame = slice.frame.unwrap_or(1) as usize - 1;
        let measures = |tag| first.frame_numbers(frame, tags::PIXEL_MEASURES_SEQUENCE, tag);
        let along: Vec<f64> = sources.iter().filter_map(|source| source.slice.along_normal()).collect();
        let step = match along.as_slice() {
            [low, .., high] if high > low => Some((high - low) / (along.len() - 1) as f64),
            _ => None,
        };
        let thickness = step.or(measures(tags::SLICE_THICKNESS).first().copied()).unwrap_or(1.0);
        Attributes::of(|groups| {
            groups.sequence(
                tags::PLANE_ORIENTATION_SEQUENCE,
                vec![Attributes::of(|item| {
                    item.decimals(
                        tags::IMAGE_ORIENTATION_PATIENT,
                        slice.orientation.as_ref().map_or(&[], |all| all.as_slice()),
                    );
                })],
            );
            groups.sequence(
                tags::PIXEL_MEASURES_SEQUENCE,
                vec![Attributes::of(|item| {
                    item.decimals(tags::SLICE_THICKNESS, &[thickness]);
                    if let Some(step) = step {
                        item.decimals(tags::SPACING_BETWEEN_SLICES, &[step]);
                    }
                    item.decimals(tags::PIXEL_SPACING, &measures(tags::PIXEL_SPACING));
                })],
            );
        })
    }
}
