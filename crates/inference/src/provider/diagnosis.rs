//! Reads from ONNX Runtime's messages why a provider cannot be used, and finds the remedy.

use std::path::Path;

use super::error::ProviderError;
use super::gpu;
use super::kind::Provider;
use super::options::Options;
use super::tensorrt_rtx;
use crate::library::{Build, foreign_machine, log};
use crate::nvidia::{ABSENT, Driver, NvidiaError, absence};

/// The beginning of the names of ONNX Runtime's own files.
const OWN: &str = "libonnxruntime";

/// The beginning of the name of the NVIDIA driver's library.
const DRIVER: &str = "libcuda.";

impl ProviderError {
    /// Makes the error for a library that cannot be loaded, with its remedy.
    fn from_library(library: &str, reason: &str) -> Self {
        let needed = Provider::ALL.iter().find_map(|provider| {
            let (_, remedy) = provider.spec().needs.iter().find(|(start, _)| library.starts_with(start))?;
            Some((provider.fallback().unwrap_or_default(), *remedy))
        });
        let (alternative, remedy) = needed.unwrap_or((Provider::Cpu, "install it"));
        // Some other reason comes from a driver that is installed.
        let is_installed = library.starts_with(DRIVER) && !reason.starts_with(ABSENT);
        let remedy = if is_installed { "check the GPU and its driver by `nvidia-smi`," } else { remedy };
        Self::Library { library: library.into(), reason: reason.into(), remedy: remedy.into(), alternative }
    }
}

impl From<NvidiaError> for ProviderError {
    fn from(error: NvidiaError) -> Self {
        Self::from_library(error.library, &error.reason).with_rtx(has_rtx)
    }
}

impl ProviderError {
    /// Names TensorRT for RTX, which brings its libraries along, in place of CUDA where TensorRT is
    /// missing and a GPU is there that it takes.
    fn with_rtx(self, has_rtx: impl Fn() -> bool) -> Self {
        match self {
            Self::Library { library, reason, remedy, alternative: Provider::Cuda } if has_rtx() => {
                Self::Library { library, reason, remedy, alternative: Provider::TensorRtRtx }
            }
            other => other,
        }
    }

    /// Says of a library that the user named that it is to be named differently.
    fn with_named_plugin(self, options: &Options) -> Self {
        let named = options.named_plugin.as_ref().filter(|_| options.provider == Provider::Plugin);
        let file = named.and_then(|named| named.library.file_name());
        match self {
            Self::Library { library, reason, .. } if file.is_some_and(|file| file == library.as_str()) => {
                Self::NamedLibrary { library, reason }
            }
            other => other,
        }
    }
}

/// Returns what a message says after ONNX Runtime's place, code and name of the failure.
pub(super) fn own_words(message: &str) -> &str {
    let told = message.rsplit_once("[ONNXRuntimeError] : ").map_or(message, |(_, told)| told);
    let mut parts = told.splitn(3, " : ");
    match (parts.next(), parts.next(), parts.next()) {
        (Some(code), Some(_), Some(words)) if code.trim().parse::<u32>().is_ok() => words.trim(),
        _ => told.trim(),
    }
}

/// Returns whether the driver shows a GPU that TensorRT for RTX takes.
fn has_rtx() -> bool {
    Driver::query().is_ok_and(|driver| !driver.is_old && driver.gpus.iter().any(tensorrt_rtx::takes))
}

/// Finds the reason in ONNX Runtime's message, and adds the remedy and what was found on this
/// machine.
pub(crate) fn diagnose(options: &Options, error: ort::Error) -> ProviderError {
    let Options { provider, .. } = *options;
    match provider.read(error.message(), absence).or_else(|| provider.read(&log::take(), absence)) {
        Some(ProviderError::Gpu { reason }) => match Driver::query() {
            Ok(driver) if driver.is_old => driver.into(),
            _ => ProviderError::Gpu { reason },
        },
        Some(ProviderError::NoKernels { provider, reason, .. }) => {
            let id = options.device_id.unwrap_or(0);
            let gpu = gpu::chosen(options).ok().map(|gpu| gpu.to_string());
            ProviderError::NoKernels { provider, id, gpu, reason }
        }
        Some(reason) => reason.with_rtx(has_rtx).with_named_plugin(options),
        None => ProviderError::Other { source: error },
    }
}

