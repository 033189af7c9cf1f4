//! Reads from ONNX Runtime's message why a provider cannot be used, and says what to do about it.

use std::path::Path;

use thiserror::Error;

use super::tensorrt::TF32_VARIABLE;
use super::{EngineCacheError, Options, Provider, gpu};
use crate::library::{Build, LIBRARY_VARIABLE, foreign_machine};
use crate::nvidia::{ABSENT, Driver, NvidiaError, absence};
use crate::session::log;

/// Why a provider cannot be used.
#[derive(Debug, Error)]
pub enum ProviderError {
    /// A library that the provider needs cannot be loaded.
    #[error("{library}: {reason}; {remedy} or choose `--ep {}`", alternative.flag())]
    Library {
        /// The library's file name.
        library: String,
        /// What the system's loader says.
        reason: String,
        /// What brings the library.
        remedy: String,
        /// The provider that does without.
        alternative: Provider,
    },
    /// The ONNX Runtime in use comes without the provider.
    #[error(
        "{library}: not part of the ONNX Runtime library in use; name none by `--ort-lib` or {LIBRARY_VARIABLE}, so \
         that a build with {provider} is fetched, or choose `--ep cpu`"
    )]
    NotBuilt {
        /// The provider.
        provider: Provider,
        /// The file that holds the provider.
        library: &'static str,
    },
    /// There is no GPU that the driver and CUDA agree on.
    #[error("no usable GPU: {reason}; install an NVIDIA driver for CUDA 13 or choose `--ep cpu`")]
    Gpu {
        /// What CUDA says.
        reason: String,
    },
    /// The driver does not know CUDA 13.
    #[error(
        "the NVIDIA driver{} runs CUDA {cuda}, 13.0 or newer is wanted; install a newer driver or choose `--ep cpu`",
        after(" ", version)
    )]
    OldDriver {
        /// The driver's own version, where it tells.
        version: Option<String>,
        /// The newest CUDA that it runs.
        cuda: String,
    },
    /// The libraries have no code for the GPU.
    #[error(
        "GPU {id}{}: {provider}'s libraries hold no kernels for it ({reason}); choose another `--device-id` or `--ep cpu`",
        after(", ", gpu)
    )]
    NoKernels {
        /// The provider.
        provider: Provider,
        /// The GPU, counted from 0.
        id: u32,
        /// The GPU's name and architecture, where the driver tells.
        gpu: Option<String>,
        /// What CUDA says.
        reason: String,
    },
    /// The driver does not show the GPU that is asked for.
    #[error("no GPU {id}: the driver shows {gpus}, counted from 0; choose another `--device-id`")]
    NoSuchGpu {
        /// The GPU asked for.
        id: u32,
        /// The number of GPUs.
        gpus: usize,
    },
    /// OpenVINO does not have the device that is asked for.
    #[error("{reason}; install the device's driver or choose `--openvino-device CPU`")]
    OpenVinoDevice {
        /// What OpenVINO says.
        reason: String,
    },
    /// The provider would compute in TensorFloat-32.
    #[error("{provider} would compute in TensorFloat-32; set {TF32_VARIABLE}=0 or choose `--precision tf32`")]
    Tf32 {
        /// The provider.
        provider: Provider,
    },
    /// The provider is kept from computing in TensorFloat-32.
    #[error(
        "{TF32_VARIABLE}=0 keeps {provider} from computing in TensorFloat-32; unset it or choose `--precision fp32`"
    )]
    NoTf32 {
        /// The provider.
        provider: Provider,
    },
    /// TensorRT's engines cannot be kept.
    #[error(transparent)]
    EngineCache(#[from] EngineCacheError),
    /// Anything else.
    #[error("ONNX Runtime refuses the provider")]
    Other {
        /// What it says.
        source: ort::Error,
    },
}

/// What brings a library, by the beginning of its name.
const REMEDIES: [(&str, &str); 8] = [
    (DRIVER, "install the NVIDIA driver"),
    ("libnvidia", "install the NVIDIA driver"),
    ("libcudnn", "install cuDNN 9 (`pip install nvidia-cudnn-cu13`)"),
    ("libcu", CUDA_REMEDY),
    ("libnvrtc", CUDA_REMEDY),
    ("libnvinfer", TENSORRT_REMEDY),
    ("libnvonnxparser", TENSORRT_REMEDY),
    ("", "install it"),
];
const CUDA_REMEDY: &str =
    "install CUDA 13 (`pip install nvidia-cublas nvidia-cuda-runtime nvidia-curand nvidia-cufft`)";
const TENSORRT_REMEDY: &str = "install TensorRT 10 (`pip install 'tensorrt-cu13-libs<11'`)";

/// What a file of ONNX Runtime's own begins with.
const OWN: &str = "libonnxruntime";

/// The file of NVIDIA's driver.
const DRIVER: &str = "libcuda.";

/// A name after something, where there is one.
fn after(separator: &str, name: &Option<String>) -> String {
    name.as_ref().map_or_else(String::new, |name| format!("{separator}{name}"))
}

impl ProviderError {
    /// A library that cannot be loaded, with what brings it.
    fn library(library: &str, reason: &str) -> Self {
        let remedy = REMEDIES.iter().find(|(start, _)| library.starts_with(start)).map_or("", |(_, remedy)| remedy);
        // A driver that is there says so itself.
        let is_there = library.starts_with(DRIVER) && !reason.starts_with(ABSENT);
        let remedy = if is_there { "check the GPU and its driver by `nvidia-smi`," } else { remedy };
        let alternative = if remedy == TENSORRT_REMEDY { Provider::Cuda } else { Provider::Cpu };
        Self::Library { library: library.into(), reason: reason.into(), remedy: remedy.into(), alternative }
    }
}

