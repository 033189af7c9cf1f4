//! Blocks that several networks are built from.

mod batch_norm;
mod double_conv;

pub(crate) use batch_norm::NormMode;
pub use batch_norm::{BatchNorm, BatchNormConfig};
pub(crate) use double_conv::conv3x3;
pub use double_conv::{DoubleConv, DoubleConvConfig};
