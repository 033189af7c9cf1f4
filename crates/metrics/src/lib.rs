//! How well predicted masks and probabilities agree with the truth.
//!
//! - [`Metric`] names each metric and says how it is defined;
//! - [`ImageScores`] measures one image, [`Summary`] says what many come to, with the intervals of a [`Bootstrap`];
//! - [`Region`] is a set of pixels; [`SurfaceDistances`], [`skeleton`], [`centerline_dice`] and [`ObjectCounts`] compare two;
//! - [`Calibration`] and [`ThresholdSweep`] gather probabilities image by image in memory that does not grow.
//!
//! Pixels whose true label is [`IGNORE_LABEL`](seg_contract::IGNORE_LABEL), such as those outside a field of view, are
//! in no number: they count neither right nor wrong, and belong to no region, as if the image ended there.

mod region;

mod centerline;
mod components;
mod distance;
mod objects;
mod skeleton;
mod surface;

mod calibration;
mod sweep;

mod bootstrap;
mod metric;
mod quantile;
mod scores;
mod summary;

pub use bootstrap::Bootstrap;
pub use calibration::{Calibration, CalibrationSummary, RELIABILITY_BINS, Reliability, ReliabilityBin, ShapeError};
pub use centerline::centerline_dice;
pub use components::{Components, Connectivity, Run};
pub use metric::{Metric, definition_of_surfaces};
pub use objects::ObjectCounts;
pub use region::Region;
pub use scores::{ImageScores, Values};
pub use skeleton::skeleton;
pub use summary::{Estimate, Level, Summary};
pub use surface::SurfaceDistances;
pub use sweep::{OperatingPoint, RANK_BINS, SweepSummary, THRESHOLD_STEPS, ThresholdSweep};