impl Provider {
    /// Returns the error that a message stands for, if it is a known one.
    ///
    /// `absence` describes what was found in place of a library that is missing.
    fn read(self, message: &str, absence: impl Fn(&str) -> String) -> Option<ProviderError> {
        let spec = self.spec();
        if ["is not enabled in this build", "is not supported in this build"].iter().any(|part| message.contains(part))
        {
            return spec.library.map(|library| ProviderError::NotBuilt { provider: self, library });
        }
        // `... Failed to load library <provider> with error: <library>: <reason>`
        let failure = message.split_once("with error: ").and_then(|(_, cause)| cause.split_once(": "));
        match failure {
            Some((library, reason)) => Some(self.read_load_failure(library, reason, absence)),
            None => (spec.diagnose)(self, message).or_else(|| self.read_refusal(message)),
        }
    }

    /// Returns the error for a plug-in that offered a device and cannot open it.
    fn read_refusal(self, message: &str) -> Option<ProviderError> {
        // `... PluginExecutionProviderFactory::CreateProvider(...) [...] : 1 : FAIL : <reason>`
        let (_, told) = message.split_once("PluginExecutionProviderFactory::CreateProvider")?;
        let reason = own_words(told).to_owned();
        Some(ProviderError::Unopened { provider: self, reason })
    }

    /// Returns the error for a library that the system's loader refuses.
    fn read_load_failure(self, library: &str, reason: &str, absence: impl Fn(&str) -> String) -> ProviderError {
        // A name alone is not a file of the working folder.
        let path = Path::new(library);
        let foreign = path.is_absolute().then(|| foreign_machine(path)).flatten();
        let library = library.rsplit('/').next().unwrap_or(library);
        let absent = foreign.is_none() && reason.trim().starts_with("cannot open shared object file");
        if let Some(own) = self.spec().library.filter(|own| absent && *own == library) {
            return ProviderError::NotBuilt { provider: self, library: own };
        }
        let reason = match foreign {
            Some(machine) => format!("built for {machine}, this program for {}", std::env::consts::ARCH),
            None if absent => absence(library),
            None => reason.trim().into(),
        };
        if !library.starts_with(OWN) {
            return ProviderError::from_library(library, &reason);
        }
        let (remedy, alternative) = (self.own_remedy(library, &reason), Provider::Cpu);
        ProviderError::Library { library: library.into(), reason, remedy, alternative }
    }

