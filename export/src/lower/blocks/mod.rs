//! Blocks that several networks are built from.

mod batch_norm;
