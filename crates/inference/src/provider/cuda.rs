//! The CUDA provider.

use ort::ep::cuda::ConvAlgorithmSearch;
use ort::ep::{ArenaExtendStrategy, CUDA, ExecutionProvider as _};

use super::gpu;
use super::kind::Provider;
use super::options::{ComputePrecision, OptionError, OptionName, Options};
use super::spec::{Float32Error, Spec, no_plugin_options};
use crate::library::Build;
use crate::nvidia;

pub(crate) const SPEC: Spec = Spec {
    provider: Provider::Cuda,
    name: "CUDA",
    flag: "cuda",
    ort_name: CUDA::NAME,
    build: Build::Gpu,
    plugin: None,
    library: Some("libonnxruntime_providers_cuda.so"),
    needs: &[
        ("libcuda.", DRIVER_REMEDY),
        ("libnvidia", DRIVER_REMEDY),
        ("libcudnn", "install cuDNN 9 (`pip install nvidia-cudnn-cu13`)"),
        ("libcu", CUDA_REMEDY),
        ("libnvrtc", CUDA_REMEDY),
    ],
    linked_with: Some("CUDA 13 and cuDNN 9"),
    fallback: Some(Provider::Cpu),
    is_nvidia: true,
    builds_engine: false,
    gains_from_lanes: false,
    gains_from_one_size: false,
    strict_entries: &[],
    options: &[OptionName::DeviceId, OptionName::MemoryLimit, OptionName::CudaGraph],
    precisions: &[ComputePrecision::Fp32, ComputePrecision::Tf32],
    check,
    device: |options| options.cuda_graph.then(|| "GPU with `--cuda-graph`".to_owned()),
    register: |_, options, _| {
        nvidia::preload();
        // The provider turns TensorFloat-32 on and off by an option of its own.
        gpu::check_tf32(options, gpu::Tf32Default::Off)?;
        Ok(vec![provider(options).into()])
    },
    plugin_options: no_plugin_options,
    software_variable: None,
    no_device: "",
    diagnose: gpu::diagnose,
    float32: Float32Error::OF_CHOSEN_KERNELS,
};

const DRIVER_REMEDY: &str = "install the NVIDIA driver";
const CUDA_REMEDY: &str =
    "install CUDA 13 (`pip install nvidia-cublas nvidia-cuda-runtime nvidia-curand nvidia-cufft`)";

/// Refuses float16.
fn check(options: &Options) -> Result<(), OptionError> {
    match options.precision {
        ComputePrecision::Fp16 => Err(options.refuse("precision fp16", ": it computes in the type that the model has")),
        ComputePrecision::Fp32 | ComputePrecision::Tf32 => Ok(()),
    }
}

/// Configures the provider: exact float32 unless TensorFloat-32 is asked for, and no cost per image
/// size beyond the first convolution plan.
pub(super) fn provider(options: &Options) -> CUDA {
    let mut provider = CUDA::default()
        // TensorFloat-32 keeps 10 bits of each factor: far from what the other providers compute.
        .with_tf32(options.precision == ComputePrecision::Tf32)
        // The exhaustive search times every algorithm again for each size of image.
        .with_conv_algorithm_search(ConvAlgorithmSearch::Heuristic)
        // Doubling the arena for one large image would keep twice its memory for good.
        .with_arena_extend_strategy(ArenaExtendStrategy::SameAsRequested);
    if let Some(id) = options.device_id {
        provider = provider.with_device_id(id.cast_signed());
    }
    if options.cuda_graph {
        provider = provider.with_cuda_graph(true);
    }
    if let Some(bytes) = options.memory_limit_bytes {
        provider = provider.with_memory_limit(bytes);
    }
    provider
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_reach_onnx_runtime_under_its_names() {
        let set = Options {
            device_id: Some(2),
            precision: ComputePrecision::Tf32,
            memory_limit_bytes: Some(1 << 30),
            cuda_graph: true,
            ..Options::default()
        };
        for (options, key, value) in [
            (Options::default(), "use_tf32", "false"),
            (Options::default(), "cudnn_conv_algo_search", "HEURISTIC"),
            (Options::default(), "arena_extend_strategy", "kSameAsRequested"),
            (set.clone(), "use_tf32", "true"),
            (set.clone(), "device_id", "2"),
            (set.clone(), "enable_cuda_graph", "true"),
            (set, "gpu_mem_limit", "1073741824"),
        ] {
            let text = format!("{:?}", provider(&options));
            assert!(text.contains(&format!("{key:?}: {value:?}")), "{key}: {text}");
        }
    }
}
