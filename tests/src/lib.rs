//! Code that claims about several crates share; the claims themselves are in `tests/claims`.
//!
//! - [`parity`] compares tensors, and finds where a network and its exported graph diverge;
//!   [`tolerance`] is the table of the largest differences, [`ties`] counts the pixels that such
//!   differences decide;
//! - [`fixtures`] makes random networks and images, [`blocks`] the blocks of the network alone,
//!   [`discs`] a small run, [`medical`] images with sizes in millimetres;
//! - [`reference`](mod@reference) opens PyTorch's results, [`formula`] makes the weights that one
//!   of them was computed with;
//! - [`runtime`] runs graphs and models in ONNX Runtime, [`python`] the packages of others.
//!
//! A missing file or program is a failed claim, so these functions panic and say what is missing.

pub mod blocks;
pub mod discs;
pub mod fixtures;
pub mod formula;
pub mod medical;
pub mod parity;
pub mod python;
pub mod reference;
pub mod runtime;
pub mod ties;
pub mod tolerance;
