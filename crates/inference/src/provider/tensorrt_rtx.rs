//! The provider of TensorRT for RTX, by a plug-in that brings TensorRT's libraries along: NVIDIA
//! GPUs from Ampere on, except those of data centres.
//!
//! As TensorRT does, it builds an engine for a range of sizes before it first runs a model, in
//! seconds instead of minutes, and computes in TensorFloat-32 unless an environment variable turns
//! it off.

use seg_contract::Input;

use super::gpu;
use super::kind::Provider;
use super::options::{ComputePrecision, OptionName, Options};
use super::spec::{Float32Error, Spec, accept, only_device};
use crate::library::{Build, Plugin};
use crate::nvidia;

pub(crate) const SPEC: Spec = Spec {
    provider: Provider::TensorRtRtx,
    name: "TensorRT for RTX",
    flag: "tensorrt-rtx",
    ort_name: "NvTensorRTRTXExecutionProvider",
    build: Build::Cpu,
    plugin: Some(Plugin::TensorRtRtx),
    library: Some("libonnxruntime_providers_nv_tensorrt_rtx.so"),
    needs: &[("libnvidia-ml", "install the NVIDIA driver")],
    linked_with: Some("an NVIDIA driver for CUDA 13"),
    fallback: Some(Provider::Cpu),
    is_nvidia: true,
    builds_engine: false,
    gains_from_lanes: false,
    strict_entries: &[],
    options: &[OptionName::DeviceId, OptionName::MemoryLimit, OptionName::CudaGraph, OptionName::Shapes],
    precisions: &[ComputePrecision::Fp32, ComputePrecision::Tf32],
    check: accept,
    device: only_device,
    register: |_, options, _| {
        nvidia::preload();
        gpu::check_tf32(options, gpu::Tf32Default::On)?;
        Ok(Vec::new())
    },
    plugin_options,
    software_variable: None,
    no_device: "it takes NVIDIA's GeForce RTX and RTX GPUs from Ampere on (compute capability 8.6, 8.9 or 12) with a driver \
                for CUDA 13; `seg doctor` shows the driver and the GPUs, and those of data centres take `--ep tensorrt`",
    diagnose: gpu::diagnose,
    float32: Float32Error::OF_CHOSEN_KERNELS,
};

/// Lists the provider's options for a model with the given input.
fn plugin_options(input: &Input, options: &Options) -> Vec<(&'static str, String)> {
    let [min, best, max] = options.shapes(input).profile(input);
    let mut list =
        vec![("nv_profile_min_shapes", min), ("nv_profile_opt_shapes", best), ("nv_profile_max_shapes", max)];
    if let Some(bytes) = options.memory_limit_bytes {
        list.push(("nv_max_workspace_size", bytes.to_string()));
    }
    if options.cuda_graph {
        list.push(("enable_cuda_graph", "1".into()));
    }
    list
}

#[cfg(test)]
mod tests {
    use seg_contract::SizePolicy;

    use super::*;
    use crate::threshold;

    #[test]
    fn options_reach_the_plug_in_under_its_names() {
        let input = threshold::model(SizePolicy::Native).contract.input;
        let set = Options {
            memory_limit_bytes: Some(1 << 30),
            cuda_graph: true,
            shapes: Some("1x16x16,2x32x32,4x64x64".parse().unwrap()),
            ..Options::default()
        };
        let name = &input.name;
        for (key, value) in [
            ("nv_profile_min_shapes", format!("{name}:1x3x16x16")),
            ("nv_profile_opt_shapes", format!("{name}:2x3x32x32")),
            ("nv_profile_max_shapes", format!("{name}:4x3x64x64")),
            ("nv_max_workspace_size", "1073741824".into()),
            ("enable_cuda_graph", "1".into()),
        ] {
            assert!(plugin_options(&input, &set).contains(&(key, value)), "{key}");
        }
        assert_eq!(plugin_options(&input, &Options::default()).len(), 3);
    }
}
