//! Files of masks and pictures: written atomically, as PNG or JPEG, drawn onto their images.

mod atomic;
mod contours;
mod jpeg;
mod overlay;
mod png;
mod sheet;

pub use atomic::{FileSet, WriteError, check_writable, is_unfinished, remove_unfinished, write_atomic, write_bytes};
pub use jpeg::jpeg_bytes;
pub use overlay::{OverlayError, OverlayStyle, Overlayer, overlay};
pub use png::{EncodeError, PngKind, encode_png, png_bytes, write_mask_png, write_png};
pub use sheet::{Pair, sheet};
