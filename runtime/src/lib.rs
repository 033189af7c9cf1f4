//! Segments folders of images with an exported model, and evaluates it.
//!
//! - [`pipeline`] turns image files into result files, in stages that overlap; [`save`] is what can be saved;
//! - [`record`] keeps what is done, so that a run can go on, and joins the records of its parts;
//! - [`bench`](mod@bench) says how fast a model is;
//! - [`evaluation`] measures a model on a data set.

pub mod pipeline;
pub mod record;
pub mod save;

pub mod bench;
pub mod evaluation;

#[cfg(test)]
#[path = "../../crates/inference/tests/threshold/mod.rs"]
mod threshold;
