//! A run's report: one HTML file for people, without scripts, complete in itself and readable in
//! print.
//!
//! [`Findings`] runs the best weights over the validation part; [`Report`] lays them out with the
//! log and the configuration.

mod findings;
mod page;

pub use findings::{Findings, ReportError};
pub use page::Report;
