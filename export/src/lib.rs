//! Writes trained segmentation networks as ONNX models.
//!
//! - [`lower`] emits the network's graph block by block.

pub mod lower;
#[cfg(test)]
mod parity;
