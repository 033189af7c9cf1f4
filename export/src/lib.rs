//! Writes trained segmentation networks as ONNX models.
//!
//! - [`export()`] turns a checkpoint into the bytes of a model:
//!   [`lower`] emits the network's graph block by block, and
//!   [`contract`] resolves what the model expects and means.
//! - [`precision`] converts a model to fp16 or int8, with the ranges of values that
//!   [`calibration`] observes on images.
//! - [`triton`] writes a repository for a Triton Inference Server,
//!   [`card`](mod@card) a page that describes the model to people.
//! - [`web`] makes the page that runs a model in a browser.
//! - [`verify_inputs`] prepares the inputs and the framework's outputs of a proof,
//!   [`test_vectors`] a file of the framework's outputs for other programs to test against.

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
pub mod web;

pub use export::{Export, ExportError, Extent, Options, Report, export};
