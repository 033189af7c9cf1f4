//! From a data set to batches.

pub mod augment;
pub mod batch;
pub mod cache;
pub mod fold;
pub mod loader;
pub mod picture;
pub mod preview;
pub mod split;
pub mod statistics;
