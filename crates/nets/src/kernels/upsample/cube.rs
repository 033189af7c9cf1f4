//! Bilinear upsampling and its gradient as CubeCL kernels, for GPUs.
//!
//! Place `p` of an upsampled side lies at `p (side - 1) / (2 side - 1)` between the pixels. The
//! numerators are whole, so that every weight is exact up to one rounding and no gradient is lost
//! between two roundings.

#![allow(unsafe_code, reason = "launches GPU kernels without bounds checks")]

use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::ir::ElemType;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::std::FastDivmod;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;

use super::{UpsampleOps, downsampled, upsampled};
use crate::kernels::cube::{element, empty, units};

/// The places of an upsampled side that a pixel reaches lie from `2 pixel - 1` to `2 pixel + 2`.
const REACH: i32 = 4;

impl UpsampleOps for CubeBackend {
    fn upsample(x: CubeTensor) -> CubeTensor {
        let [_, _, h, w] = x.meta.shape().dims();
        let x = into_contiguous(x);
        let y = empty(&x, upsampled(x.meta.shape()), x.dtype);
        let (cubes, units) = units(&y.client, y.meta.num_elements());
        let (client, element) = (x.client.clone(), element(&x));
        // SAFETY: `x` has the planes of `y`, which no unit goes beyond, at half the height and half
        // the width.
        unsafe {
            value::launch_unchecked(
                &client,
                cubes,
                units,
                x.into_buffer_arg(),
                y.clone().into_buffer_arg(),
                2 * w,
                2 * h,
                h,
                w,
                element,
            );
        }
        y
    }

    fn upsample_gradient(gradient: CubeTensor) -> CubeTensor {
        let gradient = into_contiguous(gradient);
        let x = empty(&gradient, downsampled(gradient.meta.shape()), gradient.dtype);
        let [_, _, h, w] = x.meta.shape().dims();
        let (cubes, units) = units(&x.client, x.meta.num_elements());
        let (client, element) = (x.client.clone(), element(&x));
        // SAFETY: `gradient` has the planes of `x`, which no unit goes beyond, at twice the height
        // and twice the width.
        unsafe {
            slope::launch_unchecked(
                &client,
                cubes,
                units,
                gradient.into_buffer_arg(),
                x.clone().into_buffer_arg(),
                w,
                h,
                h as i32,
                w as i32,
                element,
            );
        }
        x
    }
}

#[cube(launch_unchecked)]
fn value<X: Float>(
    x: &[X],
    y: &mut [X],
    columns: FastDivmod<usize>,
    rows: FastDivmod<usize>,
    h: usize,
    w: usize,
    #[define(X)] _element: ElemType,
) {
    if ABSOLUTE_POS >= y.len() {
        terminate!();
    }
    let (line, column) = columns.div_mod(ABSOLUTE_POS);
    let (plane, row) = rows.div_mod(line);
    let (top, below) = source(row, h);
    let (left, beside) = source(column, w);
    let top_line = (plane * h + top) * w;
    let bottom_line = (plane * h + min(top + 1, h - 1)) * w;
    let right = min(left + 1, w - 1);
    let upper = mix(f32::cast_from(x[top_line + left]), f32::cast_from(x[top_line + right]), beside);
    let lower = mix(f32::cast_from(x[bottom_line + left]), f32::cast_from(x[bottom_line + right]), beside);
    y[ABSOLUTE_POS] = X::cast_from(mix(upper, lower, below));
}

/// Returns the pixel at or before a position of the upsampled side, and the distance behind it.
#[cube]
fn source(place: usize, side: usize) -> (usize, f32) {
    let whole = 2 * side - 1;
    let pixel = place * (side - 1) / whole;
    let rest = place * (side - 1) - pixel * whole;
    (pixel, f32::cast_from(rest) / f32::cast_from(whole))
}

#[cube]
fn mix(first: f32, second: f32, share: f32) -> f32 {
    first * (1.0f32 - share) + second * share
}

#[cube(launch_unchecked)]
fn slope<X: Float>(
    gradient: &[X],
    x: &mut [X],
    columns: FastDivmod<usize>,
    rows: FastDivmod<usize>,
    h: i32,
    w: i32,
    #[define(X)] _element: ElemType,
) {
    if ABSOLUTE_POS >= x.len() {
        terminate!();
    }
    let (line, column) = columns.div_mod(ABSOLUTE_POS);
    let (plane, row) = rows.div_mod(line);
    let plane = plane * (4 * h * w) as usize;
    let (row, column) = (row as i32, column as i32);
    let mut sum = 0.0f32;
    #[unroll]
    for down in 0..REACH {
        let place_row = 2 * row - 1 + down;
        let row_weight = weight(row, place_row, h);
        #[unroll]
        for right in 0..REACH {
            let place_column = 2 * column - 1 + right;
            let both = row_weight * weight(column, place_column, w);
            if both > 0.0f32 {
                sum += both * f32::cast_from(gradient[plane + (place_row * 2 * w + place_column) as usize]);
            }
        }
    }
    x[ABSOLUTE_POS] = X::cast_from(sum);
}

/// Returns a pixel's weight at a position of the upsampled side: one minus their distance, and zero
/// from the next pixel on or outside.
#[cube]
fn weight(pixel: i32, place: i32, side: i32) -> f32 {
    let whole = 2 * side - 1;
    let distance = f32::cast_from(place * (side - 1) - pixel * whole).abs() / f32::cast_from(whole);
    let inside = place >= 0 && place <= whole;
    select(inside, max(1.0f32 - distance, 0.0f32), 0.0f32)
}
