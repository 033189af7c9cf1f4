//! The names of the execution providers.

use serde::{Deserialize, Serialize};

/// An execution provider of ONNX Runtime, or the project's own kernels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// The processor.
    #[default]
    Cpu,
    /// An NVIDIA GPU, by CUDA 13 and cuDNN 9.
    Cuda,
    /// An NVIDIA GPU, by TensorRT 10.
    TensorRt,
    /// The processor, or an Intel GPU or NPU, by OpenVINO.
    OpenVino,
    /// An NVIDIA GPU, by TensorRT for RTX.
    #[serde(rename = "tensorrt-rtx")]
    TensorRtRtx,
    /// A GPU of any make, by WebGPU.
    WebGpu,
    /// The processor, by the project's own kernels: AMSUnet alone.
    Fused,
    /// Any other provider, by a plug-in that the user names.
    Plugin,
}
