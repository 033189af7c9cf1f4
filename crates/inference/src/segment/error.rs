//! The errors of segmenting.

use seg_contract::{PostprocessError, PreprocessError};
use seg_data::ReadError;
use thiserror::Error;

use crate::session::RunError;

/// The reason for which an image cannot be segmented.
#[derive(Debug, Error)]
pub enum SegmentError {
    /// The image cannot be converted to the network's input.
    #[error(transparent)]
    Preprocess(#[from] PreprocessError),
    /// Rows of the image cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The network fails.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The network's output has values that are infinite or not a number.
    #[error("{count} values of the model's output are infinite or not a number")]
    NotFinite {
        /// The number of such values.
        count: usize,
    },
    /// The network's output cannot be converted to a mask.
    #[error(transparent)]
    Postprocess(#[from] PostprocessError),
    /// The maps would take too much memory.
    #[error(
        "the maps of an image of {width}x{height} would take {bytes} bytes, expected at most {MAPS_BYTES_MAX}; save masks \
         without probabilities and uncertainty, or a part of the image"
    )]
    Maps {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
        /// The memory for the maps, in bytes.
        bytes: usize,
    },
}

/// The most memory that probabilities and uncertainty of one image may take, in bytes.
pub const MAPS_BYTES_MAX: usize = 4 << 30;
