//! Trains small segmentation networks in Burn: the networks, the data, the loss, the loop and its checkpoints.

pub mod kernels;
pub mod model;
pub mod weights;

pub mod augment;
pub mod batch;
pub mod cache;
pub mod loader;
pub mod picture;
pub mod preview;
pub mod split;
pub mod statistics;

pub mod adamw;
pub mod average;
pub mod device;
pub mod gradients;
pub mod learner;
pub mod loss;
pub mod optimizer;
pub mod precision;
pub mod recompute;
pub mod schedule;

pub mod checkpoint;
pub mod config;
pub mod contract;
pub mod record;
pub mod run;
pub mod state;

pub mod ending;
pub mod evaluate;
pub mod summary;
pub mod trainer;

pub mod duration;

pub mod dashboard;
pub mod events;
pub mod progress;
pub mod report;