impl From<NvidiaError> for ProviderError {
    fn from(error: NvidiaError) -> Self {
        Self::library(error.library, &error.reason)
    }
}

/// The reason in ONNX Runtime's message, with its remedy and with what was found instead of what is wanted.
pub(crate) fn diagnose(options: &Options, error: ort::Error) -> ProviderError {
    let Options { provider, .. } = *options;
    let read = |message: &str| provider.read(message, absence);
    match read(error.message()).or_else(|| read(&log::take())) {
        Some(ProviderError::Gpu { reason }) => match Driver::query() {
            Ok(driver) if driver.is_old => driver.into(),
            _ => ProviderError::Gpu { reason },
        },
        Some(ProviderError::NoKernels { provider, reason, .. }) => {
            let id = options.device_id.unwrap_or(0);
            let gpu = gpu(options).ok().map(|gpu| gpu.to_string());
            ProviderError::NoKernels { provider, id, gpu, reason }
        }
        Some(reason) => reason,
        None => ProviderError::Other { source: error },
    }
}

impl From<Driver> for ProviderError {
    /// What is wrong with a driver that is too old.
    fn from(driver: Driver) -> Self {
        Self::OldDriver { version: driver.version, cuda: driver.cuda }
    }
}

impl Provider {
    /// What brings a file of ONNX Runtime's own that is there and cannot be loaded.
    fn own_remedy(self, reason: &str) -> String {
        match self {
            // What it was linked with is there, in a version that lacks what it needs.
            Self::Cuda if reason.contains("undefined symbol") => "install CUDA 13 and cuDNN 9".into(),
            Self::TensorRt if reason.contains("undefined symbol") => "install CUDA 13, cuDNN 9 and TensorRT 10".into(),
            _ => format!("remove its folder, fetch it again with `{}`,", Build::from(self).setup()),
        }
    }

    /// The reason in a message, where it is one of those that are known.
    ///
    /// `absence` says of a library that is not found what is there instead.
    fn read(self, message: &str, absence: impl Fn(&str) -> String) -> Option<ProviderError> {
        let not_built = |library| ProviderError::NotBuilt { provider: self, library };
        if ["is not enabled in this build", "is not supported in this build"].iter().any(|part| message.contains(part))
        {
            return self.library().map(not_built);
        }
        // `... Failed to load library <provider> with error: <library>: <reason>`
        if let Some((library, reason)) =
            message.split_once("with error: ").and_then(|(_, cause)| cause.split_once(": "))
        {
            // A name alone is not one of the working folder.
            let path = Path::new(library);
            let foreign = path.is_absolute().then(|| foreign_machine(path)).flatten();
            let library = library.rsplit('/').next().unwrap_or(library);
            let absent = foreign.is_none() && reason.trim().starts_with("cannot open shared object file");
            if let Some(own) = self.library().filter(|own| absent && *own == library) {
                return Some(not_built(own));
            }
            let reason = match foreign {
                Some(machine) => format!("built for {machine}, this program for {}", std::env::consts::ARCH),
                None if absent => absence(library),
                None => reason.trim().into(),
            };
            if !library.starts_with(OWN) {
                return Some(ProviderError::library(library, &reason));
            }
            let (remedy, alternative) = (self.own_remedy(&reason), Self::Cpu);
            return Some(ProviderError::Library { library: library.into(), reason, remedy, alternative });
        }
        // `... [OpenVINO] Device <name> is not available`
        if let Some((_, reason)) = message.split_once("[OpenVINO] ").filter(|(_, reason)| reason.starts_with("Device"))
        {
            return Some(ProviderError::OpenVinoDevice { reason: reason.trim().into() });
        }
        // Whoever launches one says it: CUDA, cuDNN or ONNX Runtime.
        if let Some(start) = message.find("no kernel image") {
            let reason = message[start..].split([';', '\n']).next().unwrap_or_default().trim().to_owned();
            return Some(ProviderError::NoKernels { provider: self, id: 0, gpu: None, reason });
        }
        // `CUDA failure <number>: <reason> ; GPU=...`
        let reason = message.split_once("CUDA failure ")?.1.split(" ;").next()?.trim();
        let reason = reason.split_once(": ").map_or(reason, |(_, reason)| reason);
        let no_device = ["driver version", "no CUDA-capable device"].iter().any(|part| reason.contains(part));
        no_device.then(|| ProviderError::Gpu { reason: reason.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BRIDGE: &str = "/onnxruntime_src/onnxruntime/core/session/provider_bridge_ort.cc:2043 onnxruntime::Provider& \
                          onnxruntime::ProviderLibrary::Get() [ONNXRuntimeError] : 1 : FAIL : Failed to load library";

    fn read(provider: Provider, message: &str) -> String {
        let absence = |library: &str| match library {
            "libnvinfer.so.10" => "not found, only `/old/libnvinfer.so.8`".into(),
            _ => "not found".into(),
        };
        provider.read(message, absence).map_or_else(|| "unknown".into(), |error| error.to_string())
    }

    #[test]
    fn messages_of_onnx_runtime_name_the_missing_library_and_the_remedy() {
        let missing = |library: &str| {
            format!(
                "{BRIDGE} /a b/provider.so with error: {library}: cannot open shared object file: No such file or \
                 directory\n"
            )
        };
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
                 `seg-runtime setup --openvino`, or choose `--ep cpu`",
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
