//! The layout of a data set's folder.

use std::fmt;

/// The layout of a data set's folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Retinal vessels with fields of view, as DRIVE is published.
    Drive,
    /// Colon polyps, as Kvasir-SEG is published.
    KvasirSeg,
    /// Skin lesions, as ISIC 2018's Task 1 is published.
    Isic2018,
    /// Any folder in which images and masks belong together by their names.
    Folder,
}

impl fmt::Display for Layout {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Drive => "DRIVE as published",
            Self::KvasirSeg => "Kvasir-SEG as published",
            Self::Isic2018 => "ISIC 2018, Task 1, as published",
            Self::Folder => "images and masks",
        })
    }
}
