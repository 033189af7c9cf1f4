//! Opens a model: starts a session on the provider that is asked for, or on a fallback.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ort::environment::Environment;
use ort::session::builder::{AutoDevicePolicy, GraphOptimizationLevel, SessionBuilder};
use seg_contract::{Contract, sha256};
use seg_onnx::ModelError;
use seg_onnx::graph::Graph;
use thiserror::Error;

use crate::fused::{Fused, FusedError};
use crate::library::loaded_version;
use crate::provider::{
    self, EngineCacheError, OptionError, Options, Provider, ProviderError, RuntimeCache, diagnose, engine_key,
};
use crate::session::placement::{self, PlacedNode, Placement, PlacementError, RECORD_PLACEMENT};
use crate::session::reading::External;
use crate::session::runs_on::RunsOn;
use crate::session::{Engine, edges};
use crate::threads::SharedThreads;

/// The reason for which a model file cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The file cannot be read.
    #[error("cannot read the model `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file is not a model of this toolchain.
    #[error("cannot use `{path}` as a model written by `seg export`")]
    Model {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: Box<ModelError>,
    },
    /// The weights lie elsewhere than beside the model.
    #[error(
        "the weights of `{path}` lie in `{name}`, which is not in its folder; expected a name without `..` and root"
    )]
    External {
        /// The model.
        path: PathBuf,
        /// The file of weights, as the model names it.
        name: String,
    },
    /// The provider does not have an option.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// The provider cannot be used.
    #[error("cannot load `{path}` with {provider}")]
    Provider {
        /// The file.
        path: PathBuf,
        /// The provider.
        provider: Provider,
        /// The cause.
        source: ProviderError,
    },
    /// ONNX Runtime refuses the model.
    #[error("ONNX Runtime cannot load `{path}`")]
    Session {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: ort::Error,
    },
    /// The provider leaves nodes to another one.
    #[error("cannot run all of `{path}` with {provider}")]
    Placement {
        /// The file.
        path: PathBuf,
        /// The provider.
        provider: Provider,
        /// The nodes.
        source: PlacementError,
    },
}

/// A model file; `path` is its name in errors.
pub(super) struct File<'a> {
    pub(super) environment: &'a Environment,
    pub(super) path: &'a Path,
    pub(super) bytes: &'a [u8],
    pub(super) external: &'a [External],
    pub(super) contract: &'a Contract,
    /// The graph, where it can be read.
    pub(super) graph: Option<&'a Graph>,
}

/// A session, and how it came about.
pub(super) struct Opened {
    pub(super) engine: Engine,
    pub(super) placement: Placement,
    pub(super) runs_on: RunsOn,
    /// The options as requested, or, after a fallback, those of the provider that replaced it.
    pub(super) options: Options,
    /// The files that the provider leaves when the session is closed.
    pub(super) cache: Option<RuntimeCache>,
}

