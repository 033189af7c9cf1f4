//! Runs exported segmentation models in ONNX Runtime.
//!
//! - [`library`] finds or fetches the ONNX Runtime library, [`provider`] is what computes in it, [`nvidia`] what that
//!   may need;
//! - [`Segmenter`] turns an image into a mask, and is all that a program needs; [`Settings`] say how;
//! - [`Session`] runs the bare network on tensors;
//! - [`pipeline`] turns image files into result files, in stages that overlap; [`writers`] are what can be saved;
//! - [`Manifest`] records what is done, so that a run can go on, and [`merge()`] joins the records of its parts;
//! - [`probe()`] tries a provider on a graph whose output is known, [`bench`](mod@bench) says how fast a model is;
//! - [`evaluation`] measures a model on a data set;
//! - [`compare`](mod@compare) measures how far one tensor is from another;
//! - [`verify`] proves that a model is the trained network, and certifies it.
//!
//! What a model expects and means is read from its file: there is no mean, no size and no class name in this crate.

pub mod library;
pub mod nvidia;
pub mod provider;

mod captured;
mod log;
mod placement;
mod probe;
mod session;

mod answer;
mod cleanup;
mod components;
mod flips;
mod segmenter;
mod settings;
mod tiles;

pub mod inputs;
mod outline;
pub mod outputs;
mod rle;
pub mod writers;

mod budget;
mod job;
mod line;
mod manifest;
mod merge;
pub mod pipeline;
mod prediction;
mod saved_file;

pub mod bench;
pub mod compare;
pub mod evaluation;
pub mod tensors;
pub mod verify;

#[cfg(test)]
#[path = "../tests/threshold/mod.rs"]
mod threshold;

pub use cleanup::Cleanup;
pub use flips::Views;
pub use job::{JOB, Job, JobError, JobPart, ModelFile};
pub use line::{Counts, Line};
pub use manifest::{Manifest, ManifestError, PREDICTIONS, remove_leftovers};
pub use merge::{MergeError, merge};
pub use placement::{PlacedNode, Placement, PlacementError};
pub use prediction::{ClassArea, Prediction};
pub use probe::{ProbeError, probe};
pub use provider::{Options, Provider};
pub use saved_file::SavedFile;
pub use segmenter::{EnsembleError, MAPS_BYTES_MAX, SegmentError, Segmentation, Segmenter, Timings};
pub use session::{Answer, OpenError, RunError, RunsOn, Session, read_model};
pub use settings::{Settings, SettingsError, Tiles, Uncertainty, WHOLE_PIXELS_MAX};
pub use tiles::Tiling;
