//! Blocks that several networks are built from.

mod batch_norm;
mod conv_norm;
mod double_conv;
mod group_norm;
mod layer_norm;
mod linear;

pub(crate) use batch_norm::NormMode;
pub use batch_norm::{BatchNorm, BatchNormConfig};
pub use conv_norm::{ConvNorm, ConvNormConfig};
pub(crate) use double_conv::conv3x3;
pub use double_conv::{DoubleConv, DoubleConvConfig};
pub use group_norm::{GroupNorm, GroupNormConfig};
pub use layer_norm::{LayerNorm, LayerNormConfig};
pub use linear::{Linear, LinearConfig};
