//! Trains small segmentation networks in Burn.
//!
//! - [`data`] makes batches of augmented images;
//! - [`learn`] moves a network: loss, gradients, optimizer;
//! - [`run`] is a training run: its configuration, its loop and its folder;
//! - [`evaluate`] scores a network on whole images;
//! - [`comparison`] compares networks under one protocol;
//! - [`cross_validation`] trains on folds and chooses what follows the network by all of them;
//! - [`view`] shows a run to people.

pub mod comparison;
pub mod cross_validation;
pub mod data;
pub mod evaluate;
pub mod learn;
pub mod run;
pub mod view;
