//! Attention U-Net, block by block; each file has its twin of the same name in the exporter.

mod gate;
mod up;

mod names;
mod network;

pub use gate::{Gate, GateConfig};
pub(crate) use names::PUBLISHED;
pub use network::{AttentionUNet, AttentionUNetConfig, Part};
pub use up::{Up, UpConfig};
