//! The CUDA provider.

use ort::ep::{ArenaExtendStrategy, CUDA, cuda::ConvAlgorithmSearch};

/// The provider as it is used here: exact float32, and no cost per image size beyond the first convolution plan.
pub(super) fn provider() -> CUDA {
    CUDA::default()
        // TensorFloat-32 keeps 10 bits of each factor: far from what the other providers compute.
        .with_tf32(false)
        // The exhaustive search times every algorithm again for each size of image.
        .with_conv_algorithm_search(ConvAlgorithmSearch::Heuristic)
        // Doubling the arena for one large image would keep twice its memory for good.
        .with_arena_extend_strategy(ArenaExtendStrategy::SameAsRequested)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_reach_onnx_runtime_under_its_names() {
        let options = format!("{:?}", provider());
        for (key, value) in [
            ("use_tf32", "false"),
            ("cudnn_conv_algo_search", "HEURISTIC"),
            ("arena_extend_strategy", "kSameAsRequested"),
        ] {
            assert!(options.contains(&format!("{key:?}: {value:?}")), "{key}: {options}");
        }
    }
}
