//! The OpenVINO provider, and the devices that OpenVINO finds.

#![allow(unsafe_code, reason = "calls ONNX Runtime's C interface, which `ort` does not wrap")]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::Path;
use std::{ptr, slice};

use libloading::{Library, Symbol};
use ort::ep::OpenVINO;

use super::{ComputePrecision, Options};
use crate::library::loader_message;

/// OpenVINO's C interface, which lies beside ONNX Runtime's library where that is built with OpenVINO.
const LIBRARY: &str = "libopenvino_c.so";

/// The provider as it is used here: in float32 unless float16 is asked for.
///
/// Left to itself, OpenVINO computes in bfloat16 on processors that have it.
pub(super) fn provider(options: &Options) -> OpenVINO {
    let precision = if options.precision == ComputePrecision::Fp16 { "FP16" } else { "FP32" };
    let provider = OpenVINO::default().with_device_type(options.openvino_device()).with_precision(precision);
    match options.threads {
        Some(threads) => provider.with_num_threads(threads.get()),
        None => provider,
    }
}

/// `ov_available_devices_t`: names, and how many they are.
#[repr(C)]
struct Devices {
    names: *mut *mut c_char,
    count: usize,
}

/// The devices that OpenVINO finds, by its names, as in `CPU` and `GPU.0`; `onnx_runtime` is the library that is built with it.
///
/// # Errors
/// With what OpenVINO or the system's loader says.
pub fn openvino_devices(onnx_runtime: &Path) -> Result<Vec<String>, String> {
    let missing = |error: libloading::Error| format!("{LIBRARY}: {}", loader_message(&error));
    // SAFETY: the signatures are those of `ov_core.h` since 2022.3; what it hands out is freed by its own functions.
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
}
