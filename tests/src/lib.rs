//! What the claims share that need more than one crate of the toolchain; the claims themselves are
//! in `tests/claims`.
//!
//! - [`parity`] says whether tensors agree, and where a network and its exported graph part;
//!   [`tolerance`] is the table of what may differ by how much, [`ties`] counts the pixels that
//!   such differences decide;
//! - [`fixtures`] makes random networks and images, [`blocks`] the blocks of the network alone,
//!   [`discs`] a small run;
//! - [`reference`](mod@reference) opens what PyTorch computed;
//! - [`runtime`] runs graphs and models in ONNX Runtime, [`python`] the packages of others.
//!
//! Whatever is missing here is a failed claim, so these functions panic and say what is missing.

pub mod blocks;
pub mod discs;
pub mod fixtures;
pub mod parity;
pub mod python;
pub mod reference;
pub mod runtime;
pub mod ties;
pub mod tolerance;
