//! Depthwise convolution and its gradients as CubeCL kernels, for GPUs.
//!
//! The value and the input's gradient have one unit per pixel, which reads its window from the
//! cache. A parameter's gradient is a sum over all images and pixels: a cube sums one slice of one
//! channel, all taps at once in registers, and a second, small kernel adds the slices. The order of
//! every sum follows from the shapes alone, so equal inputs give equal bits.

#![allow(unsafe_code, reason = "launches GPU kernels without bounds checks")]

use burn::backend::fusion::custom::TensorSpec;
use burn::tensor::{DType, Shape};
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::ir::ElemType;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::std::FastDivmod;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;

use super::DepthwiseOps;
use crate::kernels::cube::{element, empty, units};

/// Units of a cube that sums, a power of two: as many as every device has.
const UNITS: usize = 256;
/// Pixels that a unit sums at least, so that adding up the units is the smaller part.
const PIXELS_PER_UNIT: usize = 8;
/// Cubes that keep the largest devices busy.
const CUBES: usize = 1024;

/// The taps of a kernel, known when it is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Window {
    sides: [usize; 2],
    dilation: [usize; 2],
}

impl Window {
    fn taps(self) -> usize {
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

/// Returns the result of [`DepthwiseOps::depthwise_parameter_gradients`], for kernel fusion, which
/// runs it later.
pub(super) fn parameter_specs(
    x: &TensorSpec,
    _gradient: &TensorSpec,
    sides: &[usize; 2],
    _dilation: &[usize; 2],
) -> (TensorSpec, TensorSpec) {
    let [_, c, _, _] = x.shape.dims();
    let spec = |shape: &[usize]| TensorSpec::new(Shape::from(shape.to_vec()), DType::F32);
    (spec(&[c, 1, sides[0], sides[1]]), spec(&[c]))
}

impl DepthwiseOps for CubeBackend {
    fn depthwise(x: CubeTensor, weight: CubeTensor, bias: CubeTensor, dilation: [usize; 2]) -> CubeTensor {
        launch_convolve(x, weight, Some(bias), dilation, false)
    }

    fn depthwise_input_gradient(gradient: CubeTensor, weight: CubeTensor, dilation: [usize; 2]) -> CubeTensor {
        // With stride 1 and symmetric padding, the adjoint is the convolution with the kernel
        // turned by 180 degrees.
        launch_convolve(gradient, weight, None, dilation, true)
    }

    fn depthwise_parameter_gradients(
        x: CubeTensor,
        gradient: CubeTensor,
        sides: [usize; 2],
        dilation: [usize; 2],
    ) -> (CubeTensor, CubeTensor) {
        let [n, c, h, w] = x.meta.shape().dims();
        let (x, gradient) = (into_contiguous(x), into_contiguous(gradient));
        let (client, element) = (x.client.clone(), element(&x));
        let window = Window { sides, dilation };
        let pixels = n * h * w;
        let slices = (CUBES / c).clamp(1, pixels.div_ceil(UNITS * PIXELS_PER_UNIT));
        let sums = empty(&x, [slices, c, window.taps() + 1], DType::F32);
        let weight = empty(&x, [c, 1, sides[0], sides[1]], DType::F32);
        let bias = empty(&x, [c], DType::F32);
        // SAFETY: `x` and `gradient` have `n * c * h * w` values. A cube writes the sums of its own
        // slice and channel.
        unsafe {
            sum_slices::launch_unchecked(
                &client,
                CubeCount::Static(c as u32, slices as u32, 1),
                CubeDim::new_1d(UNITS as u32),
                x.into_buffer_arg(),
                gradient.into_buffer_arg(),
                sums.clone().into_buffer_arg(),
                h * w,
                w,
                h as i32,
                w as i32,
                c,
                pixels,
                pixels.div_ceil(slices),
                window,
                element,
            );
        }
        let (cubes, units) = units(&client, c * (window.taps() + 1));
        // SAFETY: no unit goes beyond the channels and their taps, for which all three have their
        // values.
        unsafe {
            add_slices::launch_unchecked(
                &client,
                cubes,
                units,
                sums.into_buffer_arg(),
                weight.clone().into_buffer_arg(),
                bias.clone().into_buffer_arg(),
                slices,
                window.taps(),
            );
        }
        (weight, bias)
    }
}

/// Convolves every plane with its channel's kernel, turned by 180 degrees if asked, and adds the
/// channel's bias.
fn launch_convolve(
    x: CubeTensor,
    weight: CubeTensor,
    bias: Option<CubeTensor>,
    dilation: [usize; 2],
    turned: bool,
) -> CubeTensor {
    let [_, c, h, w] = x.meta.shape().dims();
    let [_, _, kh, kw] = weight.meta.shape().dims();
    let (x, weight, bias) = (into_contiguous(x), into_contiguous(weight), bias.map(into_contiguous));
    let y = empty(&x, x.meta.shape().clone(), x.dtype);
    let (cubes, units) = units(&y.client, y.meta.num_elements());
    let (client, element) = (x.client.clone(), element(&x));
    // SAFETY: `x` has as many values as `y`, which no unit goes beyond, `weight` as many kernels as
    // `c` and `bias` as many values.
    unsafe {
        convolve::launch_unchecked(
            &client,
            cubes,
            units,
            x.into_buffer_arg(),
            weight.into_buffer_arg(),
            bias.map(CubeTensor::into_buffer_arg).into(),
            y.clone().into_buffer_arg(),
            w,
            h,
            c,
            h as i32,
            w as i32,
            Window { sides: [kh, kw], dilation },
            turned,
            element,
        );
    }
    y
}

#[cube(launch_unchecked)]
fn convolve<X: Float>(
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
fn sum_slices<X: Float>(
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
fn add_slices(sums: &[f32], weight: &mut [f32], bias: &mut [f32], slices: usize, #[comptime] taps: usize) {
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