    /// Returns the remedy for a file of ONNX Runtime's own that exists and cannot be loaded.
    fn own_remedy(self, library: &str, reason: &str) -> String {
        let spec = self.spec();
        let is_built_in = spec.build != Build::Cpu && spec.library == Some(library);
        let setup = if is_built_in { spec.build.setup() } else { self.setup() };
        match spec.linked_with {
            // The libraries that it was linked with are there, in a version that lacks what it
            // needs.
            Some(software) if reason.contains("undefined symbol") => format!("install {software}"),
            _ => {
                format!("remove its folder, fetch it again with `{setup}`,")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BRIDGE: &str = "/onnxruntime_src/onnxruntime/core/session/provider_bridge_ort.cc:2043 onnxruntime::Provider& \
                          onnxruntime::ProviderLibrary::Get() [ONNXRuntimeError] : 1 : FAIL : Failed to load library";

    fn absence(library: &str) -> String {
        match library {
            "libnvinfer.so.10" => "not found, only `/old/libnvinfer.so.8`".into(),
            _ => "not found".into(),
        }
    }

    fn read(provider: Provider, message: &str) -> String {
        provider.read(message, absence).map_or_else(|| "unknown".into(), |error| error.to_string())
    }

    /// Returns ONNX Runtime's message about a missing library.
    fn missing(library: &str) -> String {
        format!(
            "{BRIDGE} /a b/provider.so with error: {library}: cannot open shared object file: No such file or \
             directory\n"
        )
    }

    #[test]
    fn tensorrt_for_rtx_is_the_remedy_where_tensorrt_is_missing_and_its_gpu_is_there() {
        let advised = |provider: Provider, library, has_rtx: bool| {
            let error = provider.read(&missing(library), absence).unwrap().with_rtx(|| has_rtx).to_string();
            error.rsplit_once("or choose ").unwrap().1.to_owned()
        };
        for (name, provider, library, has_rtx, expected) in [
            ("with an RTX GPU", Provider::TensorRt, "libnvinfer.so.10", true, "`--ep tensorrt-rtx`"),
            ("its parser", Provider::TensorRt, "libnvonnxparser.so.10", true, "`--ep tensorrt-rtx`"),
            ("another GPU", Provider::TensorRt, "libnvinfer.so.10", false, "`--ep cuda`"),
            ("cuDNN", Provider::Cuda, "libcudnn.so.9", true, "`--ep cpu`"),
        ] {
            assert_eq!(advised(provider, library, has_rtx), expected, "{name}");
        }
    }

    #[test]
    fn messages_of_onnx_runtime_name_the_missing_library_and_the_remedy() {
        let rows = [
            (
                "CUDA's libraries",
                Provider::Cuda,
                missing("libcublasLt.so.13"),
                "libcublasLt.so.13: not found; install CUDA 13 (`pip install nvidia-cublas nvidia-cuda-runtime \
                 nvidia-curand nvidia-cufft`) or choose `--ep cpu`",
            ),
            (
                "the driver",
                Provider::Cuda,
                missing("libcuda.so.1"),
                "libcuda.so.1: not found; install the NVIDIA driver or choose `--ep cpu`",
            ),
            (
                "cuDNN",
                Provider::TensorRt,
                missing("libcudnn.so.9"),
                "libcudnn.so.9: not found; install cuDNN 9 (`pip install nvidia-cudnn-cu13`) or choose `--ep cpu`",
            ),
            (
                "TensorRT",
                Provider::TensorRt,
                missing("libnvinfer.so.10"),
                "libnvinfer.so.10: not found, only `/old/libnvinfer.so.8`; install TensorRT 10 (`pip install \
                 'tensorrt-cu13-libs<11'`) or choose `--ep cuda`",
            ),
            (
                "the provider's own file",
                Provider::Cuda,
                missing("/opt/ort/libonnxruntime_providers_cuda.so"),
                "libonnxruntime_providers_cuda.so: not part of the ONNX Runtime library in use; name none by \
                 `--ort-lib` or ORT_DYLIB_PATH, so that a build with CUDA is fetched, or choose `--ep cpu`",
            ),
            (
                "a build without it",
                Provider::TensorRt,
                "TensorRT execution provider is not enabled in this build.".into(),
                "libonnxruntime_providers_tensorrt.so: not part of the ONNX Runtime library in use; name none by \
                 `--ort-lib` or ORT_DYLIB_PATH, so that a build with TensorRT is fetched, or choose `--ep cpu`",
            ),
            (
                "a library of another version",
                Provider::Cuda,
                format!("{BRIDGE} p.so with error: /lib/libcublas.so.13: undefined symbol: cublasFoo"),
                "libcublas.so.13: undefined symbol: cublasFoo; install CUDA 13 (`pip install nvidia-cublas \
                 nvidia-cuda-runtime nvidia-curand nvidia-cufft`) or choose `--ep cpu`",
            ),
            (
                "CUDA of another version",
                Provider::Cuda,
                format!("{BRIDGE} p.so with error: /o/libonnxruntime_providers_cuda.so: undefined symbol: cublasFoo"),
                "libonnxruntime_providers_cuda.so: undefined symbol: cublasFoo; install CUDA 13 and cuDNN 9 or choose \
                 `--ep cpu`",
            ),
            (
                "TensorRT of another version",
                Provider::TensorRt,
                format!("{BRIDGE} p.so with error: /o/libonnxruntime_providers_tensorrt.so: undefined symbol: foo"),
                "libonnxruntime_providers_tensorrt.so: undefined symbol: foo; install CUDA 13, cuDNN 9 and TensorRT 10 \
                 or choose `--ep cpu`",
            ),
            (
                "a damaged file of its own",
                Provider::OpenVino,
                format!("{BRIDGE} p.so with error: /o/libonnxruntime_providers_openvino.so: file too short"),
                "libonnxruntime_providers_openvino.so: file too short; remove its folder, fetch it again with \
                 `seg setup --openvino`, or choose `--ep cpu`",
            ),
            (
                "a damaged plug-in",
                Provider::WebGpu,
                format!("{BRIDGE} p.so with error: /o/libonnxruntime_providers_webgpu.so: file too short"),
                "libonnxruntime_providers_webgpu.so: file too short; remove its folder, fetch it again with `seg setup --ep \
                 webgpu`, or choose `--ep cpu`",
            ),
            (
                "TensorRT for RTX without a driver",
                Provider::TensorRtRtx,
                missing("libcuda.so.1"),
                "libcuda.so.1: not found; install the NVIDIA driver or choose `--ep cpu`",
            ),
            (
                "a GPU without float16",
                Provider::WebGpu,
                "shader_helper.cc:416 GenerateSourceCode Program Transpose requires f16 but the device does not support it."
                    .into(),
                "WebGPU's device computes no float16, which the model asks for; export the model in float32, or choose \
                 `--ep cpu`",
            ),
            (
                "a device that cannot be opened",
                Provider::WebGpu,
                "/o/ep_plugin_provider_interfaces.cc:393 onnxruntime::PluginExecutionProviderFactory::CreateProvider(const \
                 OrtSessionOptions&) [ONNXRuntimeError] : 1 : FAIL : it is busy\n"
                    .into(),
                "WebGPU offers a device and cannot open it: it is busy; choose another `--device-id` or `--ep cpu`",
            ),
            (
                "no adapter for WebGPU",
                Provider::WebGpu,
                "11 : EP_FAIL : webgpu_context.cc:136 Failed to get a WebGPU adapter: No supported adapters".into(),
                "WebGPU offers no device here: there is no GPU that it can use; install its driver and Vulkan \
                 (`vulkaninfo` lists what there is); or choose `--ep cpu`",
            ),
            (
                "a GPU without kernels",
                Provider::Cuda,
                "Non-zero status code returned while running Conv node. CUDA failure 209: no kernel image is available \
                 for execution on the device ; GPU=0 ; hostname=h"
                    .into(),
                "GPU 0: CUDA's libraries hold no kernels for it (no kernel image is available for execution on the \
                 device); choose another `--device-id` or `--ep cpu`",
            ),
            (
                "an old driver",
                Provider::Cuda,
                "CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version ; GPU=-1 ; \
                 hostname=h ; expr=cudaSetDevice(0);"
                    .into(),
                "no usable GPU: CUDA driver version is insufficient for CUDA runtime version; install an NVIDIA \
                 driver for CUDA 13 or choose `--ep cpu`",
            ),
            (
                "another build",
                Provider::OpenVino,
                "OpenVINOExecutionProvider execution provider is not supported in this build.".into(),
                "libonnxruntime_providers_openvino.so: not part of the ONNX Runtime library in use; name none by \
                 `--ort-lib` or ORT_DYLIB_PATH, so that a build with OpenVINO is fetched, or choose `--ep cpu`",
            ),
            (
                "no device of OpenVINO's",
                Provider::OpenVino,
                "/o/provider_factory.cc:141 ParseDeviceType [ERROR] [OpenVINO] Device GPU is not available\n".into(),
                "Device GPU is not available; install the device's driver or choose `--openvino-device CPU`",
            ),
            ("a failure of the computation", Provider::Cuda, "CUDA failure 2: out of memory ; GPU=0".into(), "unknown"),
        ];
        for (name, provider, message, expected) in rows {
            assert_eq!(read(provider, &message), expected, "{name}");
        }
    }
}
