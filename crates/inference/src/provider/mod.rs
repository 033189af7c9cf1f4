//! Execution providers. One that is asked for is used, or the failure is an error.
//!
//! Each provider is a file that holds its [`Spec`], and a line of the list in this one.

mod check;
mod cpu;
mod cuda;
mod diagnosis;
mod engines;
mod error;
mod fused;
mod gpu;
mod kind;
mod named_plugin;
mod openvino;
mod options;
mod plugin;
mod runtime_cache;
mod shapes;
mod spec;
mod tensorrt;
mod tensorrt_rtx;
mod webgpu;

pub use engines::{EngineCache, EngineCacheError, EngineKey};
pub use error::ProviderError;
pub use kind::Provider;
pub use named_plugin::NamedPlugin;
pub use openvino::openvino_devices;
pub use options::{ComputePrecision, OptionError, Options};
pub use plugin::offered_devices;
pub use shapes::Shapes;
pub use spec::{Float32Error, Spec};

pub(crate) use diagnosis::diagnose;
pub(crate) use runtime_cache::RuntimeCache;
pub(crate) use tensorrt::engine_key;
pub(crate) use tensorrt_rtx::runtime_cache;

use std::fmt;
use std::path::Path;

use ort::environment::Environment;
use ort::ep::ExecutionProviderDispatch;
use ort::session::builder::SessionBuilder;
use seg_contract::Input;
use seg_onnx::graph::Graph;

use crate::fused as fused_kernel;
use crate::library::{Build, Plugin};

impl Provider {
    /// Every provider: the user's own, then the fastest first.
    pub const ALL: [Self; 8] = [
        Self::Plugin,
        Self::TensorRt,
        Self::TensorRtRtx,
        Self::Cuda,
        Self::OpenVino,
        Self::WebGpu,
        Self::Fused,
        Self::Cpu,
    ];

    /// Returns the description of the provider.
    pub const fn spec(self) -> &'static Spec {
        match self {
            Self::TensorRt => &tensorrt::SPEC,
            Self::TensorRtRtx => &tensorrt_rtx::SPEC,
            Self::WebGpu => &webgpu::SPEC,
            Self::Plugin => &named_plugin::SPEC,
            Self::Cuda => &cuda::SPEC,
            Self::OpenVino => &openvino::SPEC,
            Self::Fused => &fused::SPEC,
            Self::Cpu => &cpu::SPEC,
        }
    }

    /// Returns the value of `--ep` that selects the provider.
    pub fn flag(self) -> &'static str {
        self.spec().flag
    }

    /// Returns the library of its own in which the provider comes, if it comes in one here:
    /// OpenVINO's plug-in takes Intel's processors alone.
    pub fn plugin(self) -> Option<Plugin> {
        self.spec().plugin.filter(|plugin| *plugin != Plugin::OpenVino || openvino::is_intel())
    }

    /// Returns whether an ONNX Runtime that may be anybody's holds the provider itself, by the
    /// files beside its library.
    pub fn is_built_into(self, onnx_runtime: &Path) -> bool {
        let file = self.spec().library.filter(|_| self.spec().build != Build::Cpu);
        file.is_some_and(|file| onnx_runtime.with_file_name(file).exists())
    }

    /// Returns the build of ONNX Runtime that runs the provider here, beside its
    /// [plug-in](Self::plugin) if it has one.
    pub fn build(self) -> Build {
        if self.plugin().is_some() { Build::Cpu } else { self.into() }
    }

    /// Returns the command that fetches what the provider needs.
    pub fn setup(self) -> &'static str {
        self.plugin().map_or_else(|| self.build().setup(), Plugin::setup)
    }

    /// Returns whether the provider computes any graph, as far as its operators reach.
    pub fn computes_any(self) -> bool {
        self != Self::Fused
    }

    /// Returns whether the provider may compute a graph: `false` where it is known not to.
    pub fn may_compute(self, graph: &Graph) -> bool {
        self.computes_any() || fused_kernel::recognizes(graph)
    }

    /// Returns the provider that is tried next if this one cannot be used and a fallback is
    /// allowed.
    pub fn fallback(self) -> Option<Self> {
        self.spec().fallback
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.spec().name)
    }
}

impl From<Provider> for Build {
    /// Returns the smallest build that contains the provider.
    fn from(provider: Provider) -> Self {
        provider.spec().build
    }
}

/// Adds the provider that `options` name to a session, for a graph with the given input.
///
/// `engines` is the folder in which a provider keeps and finds the engine of this model.
///
/// # Errors
/// When the provider, a library that it needs or the GPU that `options` name cannot be used.
pub(crate) fn register(
    environment: &Environment,
    builder: SessionBuilder,
    input: &Input,
    options: &Options,
    engines: Option<&Path>,
) -> Result<SessionBuilder, ProviderError> {
    let spec = options.provider.spec();
    let providers = (spec.register)(input, options, engines)?;
    let is_built_in = options.plugin_library.is_none() && spec.build != Build::Cpu;
    if options.provider == Provider::Plugin || spec.plugin.is_some() && !is_built_in {
        return plugin::add(environment, builder, input, options);
    }
    // Without this, ONNX Runtime silently drops a provider that it cannot use, and the CPU
    // computes.
    let strict = providers.into_iter().map(ExecutionProviderDispatch::error_on_failure);
    let registered = builder.with_execution_providers(strict.collect::<Vec<_>>());
    let builder = registered.map_err(|error| diagnose(options, error.into()))?;
    if options.device_id.is_some() {
        // CUDA's own message names neither the GPU nor the number of GPUs.
        gpu::chosen(options)?;
    }
    Ok(builder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_holds_every_provider_under_its_flag() {
        // The error names all variants of the enum.
        let error = serde_json::from_str::<Provider>("\"?\"").unwrap_err().to_string();
        let mut variants: Vec<_> = error.split('`').skip(3).step_by(2).collect();
        let mut flags = Provider::ALL.map(Provider::flag).to_vec();
        variants.sort_unstable();
        flags.sort_unstable();
        assert_eq!(flags, variants, "{error}");
        for provider in Provider::ALL {
            assert_eq!(provider.spec().provider, provider);
        }
    }
}
