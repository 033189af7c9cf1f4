//! Segments folders of images with an exported model, and evaluates the model.
//!
//! - [`pipeline`] turns image files into result files, in stages that overlap; [`save`] lists the
//!   kinds of results;
//! - [`record`] keeps track of finished images, so that a run can continue, and joins the records
//!   of its parts;
//! - [`bench`](mod@bench) measures the speed of a model;
//! - [`evaluation`] measures a model on a data set.

pub mod pipeline;
pub mod record;
pub mod save;

pub mod bench;
pub mod evaluation;

#[cfg(test)]
#[path = "../../crates/inference/tests/threshold/mod.rs"]
mod threshold;
