//! Image files, masks and data sets, read alike by training and deployment.
//!
//! - [`read_image`] turns an image file into numbers, [`read_mask`] a mask file into labels; [`open_image`] reads rows of one of any size;
//! - [`Dataset::open`] finds the images of a data set and their masks;
//! - [`check`] reads all of it and reports what is there and what is wrong;
//! - [`overlay`] draws a mask onto its image, [`sheet`] lays many side by side, [`write_png`] and [`write_mask_png`] save them;
//! - [`write_atomic`] is how every file is written.

mod atomic;
mod check;
mod dataset;
mod decode;
mod encode;
mod jpeg;
mod mask;
mod overlay;
mod picture;
mod reader;
mod sheet;
mod size;
mod tiff_rows;

pub use atomic::{WriteError, check_writable, is_unfinished, remove_unfinished, write_atomic, write_bytes};
pub use check::{
    Check, ClassShare, Copies, Finding, Likeness, PartReport, Report, Role, SheetError, Sizes, check, contact_sheet,
};
pub use dataset::{Dataset, DatasetError, Layout, Part, PartError, Sample, SampleError};
pub use decode::{PIXELS_MAX, ReadError, has_image_extension, read_image};
pub use encode::{EncodeError, PngKind, encode_png, jpeg_bytes, png_bytes, write_mask_png, write_png};
pub use mask::{MaskCoding, MaskError, read_mask};
pub use overlay::{OverlayError, OverlayStyle, Overlayer, overlay};
pub use picture::Picture;
pub use reader::{ImageInfo, ImageReader, open_image};
pub use sheet::{Pair, sheet};
pub use size::stored_size;
