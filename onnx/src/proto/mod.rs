//! The bytes of an ONNX file.

mod messages;
mod read;
mod write;

pub use read::{File, ReadError, read, read_metadata};
pub use write::{WriteError, write};
