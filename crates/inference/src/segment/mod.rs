//! From an image to a mask.

mod cleanup;
mod flips;
mod segmenter;
mod settings;
pub mod steps;
mod tiled;
mod tiles;

pub use cleanup::Cleanup;
pub use flips::Views;
pub use segmenter::{EnsembleError, MAPS_BYTES_MAX, SegmentError, Segmentation, Segmenter, Timings};
pub use settings::{Settings, SettingsError, Tiles, Uncertainty, WHOLE_PIXELS_MAX};
pub use tiles::Tiling;
