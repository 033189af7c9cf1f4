//! The TensorRT provider.
//!
//! TensorRT builds an engine before it first runs a model, which takes minutes. The provider gets
//! the range of input sizes beforehand, so that one engine serves all images and can be cached.
//!
//! TensorRT computes in TensorFloat-32 by default, and the provider has no option for it: only an
//! environment variable turns it off.

use std::path::Path;

use ort::ep::{ExecutionProvider as _, ExecutionProviderDispatch, TensorRT};
use seg_contract::Input;

use super::engines::EngineKey;
use super::error::ProviderError;
use super::kind::Provider;
use super::options::{ComputePrecision, OptionName, Options};
use super::spec::{Float32Error, Spec, accept, no_plugin_options, only_device};
use super::{cuda, gpu};
use crate::library::Build;
use crate::nvidia;

pub(crate) const SPEC: Spec = Spec {
    provider: Provider::TensorRt,
    name: "TensorRT",
    flag: "tensorrt",
    ort_name: TensorRT::NAME,
    build: Build::Gpu,
    plugin: None,
    library: Some("libonnxruntime_providers_tensorrt.so"),
    needs: &[("libnvinfer", REMEDY), ("libnvonnxparser", REMEDY)],
    linked_with: Some("CUDA 13, cuDNN 9 and TensorRT 10"),
    fallback: Some(Provider::Cuda),
    is_nvidia: true,
    builds_engine: true,
    gains_from_lanes: false,
    gains_from_one_size: false,
    strict_entries: &[],
    options: &[OptionName::DeviceId, OptionName::MemoryLimit, OptionName::BuilderLevel, OptionName::Shapes],
    precisions: &[ComputePrecision::Fp32, ComputePrecision::Tf32, ComputePrecision::Fp16],
    check: accept,
    device: only_device,
    register,
    plugin_options: no_plugin_options,
    software_variable: None,
    no_device: "",
    diagnose: gpu::diagnose,
    float32: Float32Error::OF_CHOSEN_KERNELS,
};

const REMEDY: &str = "install TensorRT 10 (`pip install 'tensorrt-cu13-libs<11'`)";

/// Registers TensorRT, and CUDA after it where a fallback is allowed.
fn register(
    input: &Input,
    options: &Options,
    engines: Option<&Path>,
) -> Result<Vec<ExecutionProviderDispatch>, ProviderError> {
    nvidia::preload();
    gpu::check_tf32(options, gpu::Tf32Default::On)?;
    let mut providers = vec![provider(input, options, engines).into()];
    if options.allow_fallback {
        // CUDA computes what TensorRT leaves faster than the CPU does.
        providers.push(cuda::provider(options).into());
    }
    Ok(providers)
}

/// Configures the provider, with the folder in which it keeps and finds its engine.
fn provider(input: &Input, options: &Options, engines: Option<&Path>) -> TensorRT {
    let [min, best, max] = options.shapes(input).profile(input);
    let mut provider = TensorRT::default()
        .with_device_id(options.device_id.unwrap_or(0).cast_signed())
        .with_fp16(options.precision == ComputePrecision::Fp16)
        .with_profile_min_shapes(min)
        .with_profile_opt_shapes(best)
        .with_profile_max_shapes(max);
    if let Some(level) = options.builder_level {
        provider = provider.with_builder_optimization_level(level);
    }
    if let Some(bytes) = options.memory_limit_bytes {
        provider = provider.with_max_workspace_size(bytes);
    }
    let Some(folder) = engines.map(Path::display) else { return provider };
    provider
        .with_engine_cache(true)
        .with_engine_cache_path(&folder)
        .with_timing_cache(true)
        .with_timing_cache_path(&folder)
}

/// Returns the key under which the engine of a model is cached; `model` is the content of its file.
///
/// # Errors
/// When there is no driver, no such GPU or no TensorRT.
pub(crate) fn engine_key<'a>(
    model: &'a [u8],
    input: &Input,
    options: &Options,
) -> Result<EngineKey<'a>, ProviderError> {
    let architecture = gpu::chosen(options)?.architecture;
    let tensorrt = nvidia::tensorrt_version()?;
    Ok(EngineKey {
        model,
        tensorrt: tensorrt.to_string(),
        runtime: ort::info().into(),
        architecture,
        options: describe(input, options),
    })
}

