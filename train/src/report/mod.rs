//! A run's report: one HTML file for people, without scripts, complete in itself and readable in print.
//!
//! [`Findings`] runs the best weights over the validation part; [`Report`] lays them out with the log and the
//! configuration.

mod chart;
mod distribution;
mod findings;
mod page;
mod picture;
mod table;

pub use findings::{Exhibit, Findings, Rated, ReportError};
pub use page::Report;
