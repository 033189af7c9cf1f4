//! GELU and its gradient as CubeCL kernels, for GPUs.

#![allow(unsafe_code, reason = "launches GPU kernels without bounds checks")]

mod kernel;

use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;

use self::kernel::{slope, value};
use super::{GeluOps, normal};
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
