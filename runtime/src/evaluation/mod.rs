//! How good a model is on a data set: every image is measured, and one report tells what all of them come to.
//!
//! [`Evaluator`] takes images one by one; its memory does not grow with their pixels. [`Report`] is what it ends with: JSON
//! with everything, a CSV file with a row per image, and an HTML page for people.

mod evaluator;
mod failures;

mod csv;
mod page;
mod report;

pub use evaluator::{EvaluateError, Evaluator, Method};
pub use failures::{Failures, MissedObjects, Place};
pub use report::{About, ClassReport, Data, ImageReport, Report, Skipped};
