//! The OpenVINO provider, and the devices that OpenVINO finds.

#![allow(unsafe_code, reason = "calls ONNX Runtime's C interface, which `ort` does not wrap")]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::Path;
use std::{ptr, slice};

use libloading::{Library, Symbol};
use ort::ep::{ExecutionProvider as _, OpenVINO};
use ort::memory::DeviceType;

use super::error::ProviderError;
use super::kind::Provider;
use super::options::{ComputePrecision, OptionError, OptionName, Options};
use super::spec::{Float32Error, Spec};
use crate::library::{Build, Plugin, loader_message};

pub(crate) const SPEC: Spec = Spec {
    provider: Provider::OpenVino,
    name: "OpenVINO",
    flag: "openvino",
    ort_name: OpenVINO::NAME,
    build: Build::OpenVino,
    plugin: Some(Plugin::OpenVino),
    library: Some(BUILT_IN),
    needs: &[],
    linked_with: None,
    fallback: Some(Provider::Cpu),
    is_nvidia: false,
    builds_engine: false,
    gains_from_lanes: false,
    gains_from_one_size: false,
    // The provider reads this entry too: it would compile for its CPU what its NPU cannot, and the
    // placement would not show it.
    strict_entries: &[("session.disable_cpu_ep_fallback", "1")],
    options: &[OptionName::OpenVinoDevice],
    precisions: &[ComputePrecision::Fp32, ComputePrecision::Fp16],
    check,
    device: |options| Some(device(options).to_owned()),
    register: |_, options, _| Ok(vec![provider(options).into()]),
    plugin_options: |_, options| vec![("load_config".into(), load_config(options))],
    software_variable: None,
    no_device: "OpenVINO's plug-in takes Intel's processors, GPUs and NPUs alone; on others, choose `--ep openvino` \
                without `--ep-library`, which takes ONNX Runtime's build with OpenVINO,",
    diagnose,
    float32: Float32Error::OF_CHOSEN_KERNELS,
};

/// The file that holds the provider in a build of ONNX Runtime with OpenVINO.
pub(crate) const BUILT_IN: &str = "libonnxruntime_providers_openvino.so";

/// The device unless the options name another one.
const CPU: &str = "CPU";

/// The beginnings of the names of virtual devices, which hand a model to devices of their own
/// choice.
const CHOOSING_DEVICES: [&str; 3] = ["AUTO", "HETERO", "MULTI"];

/// OpenVINO's C interface, which lies beside ONNX Runtime's library where that is built with
/// OpenVINO.
const LIBRARY: &str = "libopenvino_c.so";

/// Returns the device that the options name, or OpenVINO's CPU.
fn device(options: &Options) -> &str {
    options.openvino_device.as_deref().unwrap_or(CPU)
}

/// Refuses a device that chooses among devices, unless a fallback is allowed, and float16 on
/// OpenVINO's CPU.
fn check(options: &Options) -> Result<(), OptionError> {
    let name = device(options);
    let chooses = CHOOSING_DEVICES.iter().any(|start| name.to_ascii_uppercase().starts_with(start));
    if chooses && !options.allow_fallback {
        let reason = " without `--allow-fallback`: it chooses among devices by itself; name one of them";
        return Err(options.refuse(&format!("openvino-device {name}"), reason));
    }
    if name == CPU && options.precision == ComputePrecision::Fp16 {
        return Err(options.refuse("precision fp16", " on its CPU; choose another `--openvino-device`"));
    }
    Ok(())
}

/// Recognises `... [OpenVINO] Device <name> is not available`.
fn diagnose(_: Provider, message: &str) -> Option<ProviderError> {
    let (_, reason) = message.split_once("[OpenVINO] ").filter(|(_, reason)| reason.starts_with("Device"))?;
    Some(ProviderError::OpenVinoDevice { reason: reason.trim().into() })
}

/// Configures the provider: in float32 unless float16 is asked for.
///
/// Left to itself, OpenVINO computes in bfloat16 on processors that have it.
fn provider(options: &Options) -> OpenVINO {
    let precision = if options.precision == ComputePrecision::Fp16 { "FP16" } else { "FP32" };
    OpenVINO::default()
        .with_device_type(device(options))
        .with_precision(precision)
        .with_num_threads(options.threads().get())
}

