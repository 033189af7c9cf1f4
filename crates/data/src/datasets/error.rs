//! The error of opening a folder as a data set.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::formats::image_formats;
use crate::masks::EXAMPLE_INDEX;

/// An error in opening a folder as a data set.
#[derive(Debug, Error)]
pub enum DatasetError {
    /// The folder, or a file in it, cannot be read.
    #[error("cannot open the data set: reading `{path}` failed")]
    Read {
        /// The folder or file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The layout of the folder is unknown.
    #[error(
        "cannot open `{root}` as a data set: it holds {found}, expected the folders `images` and `masks` or other words for them, \
         images beside masks whose names have one more beginning or end, or a data set as published; name them by `--images` \
         and `--masks`, or list them by `--pairs`"
    )]
    Layout {
        /// The folder.
        root: PathBuf,
        /// The content of the folder.
        found: String,
    },
    /// The folder can be read in two ways.
    #[error("`{root}` can be read in two ways: {}, or {}; {remedy}", readings[0], readings[1])]
    Ambiguous {
        /// The folder.
        root: PathBuf,
        /// The two ways.
        readings: [String; 2],
        /// The flag that decides.
        remedy: String,
    },
    /// A pattern or a folder's name selects nothing.
    #[error(
        "`{pattern}` selects no image file in `{root}`; expected a folder's name or a pattern of paths from there on, as \
         `scans/*_ct.png`"
    )]
    Nothing {
        /// The folder.
        root: PathBuf,
        /// The pattern.
        pattern: String,
    },
    /// Images consist of several files each.
    #[error(
        "the images in `{root}` have several channels in files of their own, such as `{image}`, but networks take one image of \
         grey or colour; choose a channel by `--images '**/*_0000.*'`"
    )]
    Channels {
        /// The folder.
        root: PathBuf,
        /// A file of a second channel.
        image: PathBuf,
    },
    /// A text file is in an unknown encoding.
    #[error("cannot read `{path}` as text: expected UTF-8 or UTF-16")]
    Text {
        /// The file.
        path: PathBuf,
    },
    /// A line of a table of pairs is not usable.
    #[error("line {line} of the table `{path}` {found}, expected {expected}")]
    Table {
        /// The table.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The content of the line.
        found: String,
        /// The expected content.
        expected: &'static str,
    },
    /// Several masks of an image cannot be merged.
    #[error(
        "`{root}` has one mask per object, which show one class, but its classes are {found}; leave out the description of \
         the classes, or name two"
    )]
    Objects {
        /// The folder.
        root: PathBuf,
        /// The coding of the masks.
        found: String,
    },
    /// A mask cannot be read to find the classes.
    #[error(transparent)]
    Mask(#[from] crate::masks::MaskError),
    /// A folder that should hold images is empty.
    #[error("the folder `{folder}` holds no image; expected {} files", image_formats())]
    Empty {
        /// The folder.
        folder: PathBuf,
    },
    /// Two files of a folder stand for the same name.
    #[error("`{first}` and `{second}` stand for the same name; remove one of them")]
    Twice {
        /// The first file.
        first: PathBuf,
        /// The second file.
        second: PathBuf,
    },
    /// An image and its mask hold different numbers of pictures.
    #[error(
        "`{image}` holds {images} pictures (pages, frames or slices), but `{mask}` holds {masks}; each picture needs its own mask"
    )]
    Pictures {
        /// The image file.
        image: PathBuf,
        /// Its pictures.
        images: usize,
        /// The file of the mask or the field of view.
        mask: PathBuf,
        /// Its pictures.
        masks: usize,
    },
    /// Files have no counterpart.
    #[error(
        "{} of the images in `{folder}` have no counterpart of the same name in `{other}`: {}; add the missing \
         files or remove these, or say what belongs together by `--masks` or `--pairs`",
        names.len(), first_names(names)
    )]
    Unpaired {
        /// The folder that holds them.
        folder: PathBuf,
        /// The folder that lacks them.
        other: PathBuf,
        /// The names.
        names: Vec<String>,
    },
    /// Only some of the lists that split a data set exist.
    #[error("the list `{found}` is there but `{missing}` is not; a data set is split by all of its lists or by none")]
    ListMissing {
        /// A list that exists.
        found: PathBuf,
        /// A list that does not.
        missing: PathBuf,
    },
    /// A list is empty.
    #[error("the list `{list}` is empty; expected one name per line")]
    ListEmpty {
        /// The list.
        list: PathBuf,
    },
    /// A list names samples that do not exist.
    #[error(
        "{} names in the list `{list}` belong to no image with a mask: {}; add the missing files or remove the lines",
        names.len(), first_names(names)
    )]
    ListUnknown {
        /// The list.
        list: PathBuf,
        /// The names.
        names: Vec<String>,
    },
    /// Samples are in two parts.
    #[error("{} names are in both `{first}` and `{second}`: {}; remove them from one of the lists", names.len(), first_names(names))]
    ListOverlap {
        /// The first list.
        first: PathBuf,
        /// The second list.
        second: PathBuf,
        /// The names.
        names: Vec<String>,
    },
    /// Training and validation images have the same names.
    #[error(
        "{} names are in both `{first}` and `{second}`: {}; rename the images and masks of one folder",
        names.len(), first_names(names)
    )]
    Repeated {
        /// The first folder.
        first: PathBuf,
        /// The second folder.
        second: PathBuf,
        /// The names.
        names: Vec<String>,
    },
    /// `classes.json` is not valid.
    #[error("cannot read `{path}`: it is not of the form {EXAMPLE_INDEX}")]
    ClassesJson {
        /// The file.
        path: PathBuf,
        /// The error of the parser.
        source: serde_json::Error,
    },
    /// `classes.json` describes impossible classes.
    #[error("the classes in `{path}` are unusable: {found}, expected {expected}")]
    Classes {
        /// The file.
        path: PathBuf,
        /// The value.
        found: String,
        /// The expected value.
        expected: &'static str,
    },
}

impl DatasetError {
    /// Returns the names of all samples that it concerns, if there are several.
    pub(crate) fn names(&self) -> &[String] {
        match self {
            Self::Unpaired { names, .. }
            | Self::ListUnknown { names, .. }
            | Self::ListOverlap { names, .. }
            | Self::Repeated { names, .. } => names,
            _ => &[],
        }
    }
}

/// Lists the first few names, for a message.
pub(super) fn first_names(names: &[String]) -> String {
    const NAMES_MAX: usize = 5;
    let quoted: Vec<_> = names.iter().take(NAMES_MAX).map(|name| format!("`{name}`")).collect();
    quoted.join(", ") + if names.len() > NAMES_MAX { ", ..." } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_of_names_are_cut_short() {
        let quoted = |count: usize| first_names(&(0..count).map(|name| name.to_string()).collect::<Vec<_>>());
        assert_eq!(quoted(2), "`0`, `1`");
        assert_eq!(quoted(6), "`0`, `1`, `2`, `3`, `4`, ...");
    }
}
