//! The method by which images are measured.

use seg_metrics::{Bootstrap, Tolerance};
use serde::Serialize;

/// The method by which images are measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Method {
    /// The largest distance of two surfaces that count as one, in pixels.
    pub tolerance_px: f64,
    /// The largest distance of two surfaces that count as one, in millimetres, for images that name
    /// the size of a pixel.
    pub tolerance_mm: f64,
    /// The bootstrap for confidence intervals.
    pub bootstrap: Bootstrap,
    /// The number of the worst images that are shown.
    pub worst: usize,
}

impl Default for Method {
    fn default() -> Self {
        Self { tolerance_px: 2.0, tolerance_mm: 2.0, bootstrap: Bootstrap::default(), worst: 6 }
    }
}

impl Method {
    /// Returns the tolerance of surfaces.
    pub(super) fn tolerance(&self) -> Tolerance {
        Tolerance { px: self.tolerance_px, mm: self.tolerance_mm }
    }
}
