//! What an exported segmentation model is: its graph, its passes, its bytes and its contract.

pub mod contract;
pub mod graph;
mod opset;

pub use opset::{Opset, UnsupportedOpset};
