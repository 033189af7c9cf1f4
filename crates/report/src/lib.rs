//! The building blocks of reports: pages without scripts that need no other file, can be mailed and
//! printed.
//!
//! - [`page`] puts sections into one HTML file, [`figures`] are the numbers at its head;
//! - [`Chart`] draws curves and [`distribution`] the images' scores as SVG, on the round numbers of
//!   an [`Axis`]; [`Scatter`] draws named places by two quantities;
//! - [`Exhibit`] shows an image with its masks and its errors;
//! - [`table`] renders classes, pixels, facts and settings.

mod page;

mod axis;
mod chart;
mod distribution;
mod scatter;

mod exhibit;
mod picture;

pub mod table;

pub use axis::Axis;
pub use chart::{Chart, Curve, Mark};
pub use distribution::{Rated, distribution};
pub use exhibit::{Exhibit, legend};
pub use page::{Figure, count, figures, page};
pub use scatter::{Place, Scatter};
