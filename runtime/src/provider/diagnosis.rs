//! Reads from ONNX Runtime's message why a provider cannot be used, and says what to do about it.

use std::path::Path;

use thiserror::Error;

use super::{EngineCacheError, Provider, tensorrt::TF32_VARIABLE};
use crate::{
    library::{LIBRARY_VARIABLE, foreign_machine},
    log,
    nvidia::NvidiaError,
};

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
        remedy: &'static str,
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
    /// TensorRT would compute in TensorFloat-32.
    #[error("TensorRT would compute in TensorFloat-32; set {TF32_VARIABLE}=0 or choose `--precision tf32`")]
    Tf32,
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
const REMEDIES: [(&str, &str); 7] = [
    ("libcuda.", "install the NVIDIA driver"),
    ("libcudnn", "install cuDNN 9 (`pip install nvidia-cudnn-cu13`)"),
    ("libcu", "install CUDA 13 (`pip install nvidia-cublas nvidia-cuda-runtime nvidia-curand nvidia-cufft`)"),
    ("libnvinfer", "install TensorRT 10"),
    ("libnvonnxparser", "install TensorRT 10"),
    ("libonnxruntime", "remove its folder, fetch it again with `seg-runtime setup`,"),
    ("", "install it"),
];

impl ProviderError {
    /// A library that cannot be loaded, with what brings it.
    fn library(library: &str, reason: &str) -> Self {
        let remedy = REMEDIES.iter().find(|(start, _)| library.starts_with(start)).map_or("", |(_, remedy)| remedy);
        let alternative = if remedy.contains("TensorRT") { Provider::Cuda } else { Provider::Cpu };
        Self::Library { library: library.into(), reason: reason.into(), remedy, alternative }
    }
}

impl From<NvidiaError> for ProviderError {
    fn from(error: NvidiaError) -> Self {
        Self::library(error.library, &error.reason)
    }
}

impl Provider {
    /// The reason in ONNX Runtime's message, with its remedy.
    pub(crate) fn diagnose(self, error: ort::Error) -> ProviderError {
        match self.read(error.message()).or_else(|| self.read(&log::take())) {
            Some(reason) => reason,
            None => ProviderError::Other { source: error },
        }
    }

    /// The reason in a message, where it is one of those that are known.
    fn read(self, message: &str) -> Option<ProviderError> {
        let not_built = |library| ProviderError::NotBuilt { provider: self, library };
        if ["is not enabled in this build", "is not supported in this build"].iter().any(|part| message.contains(part))
        {
            return self.library().map(not_built);
        }
        // `... Failed to load library <provider> with error: <library>: <reason>`
        if let Some((library, reason)) =
            message.split_once("with error: ").and_then(|(_, cause)| cause.split_once(": "))
        {
            let foreign = foreign_machine(Path::new(library));
            let library = library.rsplit('/').next().unwrap_or(library);
            let reason = reason.trim();
            if let Some(machine) = foreign {
                let reason = format!("built for {machine}, this program for {}", std::env::consts::ARCH);
                return Some(ProviderError::library(library, &reason));
            }
            let absent = reason.starts_with("cannot open shared object file");
            if let Some(own) = self.library().filter(|own| absent && *own == library) {
                return Some(not_built(own));
            }
            let reason = if absent { "not found" } else { reason };
            return Some(ProviderError::library(library, reason));
        }
        // `... [OpenVINO] Device <name> is not available`
        if let Some((_, reason)) = message.split_once("[OpenVINO] ").filter(|(_, reason)| reason.starts_with("Device"))
        {
            return Some(ProviderError::OpenVinoDevice { reason: reason.trim().into() });
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
        provider.read(message).map_or_else(|| "unknown".into(), |error| error.to_string())
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
                "libnvinfer.so.10: not found; install TensorRT 10 or choose `--ep cuda`",
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
