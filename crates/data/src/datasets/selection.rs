//! The choices of a person where a folder can be read in several ways.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::masks::Border;

/// The heading of the flags in help.
#[cfg(feature = "cli")]
const FILES: &str = "Files of the data set";

/// The choices by which a folder is read; without any, its content decides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(deny_unknown_fields, default)]
pub struct Selection {
    /// A table of files: image, mask, and optionally the part (train, validation or test)
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE", help_heading = FILES, conflicts_with_all = ["images", "masks"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pairs: Option<PathBuf>,
    /// The images in the data set's folder: the name of a folder, or a pattern as 'scans/*_ct.png'
    #[cfg_attr(feature = "cli", arg(long, value_name = "GLOB", help_heading = FILES))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<String>,
    /// The masks in the data set's folder: the name of a folder, a pattern, or a file of
    /// annotations; what `*` stands for must be the same in an image's name and its mask's
    #[cfg_attr(feature = "cli", arg(long, value_name = "GLOB", help_heading = FILES))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub masks: Option<String>,
    /// Masks of one object each: what pixels become that touch another object: the target (none),
    /// a class of their own (class), or pixels that do not count (ignore) [default: none]
    #[cfg_attr(feature = "cli", arg(long, value_name = "BORDER", help_heading = FILES))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub border: Option<Border>,
}

impl Selection {
    /// Returns true if nothing is chosen.
    pub fn is_open(&self) -> bool {
        *self == Self::default()
    }
}
