//! Blocks that several networks are built from.

mod batch_norm;
mod double_conv;

pub use batch_norm::{BatchNorm, BatchNormConfig};
pub use double_conv::{DoubleConv, DoubleConvConfig};
