//! Runs exported segmentation models in ONNX Runtime.
//!
//! - [`library`] finds or fetches the ONNX Runtime library, [`provider`] is what computes in it.

pub mod library;
pub mod provider;

pub use provider::Provider;
