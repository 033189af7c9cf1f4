//! GELU and its gradient as CubeCL kernels, for GPUs.

#![allow(unsafe_code, reason = "launches GPU kernels without bounds checks")]

use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::ir::ElemType;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;

use super::GeluOps;
use super::normal::{DENSITY_AT_0, MILLS, MILLS_SCALE, TAIL_END};
use crate::kernels::cube::{element, empty, units};

impl GeluOps for CubeBackend {
    fn gelu_exact(x: CubeTensor) -> CubeTensor {
        let x = into_contiguous(x);
        let y = empty(&x, x.meta.shape().clone(), x.dtype);
        let (cubes, units) = units(&y.client, y.meta.num_elements());
        let element = element(&x);
        // SAFETY: both buffers have as many values as `y`, and no unit goes beyond them.
        unsafe {
            value::launch_unchecked(
                &x.client.clone(),
                cubes,
                units,
                x.into_buffer_arg(),
                y.clone().into_buffer_arg(),
                element,
            );
        }
        y
    }

    fn gelu_exact_gradient(x: CubeTensor, gradient: CubeTensor) -> CubeTensor {
        let (x, gradient) = (into_contiguous(x), into_contiguous(gradient));
        let y = empty(&x, x.meta.shape().clone(), x.dtype);
        let (cubes, units) = units(&y.client, y.meta.num_elements());
        let element = element(&x);
        // SAFETY: the buffers have as many values as `y`, and no unit goes beyond them.
        unsafe {
            slope::launch_unchecked(
                &x.client.clone(),
                cubes,
                units,
                x.into_buffer_arg(),
                gradient.into_buffer_arg(),
                y.clone().into_buffer_arg(),
                element,
            );
        }
        y
    }
}

/// `y = x Phi(x)`
#[cube(launch_unchecked)]
fn value<X: Float>(x: &[X], y: &mut [X], #[define(X)] _element: ElemType) {
    if ABSOLUTE_POS >= y.len() {
        terminate!();
    }
    let x = f32::cast_from(x[ABSOLUTE_POS]);
    let (distribution, _density) = normal(x);
    y[ABSOLUTE_POS] = X::cast_from(x * distribution);
}

/// `y = g (Phi(x) + x phi(x))`
#[cube(launch_unchecked)]
fn slope<X: Float>(x: &[X], gradient: &[X], y: &mut [X], #[define(X)] _element: ElemType) {
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