impl File<'_> {
    /// Opens the file on the provider that the options ask for, or, if they allow it, on its first
    /// fallback that works.
    pub(super) fn open(&self, options: &Options) -> Result<Opened, OpenError> {
        options.check()?;
        let (mut opened, mut instead) = (self.connect(options), options.instead.clone());
        let mut next = options.fall_back().filter(|_| options.allow_fallback);
        while let (Err(OpenError::Provider { provider, source, .. }), Some(options)) = (&opened, &next) {
            instead.push(format!("{provider}: {source}"));
            opened = self.connect(options);
            next = options.fall_back();
        }
        let mut opened = opened?;
        opened.runs_on.instead = instead;
        Ok(opened)
    }

    /// Opens a session on the provider that the options ask for, with an engine from the cache if
    /// it has one.
    fn connect(&self, options: &Options) -> Result<Opened, OpenError> {
        let Some(engines) = options.engines.as_ref().filter(|_| options.provider.spec().builds_engine) else {
            return self.start(options, None);
        };
        // The key needs NVIDIA's libraries. An error of ONNX Runtime comes first: without it they
        // are of no use.
        self.register(options, None)?;
        let input = &self.contract.input;
        let hashes = self.external.iter().map(|external| sha256(&external.bytes)).collect::<String>();
        let identity = [self.bytes, hashes.as_bytes()].concat();
        let key = engine_key(&identity, input, options).map_err(|source| self.unusable(options, source))?;
        let start = |folder: &Path| self.start(options, Some(folder)).map_err(Refusal::Open);
        let opened = engines.open(&key, start, Refusal::is_about_the_engine);
        opened.map_err(|refusal| match refusal {
            Refusal::Open(error) => error,
            Refusal::Cache(error) => self.unusable(options, error.into()),
        })
    }

    /// Opens the graph on the project's own kernels.
    fn start_fused(&self, options: &Options) -> Result<Opened, OpenError> {
        let unusable = |source| self.unusable(options, source);
        let graph = self.graph.ok_or_else(|| unusable(ProviderError::Unread))?;
        let own = || SharedThreads::new(options.threads());
        let fused =
            Fused::new(graph, &options.shared_threads.clone().unwrap_or_else(own)).map_err(|error| match error {
                FusedError::Unrecognized(error) => unusable(error.into()),
                FusedError::Threads(error) => {
                    let (count, reason) = (options.threads().get(), error.to_string());
                    unusable(ProviderError::Threads { count, reason })
                }
            })?;
        let nodes = graph.nodes.iter().map(|node| PlacedNode {
            name: node.name.clone(),
            operator: node.op.name().into(),
            provider: options.ort_name().into(),
        });
        let placement = Placement { nodes: nodes.collect() };
        let runs_on = RunsOn {
            provider: options.provider,
            precision: options.precision,
            device: options.device(),
            onnx_runtime: loaded_version().into(),
            nodes: placement.counts(),
            ..RunsOn::default()
        };
        Ok(Opened { engine: Engine::Fused(fused.into()), placement, runs_on, options: options.clone(), cache: None })
    }

    fn start(&self, options: &Options, engines: Option<&Path>) -> Result<Opened, OpenError> {
        let Self { path, graph, .. } = *self;
        let provider = options.provider;
        if provider == Provider::Fused {
            return self.start_fused(options);
        }
        let cache = provider::runtime_cache(self.bytes, &self.contract.input, options);
        let private = cache.as_ref().map(|cache| cache.folder().to_owned());
        let builder = self.register(&Options { runtime_cache: private, ..options.clone() }, engines)?;
        let mut builder = self.with_weights(builder)?;
        // CUDA and TensorRT call the driver only now.
        let session = builder.commit_from_memory(self.bytes).map_err(|error| match diagnose(options, error) {
            ProviderError::Other { source } => self.refused(source),
            source => self.unusable(options, source),
        })?;
        if graph.is_none() {
            edges::check(&session, self.contract)
                .map_err(|source| OpenError::Model { path: path.into(), source: source.into() })?;
        }
        let none = Graph::default();
        let graph = graph.unwrap_or(&none);
        let misplaced = |source| OpenError::Placement { path: path.into(), provider, source };
        let placement = placement::placement(&session).map_err(misplaced)?;
        if !options.allow_fallback {
            placement.check(options.ort_name(), graph).map_err(misplaced)?;
        }
        let runs_on = RunsOn {
            provider,
            precision: options.precision,
            device: options.device(),
            onnx_runtime: loaded_version().into(),
            plugin: options.plugin(),
            instead: Vec::new(),
            nodes: placement.counts(),
            elsewhere: placement.misplaced(options.ort_name(), graph).into_iter().cloned().collect(),
            members: Vec::new(),
        };
        Ok(Opened { engine: Engine::OnnxRuntime(session), placement, runs_on, options: options.clone(), cache })
    }

    /// Opens a session that takes inputs of one size only, given by the sizes of the graph's
    /// symbols, on a provider that has opened the file before.
    pub(super) fn open_for<'s>(
        &self,
        sizes: impl IntoIterator<Item = (&'s str, usize)>,
        options: &Options,
    ) -> Result<ort::session::Session, OpenError> {
        let mut builder = self.with_weights(self.register(options, None)?)?;
        for (symbol, size) in sizes {
            let overridden = builder.with_dimension_override(symbol, size as i64);
            builder = overridden.map_err(|error| self.refused(error.into()))?;
        }
        builder.commit_from_memory(self.bytes).map_err(|error| self.refused(error))
    }

    /// Gives a session the weights that lie beside the file.
    fn with_weights(&self, mut builder: SessionBuilder) -> Result<SessionBuilder, OpenError> {
        for External { name, bytes } in self.external {
            let added = builder.with_external_initializer_file_in_memory(name, Arc::clone(bytes));
            builder = added.map_err(|error| self.refused(error.into()))?;
        }
        Ok(builder)
    }

    fn register(&self, options: &Options, engines: Option<&Path>) -> Result<SessionBuilder, OpenError> {
        let contract = self.contract;
        let builder = configure(self.environment, options).map_err(|source| self.refused(source))?;
        provider::register(self.environment, builder, &contract.input, options, engines)
            .map_err(|source| self.unusable(options, source))
    }

    fn refused(&self, source: ort::Error) -> OpenError {
        OpenError::Session { path: self.path.into(), source }
    }

    fn unusable(&self, options: &Options, source: ProviderError) -> OpenError {
        OpenError::Provider { path: self.path.into(), provider: options.provider, source }
    }
}

