//! Metrics: how well predicted masks and probabilities agree with the truth.
//!
//! - [`Metric`] names and defines each metric;
//! - [`ImageScores`] measures one image, [`Summary`] averages many, with the confidence intervals
//!   of a [`Bootstrap`];
//! - [`Region`] is a set of pixels; [`SurfaceDistances`], [`skeleton`], [`centerline_dice`] and
//!   [`ObjectCounts`] compare two;
//! - [`Cleanup`] cleans a mask, in deployment and where training tries what that is worth;
//! - [`Calibration`] and [`ThresholdSweep`] add up probabilities image by image in memory of
//!   constant size.
//!
//! Pixels whose true label is [`IGNORE_LABEL`](seg_contract::IGNORE_LABEL), such as those outside a
//! field of view, are not counted: they are neither right nor wrong, and belong to no region, as if
//! the image ended there.

mod region;

mod centerline;
mod cleanup;
mod components;
mod disjoint_sets;
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
pub use cleanup::Cleanup;
pub use components::{Components, Connectivity, Run};
pub use disjoint_sets::DisjointSets;
pub use distance::squared_distances;
pub use metric::{Metric, Tolerance, definition_of_surfaces};
pub use objects::ObjectCounts;
pub use quantile::{median, nearest_rank, quantile};
pub use region::Region;
pub use scores::{ImageScores, Values};
pub use skeleton::skeleton;
pub use summary::{Estimate, Level, Summary};
pub use surface::SurfaceDistances;
pub use sweep::{OperatingPoint, RANK_BINS, SweepSummary, THRESHOLD_STEPS, ThresholdSweep};
