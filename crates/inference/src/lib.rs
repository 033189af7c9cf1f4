//! Runs exported segmentation models in ONNX Runtime.
//!
//! - [`library`] finds or fetches the ONNX Runtime library, [`provider`] describes what computes in
//!   it, [`nvidia`] finds the libraries that some providers need;
//! - [`Segmenter`] turns an image into a mask, and is all that a program needs; [`Settings`] are
//!   its options;
//! - [`SegmentSteps`] are the steps before and after the networks, for a program that runs them on
//!   threads of their own;
//! - [`Session`] runs the bare network on tensors;
//! - [`probe()`] tries a provider on a graph whose output is known;
//! - [`compare`](mod@compare) measures the difference of two tensors.
//!
//! The crate reads from a model's file what the model expects and means: it contains no mean, no
//! size and no class name.

pub mod library;
pub mod nvidia;
pub mod provider;

mod model_file;
mod probe;
mod segment;
pub mod session;
mod threads;

pub mod compare;
pub mod inputs;
pub mod tensors;

#[cfg(test)]
#[path = "../tests/threshold/mod.rs"]
mod threshold;

pub use model_file::{ModelFile, digest};
pub use probe::{ProbeError, probe};
pub use provider::{Options, Provider};
pub use segment::{
    Cleanup, EnsembleError, Inferred, MAPS_BYTES_MAX, Prepared, SegmentError, SegmentSteps, Segmentation, Segmenter,
    Settings, SettingsError, Tiles, Tiling, Timings, Uncertainty, Views, WHOLE_PIXELS_MAX, WholeImage,
};
pub use session::{
    ModelOutput, OpenError, PlacedNode, Placement, PlacementError, RunError, RunsOn, Session, read_model,
};
pub use threads::available_threads;
