//! Image files, masks and data sets, read in the same way by training and deployment.
//!
//! - [`read_image`] turns an image file into numbers, [`read_mask`] a mask file into labels;
//!   [`open_image`] reads rows of an image of any size;
//! - [`Dataset::open`] finds the images of a data set and their masks or annotations;
//! - [`check`] reads a whole data set and reports its content and its problems;
//! - [`overlay`] draws a mask onto its image, [`sheet`] lays many side by side, [`write_png`] and
//!   [`write_mask_png`] save them;
//! - [`write_atomic`] writes every file of the project, [`FileSet`] those that belong together.

mod colors;
mod formats;
mod picture;

mod annotations;

mod masks;

mod datasets;

mod check;

mod volumes;

mod write;

pub use annotations::{AnnotationError, Drawing};
pub use check::{
    Check, ClassShare, Copies, Finding, Likeness, PartReport, Report, Role, SheetError, Sizes, check, contact_sheet,
    quick_check,
};
pub use datasets::{
    Dataset, DatasetError, Layout, Overlap, Part, PartError, Sample, SampleError, Selection, SizedSample, image_digests,
};
pub use formats::{
    Format, Header, ImageInfo, ImageReader, Listing, PIXELS_MAX, PicturePath, ReadError, ShownWindow, Unread,
    WindowSource, add_format, has_image_extension, image_formats, list_folder, open_image, open_image_as,
    open_image_bytes, pictures, read_image, read_image_as, read_sized_image, stored_size, stored_size_as,
};
pub use masks::{Border, MaskCoding, MaskError, Objects, count_labels, read_mask, read_mask_as};
pub use picture::Picture;
pub use volumes::{SegmentationKind, SegmentationLabels, Stack, VolumeError, stacks};
pub use write::{
    EncodeError, FileSet, OverlayError, OverlayStyle, Overlayer, Pair, PngKind, WriteError, check_writable, encode_png,
    is_unfinished, jpeg_bytes, overlay, png_bytes, remove_unfinished, sheet, write_atomic, write_bytes, write_mask_png,
    write_png,
};
