//! The method by which images are measured.

use seg_metrics::Bootstrap;
use serde::Serialize;

/// The method by which images are measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Method {
    /// The largest distance of two surfaces that count as one, in pixels.
    pub tolerance_px: f64,
    /// The bootstrap for confidence intervals.
    pub bootstrap: Bootstrap,
    /// The number of the worst images that are shown.
    pub worst: usize,
}

impl Default for Method {
    fn default() -> Self {
        Self { tolerance_px: 2.0, bootstrap: Bootstrap::default(), worst: 6 }
    }
}
