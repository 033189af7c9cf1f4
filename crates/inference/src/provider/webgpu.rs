//! The WebGPU provider: any GPU with Vulkan, Metal or DirectX 12, by a plug-in.

use super::error::ProviderError;
use super::kind::Provider;
use super::options::{ComputePrecision, OptionName};
use super::spec::{Float32Error, Spec, accept, only_device};
use crate::library::{Build, Plugin};

pub(crate) const SPEC: Spec = Spec {
    provider: Provider::WebGpu,
    name: "WebGPU",
    flag: "webgpu",
    ort_name: "WebGpuExecutionProvider",
    build: Build::Cpu,
    plugin: Some(Plugin::WebGpu),
    library: Some("libonnxruntime_providers_webgpu.so"),
    needs: &[("libvulkan", "install Vulkan's loader (`libvulkan1`) and the GPU's Vulkan driver")],
    linked_with: None,
    fallback: Some(Provider::Cpu),
    is_nvidia: false,
    builds_engine: false,
    gains_from_lanes: false,
    gains_from_one_size: false,
    strict_entries: &[],
    options: &[OptionName::DeviceId],
    precisions: &[ComputePrecision::Fp32],
    check: accept,
    device: only_device,
    register: |_, _, _| Ok(Vec::new()),
    // In the other layout ONNX Runtime moves sizes about by nodes of its own, which it gives to the
    // CPU.
    plugin_options: |_, _| vec![("preferredLayout".into(), "NCHW".into())],
    software_variable: Some("ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER"),
    no_device: NO_DEVICE,
    diagnose,
    float32: Float32Error::OF_CHOSEN_KERNELS,
};

/// The reason and the remedy where WebGPU has nothing to compute on.
const NO_DEVICE: &str =
    "there is no GPU that it can use; install its driver and Vulkan (`vulkaninfo` lists what there is)";

/// Recognises that a device was offered which no graphics interface can open, or that lacks 16-bit
/// floats.
fn diagnose(provider: Provider, message: &str) -> Option<ProviderError> {
    if message.contains("requires f16 but the device does not support it") {
        return Some(ProviderError::NoHalf { provider });
    }
    let is_without = message.contains("Failed to get a WebGPU adapter");
    is_without.then_some(ProviderError::NoDevice { provider, remedy: NO_DEVICE })
}
