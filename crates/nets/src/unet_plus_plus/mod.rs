//! UNet++, block by block; each file has its twin of the same name in the exporter.

mod join;
mod names;
mod network;

pub use join::{Join, JoinConfig};
pub(crate) use names::PUBLISHED;
pub use network::{DeepSupervision, Part, UNetPlusPlus, UNetPlusPlusConfig};
