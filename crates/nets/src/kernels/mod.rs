//! The operators that Burn lacks or computes slowly.

mod border;
mod concatenate;
#[cfg(feature = "cube")]
mod cube;
mod depthwise;
pub(crate) mod fused;
mod gate;
mod gelu;
mod mixed;
mod pointwise;
mod pool;
mod resize;
mod transposed;
mod upsample;
mod upsample_nearest;
mod upsample_to;

pub(crate) use border::{crop, mirror};
pub use concatenate::concatenate;
pub use depthwise::{depthwise, depthwise_layer};
pub(crate) use fused::moments_of_batch;
pub(crate) use gate::gate;
pub use gelu::gelu;
pub use mixed::convolution;
pub(crate) use mixed::{in_float32, scale_channels};
pub(crate) use pointwise::linear;
pub use pointwise::{pointwise, pointwise_layer};
pub use pool::max_pool_2x2;
pub use resize::resize_half_pixel;
pub use transposed::{transposed, transposed_layer};
pub use upsample::upsample;
pub use upsample_nearest::upsample_nearest;
pub use upsample_to::upsample_to_size_of;

use burn::backend::flex::FlexTensor;
use burn::tensor::{DType, Device, Tensor};

/// Returns whether whole blocks are computed as one operator on a map: on the CPU backend, in
/// float32.
pub(crate) fn is_fused(x: &Tensor<4>) -> bool {
    x.device().inner() == Device::flex() && x.dtype() == DType::F32
}

/// Returns the name of the vector instructions that the kernels of the CPU use.
pub fn vector_instructions() -> String {
    format!("{:?}", seg_kernels::set())
}

/// Returns the values of a contiguous float32 tensor of the CPU backend.
fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect("the operator has made the tensor contiguous float32")
}

/// Returns the devices that a kernel is tested on: the CPU and the first GPU of every kind that the
/// build is for, which must be there.
#[cfg(test)]
pub(crate) fn devices() -> Vec<(&'static str, Device)> {
    use crate::device::DeviceChoice;

    let mut choices = vec![("cpu", DeviceChoice::Cpu)];
    if cfg!(feature = "cuda") {
        choices.push(("cuda", DeviceChoice::Cuda(0)));
    }
    if cfg!(feature = "wgpu") {
        choices.push(("wgpu", DeviceChoice::Wgpu(0)));
    }
    choices.into_iter().map(|(name, choice)| (name, choice.open().unwrap().0)).collect()
}

/// Fails unless two tensors are equal up to rounding, and names the case and the first place where
/// they are not.
#[cfg(test)]
fn assert_close(case: &str, found: &burn::tensor::TensorData, expected: &burn::tensor::TensorData) {
    assert_eq!(found.shape(), expected.shape(), "{case}");
    for (index, (found, expected)) in found.iter::<f32>().zip(expected.iter::<f32>()).enumerate() {
        let bound = 1e-4 + 1e-5 * expected.abs();
        assert!((found - expected).abs() <= bound, "{case}: value {index} is {found}, expected {expected}");
    }
}
