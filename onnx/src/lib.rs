//! An exported segmentation model: its graph, its passes and its bytes.

pub mod adopt;
pub mod evaluate;
pub mod forms;
pub mod graph;
mod model;
mod opset;
pub mod passes;
pub mod precision;
pub mod proto;
mod target;

pub use model::{CERTIFICATE_KEY, CONTRACT_KEY, Model, ModelError};
pub use opset::{Opset, UnsupportedOpset};
pub use target::{TENSORRT_OPERATORS, Target, UnknownTarget};
