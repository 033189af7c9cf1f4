//! The kernels of bilinear upsampling and its gradient. They need CubeCL alone.

#![allow(unsafe_code, reason = "the functions that launch a kernel do not check bounds")]

use super::cubecl;
use super::cubecl::ir::ElemType;
use super::cubecl::prelude::*;
use super::cubecl::std::FastDivmod;

/// The places of an upsampled side that a pixel reaches lie from `2 pixel - 1` to `2 pixel + 2`.
const REACH: i32 = 4;

#[cube(launch_unchecked)]
pub(crate) fn value<X: Float>(
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
pub(crate) fn slope<X: Float>(
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
