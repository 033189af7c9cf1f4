//! The bytes of an ONNX file.

pub(crate) mod messages;
mod read;
mod write;

pub use read::{File, ReadError, external_files, read, read_metadata};
pub use write::{WriteError, write};
