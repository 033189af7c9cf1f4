//! Segmentation networks in Burn.
//!
//! - [`network`] lists the networks and says what each of them has;
//! - [`amsunet`], [`unet`] and the other folders of that kind are networks, block by block, of
//!   their own blocks and of [`blocks`] that networks share; [`topology`] and [`u_shape`] say in
//!   which order their stages are computed, and [`u_shape_config`] is the configuration that
//!   U-shaped networks share;
//! - [`kernels`] are the operators that Burn lacks or computes slowly;
//! - [`parameters`] walks over a network's parameters by their published [`names`];
//! - [`statistics`] estimates BatchNorm's running statistics over many batches;
//! - [`weights`] are parameters in memory and in files;
//! - [`gradients`] and [`recompute`] are two ways to a network's gradients;
//! - [`checkpoint`] joins weights with the [`contract`](mod@contract) of the model that they make;
//! - [`device`] opens devices, [`precision`] names the types that a network computes in.

#[cfg(all(test, feature = "cube"))]
mod every_device;
mod initial;
pub mod names;
mod narrow;
pub mod network;
mod numbers;
pub mod parameters;
pub mod sizes;
pub mod statistics;
pub mod topology;
pub mod u_shape;
pub mod u_shape_config;

pub mod amsunet;
pub mod attention_unet;
pub mod blocks;
pub mod conv_unext;
pub mod res_unet;
pub mod res_unet_canonical;
pub mod seg_next;
pub mod trans_unet;
pub mod unet;
pub mod unet_plus_plus;
pub mod unext;

pub mod kernels;

pub mod checkpoint;
pub mod contract;
pub mod runs;
pub mod weights;

pub mod gradients;
pub mod recompute;

pub mod device;
mod memory;
pub mod precision;

#[cfg(test)]
mod threads;
