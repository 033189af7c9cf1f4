//! Code that the kernels for GPUs share: the way they take their tensors and lay out their units.
//!
//! Kernels are written once in CubeCL and compiled for CUDA, Vulkan, Metal or DirectX when they are
//! first used. They read and write plain buffers of contiguous tensors, hold parameters as float32
//! and compute in float32, whatever type the planes have.

use burn::backend::cubecl::dtype_to_storage_type;
use burn::tensor::{DType, Shape};
use burn_cubecl::cubecl::calculate_cube_count_elemwise;
use burn_cubecl::cubecl::client::Client;
use burn_cubecl::cubecl::ir::ElemType;
use burn_cubecl::cubecl::prelude::{CubeCount, CubeDim};
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;

/// Creates a tensor on the device of another one, contiguous and without values yet.
pub(super) fn empty(beside: &CubeTensor, shape: impl Into<Shape>, dtype: DType) -> CubeTensor {
    empty_device_contiguous_dtype(beside.client.clone(), beside.device.clone(), shape.into(), dtype)
}

/// Returns the type of a tensor's values in a kernel.
pub(super) fn element(tensor: &CubeTensor) -> ElemType {
    dtype_to_storage_type(tensor.dtype)
}

/// Cubes and their size, for at least as many units as values.
pub(super) fn units(client: &Client, values: usize) -> (CubeCount, CubeDim) {
    let size = CubeDim::new(client, values);
    (calculate_cube_count_elemwise(client, values, size), size)
}
