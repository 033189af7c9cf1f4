//! The items of a segmentation's sequences: its segments, the images that it refers to, and the
//! groups of a frame.

use dicom_core::{PrimitiveValue, VR};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use seg_contract::{Class, Code, Codes};

use super::attributes::{Attributes, code};
use super::{SegmentationLabels, Source};
use crate::formats::dicom::file::DicomFile;
use crate::volumes::cielab::scaled_lab;

/// Returns the segment 0 of a label map, which holds what no class does.
pub(super) fn background(labels: &SegmentationLabels<'_>) -> InMemDicomObject {
    let code = || Code { value: "125040".into(), scheme: "DCM".into(), meaning: "Background".into() };
    let codes = Codes { category: code(), r#type: code() };
    segment(0, &Class { codes: Some(codes), ..labels.classes[0].clone() }, labels)
}

/// Returns a segment.
pub(super) fn segment(number: usize, class: &Class, labels: &SegmentationLabels<'_>) -> InMemDicomObject {
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

/// Returns the series of the images with all their instances.
pub(super) fn referenced(sources: &[Source<'_>], first: &DicomFile) -> Vec<InMemDicomObject> {
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
pub(super) fn frame_groups(
    segment: Option<usize>,
    place: usize,
    sources: &[Source<'_>],
    is_placed: bool,
) -> InMemDicomObject {
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
