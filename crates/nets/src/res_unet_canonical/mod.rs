//! The published ResUNet, block by block; each file has its twin of the same name in the exporter.

mod input;
mod residual;

mod names;
mod network;

pub use input::{Input, InputConfig};
pub(crate) use names::PUBLISHED;
pub use network::{Part, ResUNetCanonical, ResUNetCanonicalConfig};
pub use residual::{Residual, ResidualConfig};
