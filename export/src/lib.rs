//! Writes trained segmentation networks as ONNX models.
//!
//! - [`export`] turns a checkpoint into the bytes of a model, by way of
//! - [`lower`], which emits the network's graph block by block, and of
//! - [`contract`], which settles what the model expects and means;
//! - [`precision`] brings a model to fewer bits, by what [`calibration`] sees of its values on images;
//! - [`triton`] lays it out for a Triton Inference Server, [`card`](mod@card) tells people what the model is;
//! - [`proof`] is what a model is held against to be proven;
//! - [`reference`](mod@reference) is what the training framework computes, for the exported model to be compared with.

pub mod calibration;
pub mod card;
pub mod contract;
mod export;
pub mod lower;
#[cfg(test)]
mod parity;
pub mod precision;
pub mod test_vectors;
pub mod triton;
pub mod verify_inputs;

pub use export::{Export, ExportError, Extent, Options, Report, export};