/// The reason for which a session with an engine from the cache cannot be opened.
enum Refusal {
    Open(OpenError),
    Cache(EngineCacheError),
}

/// The part of ONNX Runtime's message for an engine that TensorRT cannot read.
const UNREADABLE_ENGINE: &str = "could not deserialize engine";

impl Refusal {
    fn is_about_the_engine(&self) -> bool {
        matches!(self, Self::Open(OpenError::Session { source, .. }) if source.message().contains(UNREADABLE_ENGINE))
    }
}

impl From<EngineCacheError> for Refusal {
    fn from(error: EngineCacheError) -> Self {
        Self::Cache(error)
    }
}

/// The level to which ONNX Runtime optimises the graph of every session, in its own word.
pub const OPTIMIZATION: &str = "all";

/// Makes a session builder with everything except the provider.
fn configure(environment: &Environment, options: &Options) -> ort::Result<SessionBuilder> {
    let mut builder = ort::session::Session::builder(environment)?
        // A policy of ONNX Runtime must not add another provider.
        .with_auto_device(AutoDevicePolicy::PreferCPU)?
        .with_config_entry(RECORD_PLACEMENT, "1")?
        // A memory plan is a second block beside the memory of the first run of each size: twice
        // the memory.
        .with_memory_pattern(false)?
        // Named, because a certificate is for this level.
        .with_optimization_level(GraphOptimizationLevel::All)?
        // By default, ONNX Runtime counts the machine's cores, also those that an affinity or a
        // quota excludes.
        .with_intra_threads(options.threads().get())?;
    if !options.allow_fallback {
        for (key, value) in options.provider.spec().strict_entries {
            builder = builder.with_config_entry(key, value)?;
        }
    }
    Ok(builder)
}

#[cfg(test)]
mod tests {
    use crate::threshold;
    use seg_contract::SizePolicy;

    use super::*;
    use crate::library::tests::environment;
    use crate::provider::ComputePrecision;
    use crate::session::Session;

    #[test]
    fn after_a_fallback_the_options_are_those_of_what_computes() {
        let folder = tempfile::tempdir().unwrap();
        let path = threshold::write(folder.path(), SizePolicy::Native);
        let asked = Options {
            provider: Provider::TensorRt,
            precision: ComputePrecision::Fp16,
            instead: vec!["another: it is away".into()],
            allow_fallback: true,
            ..Options::default()
        };
        // The library for the CPU contains nothing of NVIDIA's.
        let session = Session::open(environment(), &path, &asked).unwrap();
        let options = session.options();
        assert_eq!((options.provider, options.precision), (Provider::Cpu, ComputePrecision::Fp32));
        let runs_on = session.runs_on();
        assert_eq!((runs_on.provider, runs_on.precision), (Provider::Cpu, ComputePrecision::Fp32));
        // In the order in which they were tried.
        let reasons = ["another: it is away", "TensorRT: libonnxruntime", "CUDA: libonnxruntime"];
        assert!(runs_on.instead.iter().zip(reasons).all(|(found, reason)| found.starts_with(reason)), "{runs_on:?}");
        assert_eq!(runs_on.instead.len(), reasons.len());
    }
}
