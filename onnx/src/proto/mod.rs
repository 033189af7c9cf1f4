//! The bytes of an ONNX file.

mod messages;
mod read;
mod write;

pub use read::{File, ReadError, read};
pub use write::{WriteError, write};