/// Lists the options that change an engine.
pub(super) fn describe(input: &Input, options: &Options) -> String {
    // All fields are named, so that a new one cannot be forgotten here.
    let Options {
        precision,
        builder_level,
        memory_limit_bytes,
        allow_fallback,
        // Parts of the shapes below.
        shapes: _,
        tile: _,
        batch_max: _,
        // The key names the GPU's architecture itself.
        device_id: _,
        // They change nothing in an engine.
        provider: _,
        instead: _,
        threads: _,
        shared_threads: _,
        one_shape_pixels_max: _,
        cuda_graph: _,
        openvino_device: _,
        plugin_library: _,
        named_plugin: _,
        engines: _,
        runtime_cache: _,
    } = options;
    let shapes = options.shapes(input);
    format!("{precision} {shapes} {builder_level:?} {memory_limit_bytes:?} {allow_fallback}")
}

#[cfg(test)]
mod tests {
    use seg_contract::{ColorOrder, InputForm, Reading, SizePolicy};

    use super::*;

    fn input() -> Input {
        let size = SizePolicy::Resize { height: 64, width: 96 };
        Input {
            name: "x".into(),
            color: ColorOrder::Rgb,
            mean: vec![0.5; 3],
            std: vec![0.5; 3],
            size,
            side_min: 16,
            side_multiple: 1,
            form: InputForm::default(),
            reading: Reading::default(),
        }
    }

    #[test]
    fn options_reach_onnx_runtime_under_its_names() {
        let set = Options {
            device_id: Some(1),
            precision: ComputePrecision::Fp16,
            builder_level: Some(5),
            memory_limit_bytes: Some(1 << 30),
            shapes: Some("1x16x16,2x32x32,4x64x64".parse().unwrap()),
            ..Options::default()
        };
        for (options, key, value) in [
            (Options::default(), "device_id", "0"),
            (Options::default(), "trt_fp16_enable", "false"),
            (Options::default(), "trt_profile_min_shapes", "x:1x3x64x96"),
            (Options::default(), "trt_profile_max_shapes", "x:8x3x64x96"),
            (Options::default(), "trt_engine_cache_enable", "true"),
            (Options::default(), "trt_engine_cache_path", "/engines"),
            (Options::default(), "trt_timing_cache_enable", "true"),
            (Options::default(), "trt_timing_cache_path", "/engines"),
            (set.clone(), "device_id", "1"),
            (set.clone(), "trt_fp16_enable", "true"),
            (set.clone(), "trt_builder_optimization_level", "5"),
            (set.clone(), "trt_max_workspace_size", "1073741824"),
            (set, "trt_profile_opt_shapes", "x:2x3x32x32"),
        ] {
            let text = format!("{:?}", provider(&input(), &options, Some(Path::new("/engines"))));
            assert!(text.contains(&format!("{key:?}: {value:?}")), "{key}: {text}");
        }
        let text = format!("{:?}", provider(&input(), &Options::default(), None));
        assert!(!text.contains("cache"), "{text}");
    }

    #[test]
    fn options_that_change_an_engine_change_its_key() {
        let default = Options::default();
        let mut keys: Vec<_> = [
            default.clone(),
            Options { precision: ComputePrecision::Fp16, ..default.clone() },
            Options { precision: ComputePrecision::Tf32, ..default.clone() },
            Options { builder_level: Some(3), ..default.clone() },
            Options { memory_limit_bytes: Some(1), ..default.clone() },
            Options { allow_fallback: true, ..default.clone() },
            Options { shapes: Some("1x1x1,1x1x1,1x1x1".parse().unwrap()), ..default },
        ]
        .map(|options| describe(&input(), &options))
        .into();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 7);
    }
}
