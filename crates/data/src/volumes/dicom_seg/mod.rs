//! The mask of a volume as a DICOM segmentation: binary (PS3.3, A.51), or a label map (Supplement
//! 243).

use std::io::{self, Write};

use dicom_core::value::{DataSetSequence, Value};
use dicom_core::{DataElement, Length, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::mem::InMemElement;
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use image::GrayImage;
use seg_contract::{Class, Code, Codes};

use super::cielab::scaled_lab;
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
            return Err(self
                .refuse(SEG, "it is not DICOM, so that there is nothing to refer to; save `nifti`, `tiff` or `mask`"));
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

/// Returns the segment 0 of a label map, which holds what no class does.
fn background(labels: &SegmentationLabels<'_>) -> InMemDicomObject {
    let code = || Code { value: "125040".into(), scheme: "DCM".into(), meaning: "Background".into() };
    let codes = Codes { category: code(), r#type: code() };
    segment(0, &Class { codes: Some(codes), ..labels.classes[0].clone() }, labels)
}

/// Returns a segment.
fn segment(number: usize, class: &Class, labels: &SegmentationLabels<'_>) -> InMemDicomObject {
    let term = |value: &str, meaning: &str| Code { value: value.into(), scheme: "SCT".into(), meaning: meaning.into() };
    let neutral = || Codes { category: term("85756007", "Tissue"), r#type: term("85756007", "Tissue") };
    let codes = class.codes.clone().unwrap_or_else(neutral);
    Attributes::of(|item| {
        item.number(tags::SEGMENT_NUMBER, number as u16);
        item.text(tags::SEGMENT_LABEL, VR::LO, &short(&class.name, 64));
        item.text(tags::SEGMENT_ALGORITHM_TYPE, VR::CS, "AUTOMATIC");
        item.text(tags::SEGMENT_ALGORITHM_NAME, VR::LO, &short(labels.algorithm, 64));
        item.sequence(tags::SEGMENTED_PROPERTY_CATEGORY_CODE_SEQUENCE, vec![code(&codes.category)]);
        item.sequence(tags::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE, vec![code(&codes.r#type)]);
        let lab = scaled_lab(class.color);
        item.put(tags::RECOMMENDED_DISPLAY_CIE_LAB_VALUE, VR::US, PrimitiveValue::U16(lab.as_slice().into()));
    })
}

/// Returns a text of at most some characters, without a backslash, which would divide it.
fn short(text: &str, longest: usize) -> String {
    text.replace('\\', "/").chars().take(longest).collect()
}

fn code(code: &Code) -> InMemDicomObject {
    Attributes::of(|item| {
        item.text(tags::CODE_VALUE, VR::SH, &code.value);
        item.text(tags::CODING_SCHEME_DESIGNATOR, VR::SH, &code.scheme);
        item.text(tags::CODE_MEANING, VR::LO, &code.meaning);
    })
}

/// Returns the series of the images with all their instances.
fn referenced(sources: &[Source<'_>], first: &DicomFile) -> Vec<InMemDicomObject> {
    let mut instances: Vec<InMemDicomObject> = Vec::new();
    let mut last = "";
    for source in sources {
        if source.instance != last {
            instances.push(Attributes::of(|item| {
                item.text(tags::REFERENCED_SOP_CLASS_UID, VR::UI, &source.class);
                item.text(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, &source.instance);
            }));
        }
        last = &source.instance;
    }
    vec![Attributes::of(|item| {
        item.sequence(tags::REFERENCED_INSTANCE_SEQUENCE, instances);
        item.copy_or_empty(&first.object, tags::SERIES_INSTANCE_UID, VR::UI);
    })]
}

/// Returns the groups of a frame: its segment, its position and its image.
fn frame_groups(segment: Option<usize>, place: usize, sources: &[Source<'_>], is_placed: bool) -> InMemDicomObject {
    let source = &sources[place];
    let term =
        |value: &str, meaning: &str| code(&Code { value: value.into(), scheme: "DCM".into(), meaning: meaning.into() });
    Attributes::of(|groups| {
        groups.sequence(
            tags::DERIVATION_IMAGE_SEQUENCE,
            vec![Attributes::of(|item| {
                item.sequence(
                    tags::SOURCE_IMAGE_SEQUENCE,
                    vec![Attributes::of(|image| {
                        image.text(tags::REFERENCED_SOP_CLASS_UID, VR::UI, &source.class);
                        image.text(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, &source.instance);
                        if let Some(frame) = source.slice.frame {
                            image.text(tags::REFERENCED_FRAME_NUMBER, VR::IS, &frame.to_string());
                        }
                        image.text(tags::SPATIAL_LOCATIONS_PRESERVED, VR::CS, "YES");
                        let purpose = term("121322", "Source image for image processing operation");
                        image.sequence(tags::PURPOSE_OF_REFERENCE_CODE_SEQUENCE, vec![purpose]);
                    })],
                );
                item.sequence(tags::DERIVATION_CODE_SEQUENCE, vec![term("113076", "Segmentation")]);
            })],
        );
        groups.sequence(
            tags::FRAME_CONTENT_SEQUENCE,
            vec![Attributes::of(|item| {
                let place = is_placed.then_some(place as u32 + 1);
                let values: Vec<u32> = segment.map(|segment| segment as u32).into_iter().chain(place).collect();
                item.put(tags::DIMENSION_INDEX_VALUES, VR::UL, PrimitiveValue::U32(values.into()));
            })],
        );
        if let Some(position) = source.slice.position.filter(|_| is_placed) {
            groups.sequence(
                tags::PLANE_POSITION_SEQUENCE,
                vec![Attributes::of(|item| {
                    item.decimals(tags::IMAGE_POSITION_PATIENT, &position);
                })],
            );
        }
        if let Some(segment) = segment {
            groups.sequence(
                tags::SEGMENT_IDENTIFICATION_SEQUENCE,
                vec![Attributes::of(|item| {
                    item.number(tags::REFERENCED_SEGMENT_NUMBER, segment as u16);
                })],
            );
        }
    })
}

/// The frames: their segments and slices, and their pixels.
struct Frames {
    /// The number of the segment and the place of the slice, by segment and then by slice.
    places: Vec<(usize, usize)>,
    /// The pixels of all frames, without filling between frames: bits, the lowest first, or bytes
    /// of labels.
    bits: Vec<u8>,
}

impl Frames {
    /// Joins the labels of each slice.
    fn of_labels(masks: &mut dyn FnMut(usize) -> io::Result<GrayImage>, sources: &[Source<'_>]) -> io::Result<Self> {
        let mut all = Self { places: Vec::new(), bits: Vec::new() };
        for place in 0..sources.len() {
            let mask = masks(place)?;
            check_size(&mask, sources[0].slice.size)?;
            all.bits.extend_from_slice(&mask);
            all.places.push((0, place));
        }
        all.bits.resize(all.bits.len().next_multiple_of(2), 0);
        Ok(all)
    }

    /// Packs the pixels of each segment and slice; an empty mask has one empty frame.
    fn new(
        masks: &mut dyn FnMut(usize) -> io::Result<GrayImage>,
        sources: &[Source<'_>],
        classes: usize,
    ) -> io::Result<Self> {
        let [rows, columns] = sources[0].slice.size;
        let pixels = rows as usize * columns as usize;
        // The frames of each segment, each packed by itself.
        let mut frames: Vec<Vec<(usize, Vec<u8>)>> = vec![Vec::new(); classes];
        for place in 0..sources.len() {
            let mask = masks(place)?;
            check_size(&mask, [rows, columns])?;
            let mut is_there = [false; 256];
            mask.iter().for_each(|label| is_there[usize::from(*label)] = true);
            for (segment, frames) in frames.iter_mut().enumerate().skip(1).filter(|(segment, _)| is_there[*segment]) {
                let mut bits = vec![0_u8; pixels.div_ceil(8)];
                for (pixel, _) in mask.iter().enumerate().filter(|(_, label)| usize::from(**label) == segment) {
                    bits[pixel / 8] |= 1 << (pixel % 8);
                }
                frames.push((place, bits));
            }
        }
        let mut all = Self { places: Vec::new(), bits: Vec::new() };
        let mut length = 0;
        for (segment, frames) in frames.into_iter().enumerate() {
            for (place, bits) in frames {
                all.append(&bits, pixels, &mut length);
                all.places.push((segment, place));
            }
        }
        if all.places.is_empty() {
            all.places.push((1, 0));
            all.append(&vec![0; pixels.div_ceil(8)], pixels, &mut length);
        }
        all.bits.resize(all.bits.len().next_multiple_of(2), 0);
        Ok(all)
    }

    /// Appends a frame of some pixels behind the bits that there are.
    fn append(&mut self, frame: &[u8], pixels: usize, length: &mut usize) {
        self.bits.resize((*length + pixels).div_ceil(8), 0);
        let (start, shift) = (*length / 8, *length % 8);
        for (place, byte) in frame.iter().enumerate() {
            self.bits[start + place] |= byte << shift;
            if shift > 0
                && let Some(next) = self.bits.get_mut(start + place + 1)
            {
                *next |= byte >> (8 - shift);
            }
        }
        *length += pixels;
    }
}

/// Checks that a mask has the size of its slice.
fn check_size(mask: &GrayImage, [rows, columns]: [u32; 2]) -> io::Result<()> {
    let (width, height) = mask.dimensions();
    if (width, height) == (columns, rows) {
        return Ok(());
    }
    Err(io::Error::other(format!("a mask is {width}x{height}, expected {columns}x{rows}")))
}

/// A data set that is being made.
struct Attributes {
    object: InMemDicomObject,
}

impl Attributes {
    fn new() -> Self {
        Self { object: InMemDicomObject::new_empty() }
    }

    /// Makes an item.
    fn of(fill: impl FnOnce(&mut Self)) -> InMemDicomObject {
        let mut attributes = Self::new();
        fill(&mut attributes);
        attributes.object
    }

    fn put(&mut self, tag: Tag, vr: VR, value: PrimitiveValue) {
        self.object.put(DataElement::new(tag, vr, value));
    }

    fn text(&mut self, tag: Tag, vr: VR, text: &str) {
        let value = if text.is_empty() { PrimitiveValue::Empty } else { PrimitiveValue::from(text) };
        self.put(tag, vr, value);
    }

    fn number(&mut self, tag: Tag, number: u16) {
        self.put(tag, VR::US, PrimitiveValue::from(number));
    }

    fn decimals(&mut self, tag: Tag, numbers: &[f64]) {
        let numbers: Vec<String> = numbers.iter().map(|number| decimal(*number)).collect();
        self.text(tag, VR::DS, &numbers.join("\\"));
    }

    fn sequence(&mut self, tag: Tag, items: Vec<InMemDicomObject>) {
        let value: Value<InMemDicomObject> = Value::Sequence(DataSetSequence::new(items, Length::UNDEFINED));
        self.object.put(DataElement::new(tag, VR::SQ, value));
    }

    /// Copies an element if it is there.
    fn copy(&mut self, from: &InMemDicomObject, tag: Tag) {
        if let Some(element) = from.get(tag) {
            self.object.put(InMemElement::clone(element));
        }
    }

    /// Copies an element, or puts an empty one.
    fn copy_or_empty(&mut self, from: &InMemDicomObject, tag: Tag, vr: VR) {
        match from.get(tag) {
            Some(element) => drop(self.object.put(InMemElement::clone(element))),
            None => self.put(tag, vr, PrimitiveValue::Empty),
        }
    }
}

/// Writes a number in at most 16 characters.
fn decimal(number: f64) -> String {
    let exact = number.to_string();
    if exact.len() <= 16 {
        return exact;
    }
    let shorter = (0..=14).rev().map(|digits| format!("{number:.digits$}")).find(|text| text.len() <= 16);
    shorter.unwrap_or_else(|| format!("{number:.8e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_follow_each_other_without_filling() {
        let mut frames = Frames { places: Vec::new(), bits: Vec::new() };
        let mut length = 0;
        // Frames of 11 pixels.
        for _ in 0..3 {
            frames.append(&[0b1000_0001, 0b101], 11, &mut length);
        }
        let bit = |place: usize| frames.bits[place / 8] >> (place % 8) & 1;
        let found: Vec<_> = (0..33).map(bit).collect();
        let frame = [1, 0, 0, 0, 0, 0, 0, 1, 1, 0, 1];
        assert_eq!(found, [frame, frame, frame].concat());
    }

    #[test]
    fn decimals_take_16_characters_at_most() {
        for number in [0.0, -0.123_456_789_012_345_67, 1e-9, 123_456_789.123_456_79, -27.5, 1e20, 2.5] {
            let text = decimal(number);
            assert!(text.len() <= 16, "{text}");
            let found: f64 = text.parse().unwrap();
            assert!((found - number).abs() <= 1e-7 * number.abs().max(1e-2), "{number}: {text}");
        }
    }
}
