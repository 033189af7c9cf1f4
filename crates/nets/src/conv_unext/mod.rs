//! ConvUNeXt, block by block; each file has its twin of the same name in the exporter.

mod block;
mod down;
mod gate;
mod names;
mod network;
mod stem;
mod up;

pub use block::{Block, BlockConfig};
pub use down::{Down, DownConfig};
pub use gate::{Gate, GateConfig};
pub(crate) use names::PUBLISHED;
pub use network::{ConvUNext, ConvUNextConfig, SIDE_MIN};
pub use stem::{Stem, StemConfig};
pub use up::{Up, UpConfig};
