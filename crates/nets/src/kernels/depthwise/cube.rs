//! Depthwise convolution and its gradients as CubeCL kernels, for GPUs.
//!
//! The value and the input's gradient have one unit per pixel, which reads its window from the
//! cache. A parameter's gradient is a sum over all images and pixels: a cube sums one slice of one
//! channel, all taps at once in registers, and a second, small kernel adds the slices. The order of
//! every sum follows from the shapes alone, so equal inputs give equal bits.

#![allow(unsafe_code, reason = "launches GPU kernels without bounds checks")]

mod kernel;

use burn::backend::fusion::custom::TensorSpec;
use burn::tensor::{DType, Shape};
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;

use self::kernel::{UNITS, Window, add_slices, convolve, sum_slices};
use super::DepthwiseOps;
use crate::kernels::cube::{element, empty, units};

/// Pixels that a unit sums at least, so that adding up the units is the smaller part.
const PIXELS_PER_UNIT: usize = 8;
/// Cubes that keep the largest devices busy.
const CUBES: usize = 1024;

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
