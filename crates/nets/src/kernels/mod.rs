//! The operators that the networks need other than Burn has them.

#[cfg(feature = "cube")]
mod cube;
mod depthwise;
mod fused;
mod gelu;
mod mixed;
mod pointwise;
mod upsample;

pub use depthwise::{depthwise, depthwise_layer};
pub(crate) use fused::{Moments, amse, down, moments_of_batch, norm_gelu, up};
pub use gelu::gelu;
pub use mixed::convolution;
pub(crate) use mixed::in_float32;
pub use pointwise::{pointwise, pointwise_layer};
pub use upsample::upsample;

use burn::backend::flex::FlexTensor;
use burn::tensor::{DType, Device, Tensor};

/// Whether whole blocks are computed as one operator on a map: one of the CPU backend, in float32.
pub(crate) fn is_fused(x: &Tensor<4>) -> bool {
    x.device().inner() == Device::flex() && x.dtype() == DType::F32
}

/// The values of a contiguous float32 tensor of the CPU backend.
fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect("the operator has made the tensor contiguous float32")
}

/// The devices that a kernel is tested on: the CPU and the first GPU of every kind that the build is for, which must be there.
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

/// Fails unless two tensors are equal but for rounding, and names the case and the first place where they are not.
#[cfg(test)]
fn assert_close(case: &str, found: &burn::tensor::TensorData, expected: &burn::tensor::TensorData) {
    assert_eq!(found.shape(), expected.shape(), "{case}");
    for (index, (found, expected)) in found.iter::<f32>().zip(expected.iter::<f32>()).enumerate() {
        let bound = 1e-4 + 1e-5 * expected.abs();
        assert!((found - expected).abs() <= bound, "{case}: value {index} is {found}, expected {expected}");
    }
}
