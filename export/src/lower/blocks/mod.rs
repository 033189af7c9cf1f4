//! Blocks that several networks are built from.

mod batch_norm;
mod conv_norm;
mod double_conv;
mod group_norm;
mod layer_norm;
mod linear;
