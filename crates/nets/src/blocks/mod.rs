//! Blocks that several networks are built from.

mod batch_norm;

pub use batch_norm::{BatchNorm, BatchNormConfig};
