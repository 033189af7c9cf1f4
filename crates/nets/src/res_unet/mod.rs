//! ResUNet on U-Net's skeleton, block by block; each file has its twin of the same name in the
//! exporter.

mod residual;

mod down;
mod up;

mod names;
mod network;

pub use down::{Down, DownConfig};
pub(crate) use names::PUBLISHED;
pub use network::{ResUNet, ResUNetConfig};
pub use residual::{Residual, ResidualConfig, Shortcut};
pub use up::{Up, UpConfig};
