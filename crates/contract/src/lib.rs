//! The contract: what a model expects of its input and means by its output, in one type that travels with the weights.
//!
//! Training writes it beside the weights, export carries it in the file's `metadata_props`, and the runtime reads it
//! from there: no mean, no size and no class name is compiled into a deployment. The code that both sides must share,
//! [`Contract::preprocess`], [`Contract::postprocess`] and [`Evaluation`], lives beside it.

mod class;
mod contract;
mod evaluation;
#[cfg(any(test, feature = "example"))]
pub mod example;
mod input;
mod output;
mod pixels;
mod postprocess;
mod preprocess;
mod provenance;
mod resample;

pub use class::{Class, default_color};
pub use contract::{CONTRACT_FORMAT, CONTRACT_FORMAT_MULTIPLE, Contract, ContractError, IGNORE_LABEL};
pub use evaluation::{ConfusionMatrix, Evaluation, EvaluationError, Scores};
pub use input::{ColorOrder, Element, Input, InputForm, SizePolicy};
pub use output::{Output, OutputKind};
pub use pixels::{Pixels, Rgb16Image, Samples};
pub use postprocess::{PostprocessError, most_probable, softmax};
pub use preprocess::{Geometry, Placement, PreprocessError, Preprocessed, Window};
pub use provenance::Provenance;
