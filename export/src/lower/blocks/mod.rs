//! Blocks that several networks are built from.

mod batch_norm;
mod double_conv;
