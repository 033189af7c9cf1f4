//! Execution providers: what computes a model. One that is asked for is used, or it is an error.

mod cpu;
mod cuda;
mod diagnosis;
mod engines;
mod openvino;
mod options;
mod shapes;
mod tensorrt;

pub use diagnosis::ProviderError;
pub use engines::{EngineCache, EngineCacheError, EngineKey};
pub use openvino::openvino_devices;
pub use options::{ComputePrecision, OptionError, Options};
pub use shapes::Shapes;
pub use tensorrt::TF32_VARIABLE;

pub(crate) use diagnosis::diagnose;
pub(crate) use tensorrt::engine_key;

use std::fmt;
use std::path::Path;

use ort::ep::{self, ExecutionProvider as _, ExecutionProviderDispatch};
use ort::session::builder::SessionBuilder;
use seg_contract::Input;
use serde::{Deserialize, Serialize};

use crate::nvidia::{self, Driver, Gpu};

/// What computes a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// The processor.
    #[default]
    Cpu,
    /// An NVIDIA GPU, by CUDA 13 and cuDNN 9.
    Cuda,
    /// An NVIDIA GPU, by TensorRT 10.
    TensorRt,
    /// The processor, or an Intel GPU or NPU, by OpenVINO.
    OpenVino,
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "the CPU",
            Self::Cuda => "CUDA",
            Self::TensorRt => "TensorRT",
            Self::OpenVino => "OpenVINO",
        })
    }
}

impl Provider {
    /// Every provider, the fastest first.
    pub const ALL: [Self; 4] = [Self::TensorRt, Self::Cuda, Self::OpenVino, Self::Cpu];

    /// The value of `--ep` that chooses it.
    pub fn flag(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::TensorRt => "tensorrt",
            Self::OpenVino => "openvino",
        }
    }

    /// What is tried where this provider cannot be had and a fallback is allowed.
    pub fn fallback(self) -> Option<Self> {
        match self {
            Self::TensorRt => Some(Self::Cuda),
            Self::Cuda | Self::OpenVino => Some(Self::Cpu),
            Self::Cpu => None,
        }
    }

    /// ONNX Runtime's name for it.
    pub(crate) fn ort_name(self) -> &'static str {
        match self {
            Self::Cpu => ep::CPU::NAME,
            Self::Cuda => ep::CUDA::NAME,
            Self::TensorRt => ep::TensorRT::NAME,
            Self::OpenVino => ep::OpenVINO::NAME,
        }
    }

    /// The file in which ONNX Runtime keeps it; the CPU provider is built in.
    fn library(self) -> Option<&'static str> {
        match self {
            Self::Cpu => None,
            Self::Cuda => Some("libonnxruntime_providers_cuda.so"),
            Self::TensorRt => Some("libonnxruntime_providers_tensorrt.so"),
            Self::OpenVino => Some("libonnxruntime_providers_openvino.so"),
        }
    }
}

/// Makes a session use the provider that `options` ask for, on a graph with the given input.
///
/// `engines` is the folder in which TensorRT keeps and finds the engine of this model.
pub(crate) fn register(
    builder: SessionBuilder,
    input: &Input,
    options: &Options,
    engines: Option<&Path>,
) -> Result<SessionBuilder, ProviderError> {
    let provider = options.provider;
    let mut providers: Vec<ExecutionProviderDispatch> = Vec::new();
    match provider {
        Provider::Cpu => providers.push(cpu::provider().into()),
        Provider::Cuda => {
            nvidia::preload();
            tensorrt::check_precision(options)?;
            providers.push(cuda::provider(options).into());
        }
        Provider::TensorRt => {
            nvidia::preload();
            tensorrt::check_precision(options)?;
            providers.push(tensorrt::provider(input, options, engines).into());
            if options.allow_fallback {
                // What TensorRT leaves is better done beside it than on the CPU.
                providers.push(cuda::provider(options).into());
            }
        }
        Provider::OpenVino => providers.push(openvino::provider(options).into()),
    }
    // Otherwise a provider that cannot be had is dropped without a word, and the CPU computes.
    let strict = providers.into_iter().map(ExecutionProviderDispatch::error_on_failure);
    let registered = builder.with_execution_providers(strict.collect::<Vec<_>>());
    let builder = registered.map_err(|error| diagnose(options, error.into()))?;
    if options.device_id.is_some() {
        // CUDA's own words for it name neither the GPU nor how many there are.
        gpu(options)?;
    }
    Ok(builder)
}

/// The GPU that `options` ask for, as the driver shows it.
///
/// # Errors
/// When there is no driver, an old one, or no such GPU.
fn gpu(options: &Options) -> Result<Gpu, ProviderError> {
    let driver = Driver::query()?;
    if driver.is_old {
        return Err(driver.into());
    }
    let (id, gpus) = (options.device_id.unwrap_or(0), driver.gpus.len());
    driver.gpus.into_iter().nth(id as usize).ok_or(ProviderError::NoSuchGpu { id, gpus })
}
