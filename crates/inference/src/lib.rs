//! Runs exported segmentation models in ONNX Runtime.
//!
//! - [`library`] finds or fetches the ONNX Runtime library, [`Provider`] names what computes in
//!   it, [`nvidia`] finds the libraries that some providers need;
//! - [`Segmenter`] turns an image into a mask, and is all that a program needs; [`Settings`] are
//!   its options;
//! - [`SegmentSteps`] are the steps before and after the networks, for a program that runs them on
//!   threads of their own;
//! - [`Session`] runs the bare network on tensors;
//! - [`probe()`] tries a provider on a graph whose output is known;
//! - [`compare()`] measures the difference of two tensors.
//!
//! The crate reads from a model's file what the model expects and means: it contains no mean, no
//! size and no class name.

pub mod library;
pub mod nvidia;

mod compare;
mod fused;
mod inputs;
mod model_file;
mod probe;
mod provider;
mod segment;
mod session;
mod tensors;
mod threads;

#[cfg(test)]
#[path = "../tests/threshold/mod.rs"]
mod threshold;

pub use compare::{CompareError, Comparison, Worst, compare};
pub use fused::Unrecognized;
pub use inputs::{InputError, Inputs, image_files, list_inputs};
pub use model_file::{ModelFile, digest};
pub use probe::{ProbeError, probe};
pub use provider::{
    ComputePrecision, EngineCache, EngineCacheError, EngineKey, Float32Error, NamedPlugin, OptionError, Options,
    Provider, ProviderError, Shapes, Spec as ProviderSpec, offered_devices, openvino_devices,
};
pub use segment::{
    Cleanup, EnsembleError, Inferred, MAPS_BYTES_MAX, Prepared, SegmentError, SegmentSteps, Segmentation, Segmenter,
    Settings, SettingsError, Tiles, Tiling, Timings, Uncertainty, Views, WHOLE_PIXELS_MAX, WholeImage,
};
pub use session::{
    GraphTensor, ModelOutput, OPTIMIZATION, OpenError, PlacedNode, Placement, PlacementError, RunError, Runnable,
    RunsOn, Session, change_warning, parse_model, read_contract, read_model, runnable,
};
pub use tensors::{TensorError, TensorFile};
pub use threads::{SharedThreads, available_threads};