/// Returns whether this is an Intel processor, the only ones that OpenVINO's plug-in computes on.
pub(super) fn is_intel() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        let found = std::arch::x86_64::__cpuid(0);
        let name = [found.ebx, found.edx, found.ecx].map(u32::to_le_bytes).concat();
        name == b"GenuineIntel"
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Returns the kind of hardware and the number in the name of a device, as in `GPU.1`; no kind for
/// a device that chooses among others.
pub(super) fn kind_and_number(options: &Options) -> (Option<DeviceType>, u32) {
    let name = device(options).to_ascii_uppercase();
    let (kind, number) = name.split_once('.').unwrap_or((&name, "0"));
    let kind = match kind {
        "CPU" => Some(DeviceType::CPU),
        "GPU" => Some(DeviceType::GPU),
        "NPU" => Some(DeviceType::NPU),
        _ => None,
    };
    number.parse().map_or((None, 0), |number| (kind, number))
}

/// Returns the configuration that the plug-in is given: the same precision and threads as the
/// [built-in provider](provider).
fn load_config(options: &Options) -> String {
    let precision = if options.precision == ComputePrecision::Fp16 { "f16" } else { "f32" };
    let kind = device(options).split('.').next().unwrap_or(CPU);
    let threads =
        if kind == CPU { format!(r#", "INFERENCE_NUM_THREADS": "{}""#, options.threads()) } else { String::new() };
    format!(r#"{{"{kind}": {{"INFERENCE_PRECISION_HINT": "{precision}"{threads}}}}}"#)
}

/// `ov_available_devices_t`: names, and how many they are.
#[repr(C)]
struct Devices {
    names: *mut *mut c_char,
    count: usize,
}

/// Lists the devices that OpenVINO finds, by its names, as in `CPU` and `GPU.0`.
///
/// `onnx_runtime` is the path of a library that is built with OpenVINO.
///
/// # Errors
/// With what OpenVINO or the system's loader says.
pub fn openvino_devices(onnx_runtime: &Path) -> Result<Vec<String>, String> {
    let missing = |error: libloading::Error| format!("{LIBRARY}: {}", loader_message(&error));
    // SAFETY: the signatures are those of `ov_core.h` since 2022.3; what it hands out is freed by
    // its own functions.
    unsafe {
        let library = Library::new(onnx_runtime.with_file_name(LIBRARY)).map_err(missing)?;
        let create: Symbol<'_, unsafe extern "C" fn(*mut *mut c_void) -> c_int> =
            library.get(b"ov_core_create\0").map_err(missing)?;
        let list: Symbol<'_, unsafe extern "C" fn(*const c_void, *mut Devices) -> c_int> =
            library.get(b"ov_core_get_available_devices\0").map_err(missing)?;
        let free_list: Symbol<'_, unsafe extern "C" fn(*mut Devices)> =
            library.get(b"ov_available_devices_free\0").map_err(missing)?;
        let free: Symbol<'_, unsafe extern "C" fn(*mut c_void)> = library.get(b"ov_core_free\0").map_err(missing)?;
        let (mut core, mut devices) = (ptr::null_mut(), Devices { names: ptr::null_mut(), count: 0 });
        let begun = create(&raw mut core);
        if begun != 0 {
            return Err(format!("{LIBRARY}: it does not start: error {begun}"));
        }
        let listed = list(core, &raw mut devices);
        let mut names = Vec::new();
        if listed == 0 && !devices.names.is_null() {
            let name = |name: &*mut c_char| CStr::from_ptr(*name).to_string_lossy().into_owned();
            names = slice::from_raw_parts(devices.names, devices.count).iter().map(name).collect();
            free_list(&raw mut devices);
        }
        free(core);
        if listed == 0 { Ok(names) } else { Err(format!("{LIBRARY}: it lists no devices: error {listed}")) }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    #[test]
    fn options_reach_onnx_runtime_under_its_names() {
        let gpu =
            Options { openvino_device: Some("GPU".into()), precision: ComputePrecision::Fp16, ..Options::default() };
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

    #[test]
    fn the_plug_in_is_told_the_same_and_given_the_device_by_its_kind() {
        let of = |device: &str| Options { openvino_device: Some(device.into()), ..Options::default() };
        let threads = Options { threads: NonZeroUsize::new(3), ..Options::default() };
        let half = Options { precision: ComputePrecision::Fp16, ..of("GPU.1") };
        for (options, expected, place) in [
            (
                threads,
                r#"{"CPU": {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": "3"}}"#,
                (Some(DeviceType::CPU), 0),
            ),
            (half, r#"{"GPU": {"INFERENCE_PRECISION_HINT": "f16"}}"#, (Some(DeviceType::GPU), 1)),
            (of("NPU"), r#"{"NPU": {"INFERENCE_PRECISION_HINT": "f32"}}"#, (Some(DeviceType::NPU), 0)),
        ] {
            assert_eq!((load_config(&options).as_str(), kind_and_number(&options)), (expected, place), "{options:?}");
        }
        assert_eq!(kind_and_number(&of("AUTO:GPU,CPU")).0, None);
    }
}
