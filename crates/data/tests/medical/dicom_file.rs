//! DICOM files of a few pixels.

use std::path::Path;

use dicom_core::value::{DataSetSequence, PixelFragmentSequence, Value};
use dicom_core::{DataElement, Length, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};

/// A file that is being made.
pub(crate) struct File {
    pub(crate) object: InMemDicomObject,
    syntax: &'static str,
}

impl File {
    /// Makes a grey image of 16 bits without a sign.
    pub(crate) fn grey(width: u16, values: &[u16]) -> Self {
        let mut file = Self { object: InMemDicomObject::new_empty(), syntax: uids::EXPLICIT_VR_LITTLE_ENDIAN };
        file.text(tags::SOP_CLASS_UID, VR::UI, uids::CT_IMAGE_STORAGE);
        file.text(tags::SOP_INSTANCE_UID, VR::UI, "1.2.3.4");
        file.text(tags::STUDY_INSTANCE_UID, VR::UI, "1.2.3.1");
        file.text(tags::SERIES_INSTANCE_UID, VR::UI, "1.2.3.2");
        file.text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2");
        for (tag, value) in [
            (tags::SAMPLES_PER_PIXEL, 1),
            (tags::ROWS, (values.len() / usize::from(width)) as u16),
            (tags::COLUMNS, width),
            (tags::BITS_ALLOCATED, 16),
            (tags::BITS_STORED, 16),
            (tags::HIGH_BIT, 15),
            (tags::PIXEL_REPRESENTATION, 0),
        ] {
            file.number(tag, value);
        }
        file.object.put(DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(values.into())));
        file
    }

    /// Makes an image of bytes in a kind of colours.
    pub(crate) fn bytes(size: [u16; 2], photometric: &str, samples: u16, bytes: &[u8]) -> Self {
        let mut file = Self::grey(1, &[0]);
        file.text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, photometric);
        for (tag, value) in [
            (tags::SAMPLES_PER_PIXEL, samples),
            (tags::ROWS, size[0]),
            (tags::COLUMNS, size[1]),
            (tags::BITS_ALLOCATED, 8),
            (tags::BITS_STORED, 8),
            (tags::HIGH_BIT, 7),
        ] {
            file.number(tag, value);
        }
        file.object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, PrimitiveValue::U8(bytes.into())));
        file
    }

    /// Puts compressed frames in the place of the pixels.
    pub(crate) fn compressed(mut self, syntax: &'static str, fragments: Vec<Vec<u8>>) -> Self {
        let value: Value<InMemDicomObject> = Value::PixelSequence(PixelFragmentSequence::new(vec![], fragments));
        self.object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, value));
        Self { syntax, ..self }
    }

    /// Stores the file in another transfer syntax.
    pub(crate) fn in_syntax(self, syntax: &'static str) -> Self {
        Self { syntax, ..self }
    }

    pub(crate) fn text(&mut self, tag: Tag, vr: VR, text: &str) {
        self.object.put(DataElement::new(tag, vr, PrimitiveValue::from(text)));
    }

    pub(crate) fn number(&mut self, tag: Tag, number: u16) {
        self.object.put(DataElement::new(tag, VR::US, PrimitiveValue::from(number)));
    }

    pub(crate) fn words(&mut self, tag: Tag, vr: VR, words: &[u16]) {
        self.object.put(DataElement::new(tag, vr, PrimitiveValue::U16(words.into())));
    }

    pub(crate) fn sequence(&mut self, tag: Tag, items: Vec<InMemDicomObject>) {
        let value: Value<InMemDicomObject> = Value::Sequence(DataSetSequence::new(items, Length::UNDEFINED));
        self.object.put(DataElement::new(tag, VR::SQ, value));
    }

    /// Places an axial slice in the patient.
    pub(crate) fn at(mut self, instance: &str, number: u32, height: f64) -> Self {
        self.text(tags::SOP_INSTANCE_UID, VR::UI, instance);
        self.text(tags::FRAME_OF_REFERENCE_UID, VR::UI, "1.2.3.3");
        self.text(tags::INSTANCE_NUMBER, VR::IS, &number.to_string());
        self.text(tags::IMAGE_ORIENTATION_PATIENT, VR::DS, "1\\0\\0\\0\\1\\0");
        self.text(tags::IMAGE_POSITION_PATIENT, VR::DS, &format!("-10\\20\\{height}"));
        self.text(tags::PIXEL_SPACING, VR::DS, "0.5\\0.25");
        self.text(tags::SLICE_THICKNESS, VR::DS, "5");
        self
    }

    /// Returns the content of the file.
    pub(crate) fn content(self) -> Vec<u8> {
        let meta = FileMetaTableBuilder::new().transfer_syntax(self.syntax);
        let mut bytes = Vec::new();
        self.object.with_meta(meta).unwrap().write_all(&mut bytes).unwrap();
        bytes
    }

    pub(crate) fn save(self, path: &Path) {
        std::fs::write(path, self.content()).unwrap();
    }
}
