//! Blocks of AMSUnet as kernels of the CPU: what a block computes, with its gradient, in few passes
//! over memory.
//!
//! The kernels know no framework: they take maps in host memory. `seg-nets` makes operators with
//! gradients of them, for learning; `seg-inference` runs exported models by [`inference`].
//!
//! Operators that write every map out, and keep most of them for the gradient, spend a CPU's time
//! and memory there. Here the maps between a block's operators live in tiles that stay in the
//! cache, and the gradient computes them again. What is kept of a block is its input and three
//! maps.

#![allow(clippy::needless_range_loop, reason = "loops over fixed bounds with indices become registers")]

mod affine;
mod blocks;
mod buffer;
mod bytes;
mod frame;
mod gelu;
mod integers;
mod lanes;
mod map;
#[cfg(target_arch = "aarch64")]
mod neon;
mod operator;
mod planes;
mod product;
mod ring;
mod rows;
mod shared;
mod vector;
#[cfg(target_arch = "x86_64")]
mod x86;
#[cfg(target_arch = "x86_64")]
mod x86_integers;

mod attention;
mod average;
mod border;
mod chain;
mod concatenate;
mod convolution;
mod down;
mod feed_forward;
mod gate;
mod group_norm;
pub mod inference;
mod join;
mod norm_activation;
mod norm_pointwise;
mod phases;
mod pool;
mod upsample;

#[cfg(test)]
mod roofline;

pub use affine::Moments;
pub use attention::Attention;
pub use average::Average;
pub use border::{Crop, Mirror};
pub use concatenate::Concatenate;
pub use convolution::Convolution;
pub use down::Down;
pub use feed_forward::FeedForward;
pub use frame::{Frame, Taps};
pub use gate::Gate;
pub use gelu::{gelu, gelu_gradient};
pub use group_norm::GroupNorm;
pub use join::Join;
pub use map::Map;
pub use norm_activation::{Activation, NormActivation};
pub use norm_pointwise::{NormPointwise, Pointwise};
pub use operator::{Operator, on_workers};
pub use phases::Phases;
pub use pool::MaxPool;
pub use upsample::{Coordinates, Upsample};
pub use vector::{Set, set};
