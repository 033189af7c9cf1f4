//! The options with which a model is opened: the provider, and how it computes.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use seg_contract::Input;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::engines::EngineCache;
use super::kind::Provider;
use super::named_plugin::NamedPlugin;
use super::shapes::Shapes;
use crate::threads::{SharedThreads, available_threads};

/// The provider for a model and its options.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The provider.
    pub provider: Provider,
    /// For reports: why each provider that was asked for first cannot be used, if this one replaces
    /// it from the start.
    pub instead: Vec<String>,
    /// True if another provider may compute the model, or a part of it, if this one cannot.
    pub allow_fallback: bool,
    /// The number of CPU threads that one operator may use; one per [processor that may be
    /// used](available_threads) unless given.
    pub threads: Option<NonZeroUsize>,
    /// The threads that the sessions of several lanes share, with a provider that can share them:
    /// the fused kernels. Others have `threads` each.
    pub shared_threads: Option<SharedThreads>,
    /// The most pixels of inputs at once for which a second session may be opened if they keep
    /// coming in one shape; 0 for none. It takes up to 1.7 times the memory of the first.
    pub one_shape_pixels_max: usize,
    /// The GPU, counted from 0.
    pub device_id: Option<u32>,
    /// The precision in which float32 values are computed.
    pub precision: ComputePrecision,
    /// The most memory that CUDA's arena may take, or that TensorRT may use to build and run an
    /// engine, in bytes.
    pub memory_limit_bytes: Option<usize>,
    /// True if CUDA's kernels are launched as one graph, which is captured for each of the first
    /// few shapes of input.
    pub cuda_graph: bool,
    /// OpenVINO's device: `CPU`, `GPU`, `GPU.1`, `NPU`; its CPU unless it is given.
    pub openvino_device: Option<String>,
    /// The effort with which TensorRT searches for fast kernels, 0 to 5; 3 unless it is given.
    pub builder_level: Option<u8>,
    /// The sizes of input that TensorRT's engine is built for; derived from the model's contract
    /// unless given.
    pub shapes: Option<Shapes>,
    /// The height and width of all inputs, if known, as with [tiles](Self::for_settings): without
    /// [`shapes`](Self::shapes), an engine is built for this size.
    pub tile: Option<[usize; 2]>,
    /// The most images or tiles that run at once; without [`shapes`](Self::shapes), an engine is
    /// built for this number.
    pub batch_max: Option<NonZeroUsize>,
    /// The library of a provider that is a [plug-in](Provider::plugin).
    pub plugin_library: Option<PathBuf>,
    /// The plug-in that [`Provider::Plugin`] stands for.
    pub named_plugin: Option<NamedPlugin>,
    /// The cache of TensorRT's engines; without it, each session builds one.
    pub engines: Option<EngineCache>,
    /// The folder of what TensorRT for RTX compiles for a GPU; without it, each session compiles.
    pub runtime_cache: Option<PathBuf>,
}

/// The precision in which float32 values of a model are computed; values of other types stay as
/// they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum ComputePrecision {
    /// In float32.
    #[default]
    Fp32,
    /// In TensorFloat-32, which keeps 10 bits of each factor of a product.
    Tf32,
    /// In float16 where the provider finds that faster.
    Fp16,
}

impl fmt::Display for ComputePrecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fp32 => "fp32",
            Self::Tf32 => "tf32",
            Self::Fp16 => "fp16",
        })
    }
}

/// An option that some providers have and others lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OptionName {
    /// [`Options::device_id`]
    DeviceId,
    /// [`Options::memory_limit_bytes`]
    MemoryLimit,
    /// [`Options::cuda_graph`]
    CudaGraph,
    /// [`Options::builder_level`]
    BuilderLevel,
    /// [`Options::shapes`]
    Shapes,
    /// [`Options::openvino_device`]
    OpenVinoDevice,
    /// [`Options::named_plugin`]
    NamedPlugin,
}

impl OptionName {
    pub(crate) const ALL: [Self; 7] = [
        Self::DeviceId,
        Self::MemoryLimit,
        Self::CudaGraph,
        Self::BuilderLevel,
        Self::Shapes,
        Self::OpenVinoDevice,
        Self::NamedPlugin,
    ];

    /// Returns the name of the flag that sets the option.
    pub(crate) fn flag(self) -> &'static str {
        match self {
            Self::DeviceId => "device-id",
            Self::MemoryLimit => "memory-limit",
            Self::CudaGraph => "cuda-graph",
            Self::BuilderLevel => "builder-level",
            Self::Shapes => "shapes",
            Self::OpenVinoDevice => "openvino-device",
            Self::NamedPlugin => "ep-library",
        }
    }
}

/// An option that the provider does not have.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{provider} has no `--{option}`{reason}")]
pub struct OptionError {
    /// The provider.
    pub provider: Provider,
    /// The option, with its value where it matters.
    pub option: String,
    /// The reason and the remedy; empty if there is no more to say.
    pub reason: &'static str,
}

impl Options {
    /// Returns whether an option is set.
    pub(crate) fn has(&self, option: OptionName) -> bool {
        match option {
            OptionName::DeviceId => self.device_id.is_some(),
            OptionName::MemoryLimit => self.memory_limit_bytes.is_some(),
            OptionName::CudaGraph => self.cuda_graph,
            OptionName::BuilderLevel => self.builder_level.is_some(),
            OptionName::Shapes => self.shapes.is_some(),
            OptionName::OpenVinoDevice => self.openvino_device.is_some(),
            OptionName::NamedPlugin => self.named_plugin.is_some(),
        }
    }

    /// Returns ONNX Runtime's name for the provider.
    pub fn ort_name(&self) -> &str {
        match &self.named_plugin {
            Some(plugin) if self.provider == Provider::Plugin => &plugin.name,
            _ => self.provider.spec().ort_name,
        }
    }

    /// Describes the plug-in in which the provider comes: its package and version, or the file that
    /// the user names; `None` if ONNX Runtime's own library holds the provider.
    pub fn plugin(&self) -> Option<String> {
        match (&self.named_plugin, self.provider.plugin()) {
            (Some(named), _) if self.provider == Provider::Plugin => Some(named.to_string()),
            (_, Some(plugin)) if self.plugin_library.is_some() => Some(plugin.package()),
            _ => None,
        }
    }

    /// Returns the number of CPU threads that one operator may use.
    pub(crate) fn threads(&self) -> NonZeroUsize {
        self.threads.unwrap_or_else(available_threads)
    }

    /// Makes the error that the provider does not have an option, which is given with its value
    /// where that matters.
    pub(crate) fn refuse(&self, option: &str, reason: &'static str) -> OptionError {
        OptionError { provider: self.provider, option: option.into(), reason }
    }

    /// Returns the sizes of input that TensorRT's engine is built for, for a model with this input.
    pub fn shapes(&self, input: &Input) -> Shapes {
        self.shapes.unwrap_or_else(|| Shapes::from_contract(input, self.tile, self.batch_max.map_or(1, usize::from)))
    }
}
