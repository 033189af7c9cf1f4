//! Serves exported segmentation models over HTTP.
//!
//! - [`serve`] opens the models of a [`Source`] each, listens, and returns when it is asked to
//!   stop; [`Options`] and [`Limits`] say how;
//! - [`Results`] is the interface behind which the program keeps the formats of masks: this crate
//!   knows images, models and HTTP, and no file format of a result;
//! - the tensors of models go by the Open Inference Protocol, version 2, whole images by
//!   `/v1/segment`, which the page at `/` uses;
//! - [`openapi`] describes all of it.
//!
//! An uploaded image stays in memory and is never written to the disk.

mod access;
mod admission;
mod body;
mod catalog;
mod connection;
mod error;
mod lanes;
mod logs;
mod metrics;
mod model;
mod openapi;
mod options;
mod page;
mod protocol;
mod results;
mod router;
mod segment;
mod server;

pub use access::{Access, AccessError, Token};
pub use catalog::{CatalogError, Source};
pub use connection::{Tls, TlsError};
pub use error::ApiError;
pub use model::ServedModelError;
pub use openapi::openapi;
pub use options::{Certified, Limits, Options};
pub use results::{Areas, Done, Format, Needs, ResultFile, Results};
pub use server::{ServeError, serve};
