//! U-Net, block by block; each file has its twin of the same name in the exporter.

mod down;
mod names;
mod network;
mod up;

pub use down::{Down, DownConfig};
pub(crate) use names::PUBLISHED;
pub use network::{UNet, UNetConfig};
pub use up::{Up, UpConfig};
