//! The CUDA provider.

use ort::ep::cuda::ConvAlgorithmSearch;
use ort::ep::{ArenaExtendStrategy, CUDA};

use super::{ComputePrecision, Options};

/// The provider as it is used here: exact float32 unless TensorFloat-32 is asked for, and no cost per image size beyond
/// the first convolution plan.
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
