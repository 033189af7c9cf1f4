//! The elements of a data set that is being made.

use dicom_core::value::{DataSetSequence, Value};
use dicom_core::{DataElement, Length, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use dicom_object::mem::InMemElement;
use seg_contract::Code;

/// A data set that is being made.
pub(super) struct Attributes {
    pub(super) object: InMemDicomObject,
}

impl Attributes {
    pub(super) fn new() -> Self {
        Self { object: InMemDicomObject::new_empty() }
    }

    /// Makes an item.
    pub(super) fn of(fill: impl FnOnce(&mut Self)) -> InMemDicomObject {
        let mut attributes = Self::new();
        fill(&mut attributes);
        attributes.object
    }

    pub(super) fn put(&mut self, tag: Tag, vr: VR, value: PrimitiveValue) {
        self.object.put(DataElement::new(tag, vr, value));
    }

    pub(super) fn text(&mut self, tag: Tag, vr: VR, text: &str) {
        let value = if text.is_empty() { PrimitiveValue::Empty } else { PrimitiveValue::from(text) };
        self.put(tag, vr, value);
    }

    pub(super) fn number(&mut self, tag: Tag, number: u16) {
        self.put(tag, VR::US, PrimitiveValue::from(number));
    }

    pub(super) fn decimals(&mut self, tag: Tag, numbers: &[f64]) {
        let numbers: Vec<String> = numbers.iter().map(|number| decimal(*number)).collect();
        self.text(tag, VR::DS, &numbers.join("\\"));
    }

    pub(super) fn sequence(&mut self, tag: Tag, items: Vec<InMemDicomObject>) {
        let value: Value<InMemDicomObject> = Value::Sequence(DataSetSequence::new(items, Length::UNDEFINED));
        self.object.put(DataElement::new(tag, VR::SQ, value));
    }

    /// Copies an element if it is there.
    pub(super) fn copy(&mut self, from: &InMemDicomObject, tag: Tag) {
        if let Some(element) = from.get(tag) {
            self.object.put(InMemElement::clone(element));
        }
    }

    /// Copies an element, or puts an empty one.
    pub(super) fn copy_or_empty(&mut self, from: &InMemDicomObject, tag: Tag, vr: VR) {
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

/// Makes the item of a code.
pub(super) fn code(code: &Code) -> InMemDicomObject {
    Attributes::of(|item| {
        item.text(tags::CODE_VALUE, VR::SH, &code.value);
        item.text(tags::CODING_SCHEME_DESIGNATOR, VR::SH, &code.scheme);
        item.text(tags::CODE_MEANING, VR::LO, &code.meaning);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
