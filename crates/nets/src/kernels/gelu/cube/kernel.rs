//! The kernels of GELU and its gradient. They need CubeCL alone.

#![allow(unsafe_code, reason = "the functions that launch a kernel do not check bounds")]

use super::cubecl;
use super::cubecl::ir::ElemType;
use super::cubecl::prelude::*;
use super::normal::{DENSITY_AT_0, MILLS, MILLS_SCALE, TAIL_END};

/// `y = x Phi(x)`
#[cube(launch_unchecked)]
pub(crate) fn value<X: Float>(x: &[X], y: &mut [X], #[define(X)] _element: ElemType) {
    if ABSOLUTE_POS >= y.len() {
        terminate!();
    }
    let x = f32::cast_from(x[ABSOLUTE_POS]);
    let (distribution, _density) = normal(x);
    y[ABSOLUTE_POS] = X::cast_from(x * distribution);
}

/// `y = g (Phi(x) + x phi(x))`
#[cube(launch_unchecked)]
pub(crate) fn slope<X: Float>(x: &[X], gradient: &[X], y: &mut [X], #[define(X)] _element: ElemType) {
    if ABSOLUTE_POS >= y.len() {
        terminate!();
    }
    let x = f32::cast_from(x[ABSOLUTE_POS]);
    let (distribution, density) = normal(x);
    y[ABSOLUTE_POS] = X::cast_from(f32::cast_from(gradient[ABSOLUTE_POS]) * (distribution + x * density));
}

/// `Phi(x)` and `phi(x)`, by the formula of [`super::normal`]: the error function of some GPUs'
/// languages is an approximation.
#[cube]
fn normal(x: f32) -> (f32, f32) {
    // Not `min`, which would turn a value that is not a number into the tail's end.
    let t = select(x.abs() > TAIL_END, TAIL_END, x.abs());
    let density = DENSITY_AT_0 * (-0.5f32 * t * t).exp();
    let k = 1.0f32 / (MILLS_SCALE * t + 1.0f32);
    let degree = comptime!(MILLS.len());
    let mut mills = 0.0f32;
    #[unroll]
    for power in 0..degree {
        mills = mills * k + comptime!(MILLS[degree - 1 - power]);
    }
    let tail = density * mills * k;
    (select(x >= 0.0f32, 1.0f32 - tail, tail), density)
}
