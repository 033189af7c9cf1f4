//! Graphs that compute in fewer bits: [`halve`] in 16-bit floats, [`quantize`] in 8-bit integers.
//!
//! Unlike a pass, these change results by more than rounding in the last bits. So they need the
//! range of a graph's values ([`Magnitudes`], [`Ranges`]), which callers measure on images. Inputs
//! and outputs keep their types.

mod channel_steps;
mod float_groups;
mod half;
mod histogram;
mod operand_steps;
mod quantize;
mod ranges;
mod steps;

pub use float_groups::float_groups;
pub use half::{HALF_MAX, HalfError, Halved, Kept, Magnitudes, halve};
pub use histogram::{CalibrationMethod, range};
pub use quantize::{QuantizeError, Quantized, quantizable, quantize, values_around};
pub use ranges::{Range, Ranges};
pub use steps::Scheme;
