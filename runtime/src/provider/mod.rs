//! Execution providers: what computes a model. One that is asked for is used, or it is an error.

mod cpu;
mod cuda;
mod diagnosis;
mod nvidia;
mod tensorrt;

pub use diagnosis::ProviderError;

use std::{fmt, path::Path};

use ort::{
    ep::{self, ExecutionProvider as _, ExecutionProviderDispatch},
    session::builder::SessionBuilder,
};
use serde::{Deserialize, Serialize};

/// What computes a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// The processor.
    #[default]
    Cpu,
    /// An NVIDIA GPU, by CUDA 13 and cuDNN 9.
    Cuda,
    /// An NVIDIA GPU, by TensorRT 10.
    TensorRt,
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "the CPU",
            Self::Cuda => "CUDA",
            Self::TensorRt => "TensorRT",
        })
    }
}

impl Provider {
    /// The value of `--ep` that chooses it.
    pub fn flag(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::TensorRt => "tensorrt",
        }
    }

    /// ONNX Runtime's name for it.
    pub(crate) fn ort_name(self) -> &'static str {
        match self {
            Self::Cpu => ep::CPU::NAME,
            Self::Cuda => ep::CUDA::NAME,
            Self::TensorRt => ep::TensorRT::NAME,
        }
    }

    /// The file in which ONNX Runtime keeps it; the CPU provider is built in.
    fn library(self) -> Option<&'static str> {
        match self {
            Self::Cpu => None,
            Self::Cuda => Some("libonnxruntime_providers_cuda.so"),
            Self::TensorRt => Some("libonnxruntime_providers_tensorrt.so"),
        }
    }

    /// Makes a session use this provider for a model, whose bytes are given.
    ///
    /// `engines` is the folder in which TensorRT keeps what it builds; without it, it builds anew in each session.
    pub(crate) fn register(
        self,
        builder: SessionBuilder,
        model: &[u8],
        engines: Option<&Path>,
    ) -> Result<SessionBuilder, ProviderError> {
        let dispatch: ExecutionProviderDispatch = match self {
            Self::Cpu => cpu::provider().into(),
            Self::Cuda => {
                nvidia::preload();
                cuda::provider().into()
            }
            Self::TensorRt => {
                nvidia::preload();
                tensorrt::provider(model, engines)?.into()
            }
        };
        // Otherwise a provider that cannot be had is dropped without a word, and the CPU computes.
        let strict = [dispatch.error_on_failure()];
        builder.with_execution_providers(strict).map_err(|error| self.diagnose(error.into()))
    }
}
