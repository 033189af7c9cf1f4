//! Checks and messages that CUDA and TensorRT share: the GPU, the driver and TensorFloat-32.

use std::env;
use std::ffi::OsStr;

use super::error::ProviderError;
use super::kind::Provider;
use super::options::{ComputePrecision, Options};
use crate::nvidia::{Driver, Gpu, TF32_VARIABLE};

/// The way in which a provider computes products of float32 values if [`TF32_VARIABLE`] is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tf32Default {
    /// As the provider's own option says.
    Off,
    /// In TensorFloat-32.
    On,
}

/// Returns the GPU that the options choose, as the driver describes it.
///
/// # Errors
/// When there is no driver, an old one, or no such GPU.
pub(super) fn chosen(options: &Options) -> Result<Gpu, ProviderError> {
    let driver = Driver::query()?;
    if driver.is_old {
        return Err(driver.into());
    }
    let (id, gpus) = (options.device_id.unwrap_or(0), driver.gpus.len());
    driver.gpus.into_iter().nth(id as usize).ok_or(ProviderError::NoSuchGpu { id, gpus })
}

/// Checks that NVIDIA's libraries compute as precisely as the options ask for.
///
/// # Errors
/// When [`TF32_VARIABLE`] contradicts the precision; it overrules an option of the provider.
pub(super) fn check_tf32(options: &Options, default: Tf32Default) -> Result<(), ProviderError> {
    check_variable(options, default, env::var_os(TF32_VARIABLE).as_deref())
}

/// Checks the value of the variable against the precision.
fn check_variable(
    &Options { provider, precision, .. }: &Options,
    default: Tf32Default,
    variable: Option<&OsStr>,
) -> Result<(), ProviderError> {
    let (is_off, is_set) = (variable.is_some_and(|value| value == "0"), variable.is_some());
    match precision {
        ComputePrecision::Fp32 if !is_off && (is_set || default == Tf32Default::On) => {
            Err(ProviderError::Tf32 { provider })
        }
        ComputePrecision::Tf32 if is_off => Err(ProviderError::NoTf32 { provider }),
        _ => Ok(()),
    }
}

/// Recognises what CUDA, cuDNN and ONNX Runtime say of a GPU that cannot be used.
pub(super) fn diagnose(provider: Provider, message: &str) -> Option<ProviderError> {
    if let Some(start) = message.find("no kernel image") {
        let reason = message[start..].split([';', '\n']).next().unwrap_or_default().trim().to_owned();
        return Some(ProviderError::NoKernels { provider, id: 0, gpu: None, reason });
    }
    // `CUDA failure <number>: <reason> ; GPU=...`
    let reason = message.split_once("CUDA failure ")?.1.split(" ;").next()?.trim();
    let reason = reason.split_once(": ").map_or(reason, |(_, reason)| reason);
    let no_device = ["driver version", "no CUDA-capable device"].iter().any(|part| reason.contains(part));
    no_device.then(|| ProviderError::Gpu { reason: reason.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let default = if provider == TensorRt { Tf32Default::On } else { Tf32Default::Off };
            let found =
                check_variable(&options, default, variable.map(OsStr::new)).err().map(|error| error.to_string());
            let is_right = match (&found, expected) {
                (Some(found), Some(part)) => found.contains(part) && found.contains(&provider.to_string()),
                (found, expected) => found.is_none() && expected.is_none(),
            };
            assert!(is_right, "{provider} {precision} {variable:?}: {found:?}");
        }
    }
}
