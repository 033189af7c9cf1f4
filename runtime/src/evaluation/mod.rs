//! Evaluates a model on a data set: measures every image, and summarises all of them in one report.
//!
//! [`Evaluator`] takes images one by one; its memory does not grow with their pixels. [`Report`] is
//! its result: JSON with everything, a CSV file with a row per image, and an HTML page for people.

mod evaluator;
mod failures;
mod method;

mod csv;
mod page;
mod report;

pub use evaluator::{EvaluateError, Evaluator};
pub use failures::{Failures, MissedObjects, Place};
pub use method::Method;
pub use report::{About, ClassReport, Data, ImageReport, Report, Skipped};
