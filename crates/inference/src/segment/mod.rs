//! Segments images: from the pixels of an image to the class of each.

mod ensemble;
mod error;
mod flips;
mod in_memory;
mod resampled;
mod segmentation;
mod segmenter;
mod settings;
mod steps;
mod tiled;
mod tiles;

pub use ensemble::EnsembleError;
pub use error::{MAPS_BYTES_MAX, SegmentError};
pub use flips::Views;
pub use seg_metrics::Cleanup;
pub use segmentation::{Segmentation, Timings};
pub use segmenter::Segmenter;
pub use settings::{Settings, SettingsError, Tiles, Uncertainty, WHOLE_PIXELS_MAX};
pub use steps::{Inferred, Prepared, SegmentSteps, WholeImage};
pub use tiles::Tiling;
