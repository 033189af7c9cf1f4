//! The kernels of depthwise convolution and its gradients. They need CubeCL alone.

#![allow(unsafe_code, reason = "the functions that launch a kernel do not check bounds")]

use super::cubecl;
use super::cubecl::ir::ElemType;
use super::cubecl::prelude::*;
use super::cubecl::std::FastDivmod;

/// Units of a cube that sums, a power of two: as many as every device has.
pub(crate) const UNITS: usize = 256;

/// The taps of a kernel, known when it is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Window {
    /// Height and width.
    pub(crate) sides: [usize; 2],
    /// The distance of two taps, down and right.
    pub(crate) dilation: [usize; 2],
}

impl Window {
    /// Returns the number of taps.
    pub(crate) fn taps(self) -> usize {
        self.sides[0] * self.sides[1]
    }

    /// Returns the number of rows below the pixel that a tap reads.
    fn down(self, tap: usize) -> i32 {
        self.shift(tap / self.sides[1], 0)
    }

    /// Returns the number of columns right of the pixel that a tap reads.
    fn right(self, tap: usize) -> i32 {
        self.shift(tap % self.sides[1], 1)
    }

    fn shift(self, place: usize, axis: usize) -> i32 {
        (place as i32 - (self.sides[axis] / 2) as i32) * self.dilation[axis] as i32
    }
}

#[cube(launch_unchecked)]
pub(crate) fn convolve<X: Float>(
    x: &[X],
    weight: &[f32],
    bias: ComptimeOption<&[f32]>,
    y: &mut [X],
    columns: FastDivmod<usize>,
    rows: FastDivmod<usize>,
    channels: FastDivmod<usize>,
    h: i32,
    w: i32,
    #[comptime] window: Window,
    #[comptime] turned: bool,
    #[define(X)] _element: ElemType,
) {
    if ABSOLUTE_POS >= y.len() {
        terminate!();
    }
    let (line, column) = columns.div_mod(ABSOLUTE_POS);
    let (plane, row) = rows.div_mod(line);
    let channel = channels.modulo(plane);
    let taps = comptime!(window.taps());
    let bias: ComptimeOption<f32> = bias.as_ref().map(|bias| bias[channel]);
    let mut sum = bias.unwrap_or(0.0f32);
    #[unroll]
    for tap in 0..taps {
        let place = comptime!(if turned { taps - 1 - tap } else { tap });
        let row = row as i32 + comptime!(window.down(tap));
        let column = column as i32 + comptime!(window.right(tap));
        sum += weight[channel * taps + place] * pixel(x, plane * (h * w) as usize, row, column, h, w);
    }
    y[ABSOLUTE_POS] = X::cast_from(sum);
}

/// Sums one slice of one channel, `gradient * shifted x` for each tap and then `gradient` alone.
#[cube(launch_unchecked)]
pub(crate) fn sum_slices<X: Float>(
    x: &[X],
    gradient: &[X],
    sums: &mut [f32],
    plane_pixels: FastDivmod<usize>,
    columns: FastDivmod<usize>,
    h: i32,
    w: i32,
    channels: usize,
    pixels: usize,
    slice_pixels: usize,
    #[comptime] window: Window,
    #[define(X)] _element: ElemType,
) {
    let channel = CUBE_POS_X as usize;
    let slice = CUBE_POS_Y as usize;
    let unit = UNIT_POS_X as usize;
    let taps = comptime!(window.taps());

    let mut of_unit = Array::<f32>::new(taps + 1);
    #[unroll]
    for tap in 0..taps + 1 {
        of_unit[tap] = 0.0f32;
    }
    let end = min((slice + 1) * slice_pixels, pixels);
    let mut position = slice * slice_pixels + unit;
    while position < end {
        let (image, place) = plane_pixels.div_mod(position);
        let (row, column) = columns.div_mod(place);
        let plane = (image * channels + channel) * (h * w) as usize;
        let slope = f32::cast_from(gradient[plane + place]);
        #[unroll]
        for tap in 0..taps {
            let row = row as i32 + comptime!(window.down(tap));
            let column = column as i32 + comptime!(window.right(tap));
            of_unit[tap] += slope * pixel(x, plane, row, column, h, w);
        }
        of_unit[taps] += slope;
        position += UNITS;
    }

    let mut of_cube = Shared::<[f32]>::new_slice(UNITS);
    #[unroll]
    for tap in 0..taps + 1 {
        of_cube[unit] = of_unit[tap];
        sync_cube();
        let mut half = CUBE_DIM as usize / 2;
        while half > 0 {
            if unit < half {
                let other = of_cube[unit + half];
                of_cube[unit] += other;
            }
            sync_cube();
            half /= 2;
        }
        if unit == 0 {
            sums[(slice * channels + channel) * (taps + 1) + tap] = of_cube[0];
        }
        sync_cube();
    }
}

/// Adds the sums of all slices, one unit per channel and tap.
#[cube(launch_unchecked)]
pub(crate) fn add_slices(sums: &[f32], weight: &mut [f32], bias: &mut [f32], slices: usize, #[comptime] taps: usize) {
    let stride = weight.len() + bias.len();
    if ABSOLUTE_POS >= stride {
        terminate!();
    }
    let mut sum = 0.0f32;
    for slice in 0..slices {
        sum += sums[slice * stride + ABSOLUTE_POS];
    }
    let channel = ABSOLUTE_POS / (taps + 1);
    let tap = ABSOLUTE_POS % (taps + 1);
    if tap < taps {
        weight[channel * taps + tap] = sum;
    } else {
        bias[channel] = sum;
    }
}

/// Returns a pixel of the plane that begins at `plane`, zero outside.
#[cube]
fn pixel<X: Float>(x: &[X], plane: usize, row: i32, column: i32, h: i32, w: i32) -> f32 {
    if row >= 0 && row < h && column >= 0 && column < w {
        f32::cast_from(x[plane + (row * w + column) as usize])
    } else {
        0.0f32
    }
}
