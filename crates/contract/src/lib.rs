//! The contract: what a model expects of its input and means by its output, in one type that is
//! stored with the weights.
//!
//! Training writes it beside the weights, export stores it in the file's `metadata_props`, and the
//! runtime reads it from there: a deployment contains no mean, no size and no class name. The code
//! that both sides share, [`Contract::preprocess`], [`Contract::postprocess`] and [`Evaluation`],
//! is in this crate.

mod class;
mod contract;
mod evaluation;
#[cfg(any(test, feature = "example"))]
pub mod example;
mod geometry;
mod hash;
mod input;
mod learned_from;
mod level;
mod names;
mod output;
mod pixels;
mod postprocess;
mod preprocess;
mod provenance;
mod reading;
mod resample;
mod resampling;
mod sides;
mod spacing;
mod unlike;
mod window;

pub use class::{Class, Code, Codes, default_color};
pub use contract::{
    CONTRACT_FORMAT, CONTRACT_FORMAT_MULTIPLE, CONTRACT_FORMAT_READING, CONTRACT_FORMAT_RESAMPLING, Contract,
    ContractError, IGNORE_LABEL,
};
pub use evaluation::{ConfusionMatrix, Evaluation, EvaluationError, Scores};
pub use geometry::{Geometry, Placement};
pub use hash::{Sha256, hex, sha256, sha256_digest};
pub use input::{ColorOrder, Element, Input, InputForm, SizePolicy};
pub use learned_from::{ImageDigest, LearnedFrom, settings_without_digests};
pub use level::Level;
pub use output::{Output, OutputKind};
pub use pixels::{Pixels, Rgb16Image, Samples};
pub use postprocess::{PostprocessError, most_probable, softmax};
pub use preprocess::{PreprocessError, Preprocessed, Stretching};

pub use provenance::Provenance;
pub use reading::{Reading, Slices, Windowing};
pub use resampling::{Resampling, Restoring, resize_labels};
pub use sides::Sides;
pub use spacing::Spacing;
pub use unlike::Unlike;
pub use window::Window;
