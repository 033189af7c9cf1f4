//! Trains small segmentation networks in Burn: the networks, the data, the loss, the loop and its checkpoints.

pub mod augment;
pub mod checkpoint;
pub mod device;
pub mod kernels;
pub mod loss;
pub mod model;
pub mod optimizer;
pub mod run;
pub mod schedule;
pub mod weights;
