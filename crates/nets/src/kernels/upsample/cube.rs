//! Bilinear upsampling and its gradient as CubeCL kernels, for GPUs.
//!
//! Place `p` of an upsampled side lies at `p (side - 1) / (2 side - 1)` between the pixels. The
//! numerators are whole, so that every weight is exact up to one rounding and no gradient is lost
//! between two roundings.

#![allow(unsafe_code, reason = "launches GPU kernels without bounds checks")]

mod kernel;

use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;

use self::kernel::{slope, value};
use super::{UpsampleOps, downsampled, upsampled};
use crate::kernels::cube::{element, empty, units};

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
