//! Runs exported segmentation models in ONNX Runtime.
//!
//! - [`library`] finds or fetches the ONNX Runtime library, [`provider`] is what computes in it, [`nvidia`] what that
//!   may need;
//! - [`Segmenter`] turns an image into a mask, and is all that a program needs;
//! - [`Session`] runs the bare network on tensors;
//! - [`predict`] turns an image file into a mask file, an overlay and a line of a report, [`outputs`] says where;
//! - [`probe()`] tries a provider on a graph whose output is known, [`bench`] says how fast a model is;
//! - [`compare`](mod@compare) measures how far one tensor is from another.
//!
//! What a model expects and means is read from its file: there is no mean, no size and no class name in this crate.

pub mod library;
pub mod nvidia;
pub mod provider;

mod log;
mod placement;
mod probe;
mod segmenter;
mod session;

pub mod inputs;
pub mod outputs;
mod predict;

pub mod bench;
pub mod compare;
pub mod tensors;

pub use placement::{PlacedNode, Placement, PlacementError};
pub use predict::{ClassArea, PredictError, Prediction, predict};
pub use probe::{ProbeError, probe};
pub use provider::{Options, Provider};
pub use segmenter::{SegmentError, Segmentation, Segmenter, Timings};
pub use session::{Answer, OpenError, RunError, RunsOn, Session, read_model};
