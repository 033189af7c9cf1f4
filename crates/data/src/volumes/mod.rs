//! Masks of whole volumes: of all slices of a series or a NIfTI file, or all pages of a file, in
//! one file on the grid of the images.
//!
//! - `stack.rs` finds which pictures belong together;
//! - `nifti_mask.rs` writes a NIfTI file, `dicom_seg/` a DICOM segmentation, `tiff_stack.rs` a
//!   TIFF file of several pages.

mod cielab;
mod dicom_seg;
mod nifti_mask;
mod stack;
mod tiff_stack;
mod uid;

pub use dicom_seg::{SegmentationKind, SegmentationLabels};
pub use stack::{Stack, VolumeError, stacks};
