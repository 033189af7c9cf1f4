//! The OpenVINO provider.

use ort::ep::OpenVINO;

use super::{Options, Precision};

/// The provider as it is used here: in float32 unless float16 is asked for.
///
/// Left to itself, OpenVINO computes in bfloat16 on processors that have it.
pub(super) fn provider(options: &Options) -> OpenVINO {
    let precision = if options.precision == Precision::Fp16 { "FP16" } else { "FP32" };
    let provider = OpenVINO::default().with_device_type(options.openvino_device()).with_precision(precision);
    match options.threads {
        Some(threads) => provider.with_num_threads(threads.get()),
        None => provider,
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    #[test]
    fn options_reach_onnx_runtime_under_its_names() {
        let gpu = Options { openvino_device: Some("GPU".into()), precision: Precision::Fp16, ..Options::default() };
        let threads = Options { threads: NonZeroUsize::new(3), ..Options::default() };
        for (options, key, value) in [
            (Options::default(), "device_type", "CPU"),
            (Options::default(), "precision", "FP32"),
            (gpu.clone(), "device_type", "GPU"),
            (gpu, "precision", "FP16"),
            (threads, "num_of_threads", "3"),
        ] {
            let text = format!("{:?}", provider(&options));
            assert!(text.contains(&format!("{key:?}: {value:?}")), "{key}: {text}");
        }
    }
}
