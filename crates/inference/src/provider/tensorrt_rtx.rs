//! The provider of TensorRT for RTX, by a plug-in that brings TensorRT's libraries along: NVIDIA
//! GPUs from Ampere on, except those of data centres.
//!
//! As TensorRT does, it builds an engine for a range of sizes before it first runs a model, in
//! seconds instead of minutes, and computes in TensorFloat-32 unless an environment variable turns
//! it off.

use seg_contract::{Input, sha256};

use super::gpu;
use super::kind::Provider;
use super::options::{ComputePrecision, OptionName, Options};
use super::runtime_cache::RuntimeCache;
use super::spec::{Float32Error, Spec, accept, only_device};
use super::tensorrt::describe;
use crate::library::{Build, Plugin, loaded_version};
use crate::nvidia::{self, Gpu};

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
    gains_from_one_size: false,
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

/// Returns whether TensorRT for RTX takes a GPU: those of compute capability 8.6, 8.9 and 12.
pub(super) fn takes(gpu: &Gpu) -> bool {
    let is_blackwell = gpu.architecture.strip_prefix("sm_12").is_some_and(|minor| minor.len() == 1);
    is_blackwell || ["sm_86", "sm_89"].contains(&gpu.architecture.as_str())
}

/// Opens the part of the cache that is for a model, whose file has the given bytes, and for this
/// GPU, these versions and options; `None` without a cache or a GPU.
///
/// A cache that cannot be used is no reason not to run: the kernels are then compiled anew.
pub(crate) fn runtime_cache(model: &[u8], input: &Input, options: &Options) -> Option<RuntimeCache> {
    let folder = options.runtime_cache.as_ref().filter(|_| options.provider == Provider::TensorRtRtx)?;
    let architecture = gpu::chosen(options).ok()?.architecture;
    RuntimeCache::open(folder.join(key(model, input, options, &architecture))).ok()
}

/// Returns everything on which the compiled kernels depend, as the name of a folder.
fn key(model: &[u8], input: &Input, options: &Options, architecture: &str) -> String {
    const DIGITS: usize = 16;
    let settings = [
        Plugin::TensorRtRtx.package(),
        loaded_version().to_owned(),
        describe(input, options),
        format!("{}", options.cuda_graph),
    ];
    format!("{:.DIGITS$}-{architecture}-{:.DIGITS$}", sha256(model), sha256(settings.join("\n")))
}

/// Lists the provider's options for a model with the given input.
fn plugin_options(input: &Input, options: &Options) -> Vec<(String, String)> {
    let [min, best, max] = options.shapes(input).profile(input);
    let mut list =
        vec![("nv_profile_min_shapes", min), ("nv_profile_opt_shapes", best), ("nv_profile_max_shapes", max)];
    if let Some(bytes) = options.memory_limit_bytes {
        list.push(("nv_max_workspace_size", bytes.to_string()));
    }
    if options.cuda_graph {
        list.push(("enable_cuda_graph", "1".into()));
    }
    if let Some(folder) = &options.runtime_cache {
        list.push(("nv_runtime_cache_path", folder.display().to_string()));
    }
    list.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use seg_contract::SizePolicy;

    use super::*;
    use crate::threshold;

    #[test]
    fn gpus_of_data_centres_and_old_ones_are_not_taken() {
        for (architecture, taken) in
            [("sm_75", false), ("sm_80", false), ("sm_86", true), ("sm_89", true), ("sm_90", false), ("sm_100", false)]
                .into_iter()
                .chain([("sm_120", true), ("sm_121", true)])
        {
            let gpu = Gpu { name: "a GPU".into(), architecture: architecture.into(), memory_bytes: 1 };
            assert_eq!(takes(&gpu), taken, "{architecture}");
        }
    }

    #[test]
    fn options_reach_the_plug_in_under_its_names() {
        let input = threshold::model(SizePolicy::Native).contract.input;
        let set = Options {
            memory_limit_bytes: Some(1 << 30),
            cuda_graph: true,
            shapes: Some("1x16x16,2x32x32,4x64x64".parse().unwrap()),
            runtime_cache: Some("/cache".into()),
            ..Options::default()
        };
        let name = &input.name;
        for (key, value) in [
            ("nv_profile_min_shapes", format!("{name}:1x3x16x16")),
            ("nv_profile_opt_shapes", format!("{name}:2x3x32x32")),
            ("nv_profile_max_shapes", format!("{name}:4x3x64x64")),
            ("nv_max_workspace_size", "1073741824".into()),
            ("enable_cuda_graph", "1".into()),
            ("nv_runtime_cache_path", "/cache".into()),
        ] {
            assert!(plugin_options(&input, &set).contains(&(key.to_owned(), value)), "{key}");
        }
        assert_eq!(plugin_options(&input, &Options::default()).len(), 3);
    }

    #[test]
    fn whatever_changes_the_kernels_has_a_cache_of_its_own() {
        let input = threshold::model(SizePolicy::Native).contract.input;
        let default = Options::default();
        let mut keys = vec![
            key(b"one", &input, &default, "sm_89"),
            key(b"other", &input, &default, "sm_89"),
            key(b"one", &input, &default, "sm_120"),
        ];
        for options in [
            Options { precision: ComputePrecision::Tf32, ..default.clone() },
            Options { memory_limit_bytes: Some(1), ..default.clone() },
            Options { cuda_graph: true, ..default.clone() },
            Options { shapes: Some("1x1x1,1x1x1,1x1x1".parse().unwrap()), ..default.clone() },
        ] {
            keys.push(key(b"one", &input, &options, "sm_89"));
        }
        let same = Options { device_id: Some(1), ..default };
        assert_eq!(key(b"one", &input, &same, "sm_89"), keys[0]);
        let count = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), count);
    }
}
