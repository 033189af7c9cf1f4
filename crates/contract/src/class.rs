//! A class: its name in reports and its colour in pictures.

use serde::{Deserialize, Serialize};

/// One class of a model; its index is its position in the contract's list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// The name in reports.
    pub name: String,
    /// The colour of its pixels in masks and overlays: red, green, blue.
    pub color: [u8; 3],
    /// The codes of its meaning in DICOM segmentations, if the data set names them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codes: Option<Codes>,
}

/// The coded meaning of a class, as DICOM segmentations state it (PS3.3, C.8.20.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Codes {
    /// The category of the property, as (123037004, SCT, "Anatomical Structure").
    pub category: Code,
    /// The type of the property, as (10200004, SCT, "Liver").
    pub r#type: Code,
}

/// A coded term.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Code {
    /// The code, of at most 16 characters.
    pub value: String,
    /// The coding scheme, as SCT.
    pub scheme: String,
    /// The meaning in words, of at most 64 characters.
    pub meaning: String,
}

/// Colours that are easy to tell apart on tissue and on dark fields, in the order in which classes
/// take them.
const COLORS: [[u8; 3]; 8] = [
    [0, 0, 0],
    [0, 220, 130],
    [255, 90, 95],
    [70, 150, 255],
    [255, 200, 40],
    [190, 110, 255],
    [60, 220, 230],
    [255, 140, 40],
];

/// Returns the colour of class `index` unless the data set names one: black for the background,
/// then repeating colours.
pub fn default_color(index: usize) -> [u8; 3] {
    if index == 0 { COLORS[0] } else { COLORS[1 + (index - 1) % (COLORS.len() - 1)] }
}

impl Code {
    /// Returns whether its parts have the lengths that DICOM allows, and no backslash.
    pub fn is_usable(&self) -> bool {
        let fits = |text: &str, longest| !text.is_empty() && text.chars().count() <= longest && !text.contains('\\');
        fits(&self.value, 16) && fits(&self.scheme, 16) && fits(&self.meaning, 64)
    }
}

impl Class {
    /// Creates the class `name` with the default colour of its index.
    pub fn new(name: impl Into<String>, index: usize) -> Self {
        Self { name: name.into(), color: default_color(index), codes: None }
    }
}
