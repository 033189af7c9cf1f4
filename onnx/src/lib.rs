//! What an exported segmentation model is: its graph, its passes, its bytes and its contract.

pub mod contract;
