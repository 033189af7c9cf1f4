//! The TensorRT provider.
//!
//! TensorRT builds an engine before it first runs a model, which takes minutes. It is told all sizes of input
//! beforehand, so that one engine does for all images and can be kept.
//!
//! TensorFloat-32 is TensorRT's default and no option of the provider: only an environment variable turns it off.

use std::env;
use std::ffi::OsStr;
use std::path::Path;

use ort::ep::TensorRT;
use seg_contract::Input;

use super::{ComputePrecision, EngineKey, Options, Provider, ProviderError, gpu};
use crate::nvidia;

/// Set to 0, it keeps NVIDIA's libraries from computing in TensorFloat-32.
pub const TF32_VARIABLE: &str = "NVIDIA_TF32_OVERRIDE";

/// The provider as it is used here, with the folder in which it keeps and finds its engine.
pub(super) fn provider(input: &Input, options: &Options, engines: Option<&Path>) -> TensorRT {
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

/// Makes sure that NVIDIA's libraries compute as precisely as is asked for.
///
/// CUDA's provider has an option of its own, which the variable goes before.
pub(super) fn check_precision(options: &Options) -> Result<(), ProviderError> {
    agree(options, env::var_os(TF32_VARIABLE).as_deref())
}

/// Whether the variable, where it is set, leaves what is asked for.
fn agree(&Options { provider, precision, .. }: &Options, variable: Option<&OsStr>) -> Result<(), ProviderError> {
    let (is_off, is_set) = (variable.is_some_and(|value| value == "0"), variable.is_some());
    match precision {
        ComputePrecision::Fp32 if !is_off && (is_set || provider == Provider::TensorRt) => {
            Err(ProviderError::Tf32 { provider })
        }
        ComputePrecision::Tf32 if is_off => Err(ProviderError::NoTf32 { provider }),
        _ => Ok(()),
    }
}

/// Under what the engine of a model, whose bytes are given, is kept.
///
/// # Errors
/// When there is no driver, no such GPU or no TensorRT.
pub(crate) fn engine_key<'a>(
    model: &'a [u8],
    input: &Input,
    options: &Options,
) -> Result<EngineKey<'a>, ProviderError> {
    let architecture = gpu(options)?.architecture;
    let tensorrt = nvidia::tensorrt_version()?;
    Ok(EngineKey {
        model,
        tensorrt: tensorrt.to_string(),
        runtime: ort::info().into(),
        architecture,
        options: describe(input, options),
    })
}

/// The options that change an engine.
fn describe(input: &Input, options: &Options) -> String {
    let Options { precision, builder_level, memory_limit_bytes, allow_fallback, .. } = options;
    let shapes = options.shapes(input);
    format!("{precision} {shapes} {builder_level:?} {memory_limit_bytes:?} {allow_fallback}")
}

#[cfg(test)]
mod tests {
    use seg_contract::{ColorOrder, InputForm, SizePolicy};

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
    fn the_variable_contradicts_no_precision() {
        use ComputePrecision::{Fp16, Fp32, Tf32};
        use Provider::{Cuda, TensorRt};
        const UNSAID: &str = "would compute in TensorFloat-32; set NVIDIA_TF32_OVERRIDE=0";
        const OFF: &str = "NVIDIA_TF32_OVERRIDE=0 keeps";
        for (provider, precision, variable, expected) in [
            (Cuda, Fp32, None, None),
            (Cuda, Fp32, Some("0"), None),
            (Cuda, Fp32, Some("1"), Some(UNSAID)),
            (Cuda, Tf32, None, None),
            (Cuda, Tf32, Some("1"), None),
            (Cuda, Tf32, Some("0"), Some(OFF)),
            (TensorRt, Fp32, None, Some(UNSAID)),
            (TensorRt, Fp32, Some("0"), None),
            (TensorRt, Tf32, Some("0"), Some(OFF)),
            (TensorRt, Fp16, None, None),
            (TensorRt, Fp16, Some("0"), None),
        ] {
            let options = Options { provider, precision, ..Options::default() };
            let found = agree(&options, variable.map(OsStr::new)).err().map(|error| error.to_string());
            let is_right = match (&found, expected) {
                (Some(found), Some(part)) => found.contains(part) && found.contains(&provider.to_string()),
                (found, expected) => found.is_none() && expected.is_none(),
            };
            assert!(is_right, "{provider} {precision} {variable:?}: {found:?}");
        }
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
