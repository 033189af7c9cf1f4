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

impl Class {
    /// Creates the class `name` with the default colour of its index.
    pub fn new(name: impl Into<String>, index: usize) -> Self {
        Self { name: name.into(), color: default_color(index) }
    }
}
