//! Segmentation networks in Burn.
//!
//! - [`amsunet`] is a network, block by block, of its own blocks and of [`blocks`] that networks share;
//! - [`kernels`] are the operators that Burn lacks or computes slowly;
//! - [`weights`] are a network's parameters by name, in memory and in files;
//! - [`checkpoint`] joins weights with the [`contract`](mod@contract) of the model that they make;
//! - [`device`] opens devices, [`precision`] names the types that a network computes in.

pub mod amsunet;
pub mod blocks;
pub mod kernels;

pub mod checkpoint;
pub mod contract;
pub mod runs;
pub mod weights;

pub mod gradients;
pub mod recompute;

pub mod device;
pub mod precision;
