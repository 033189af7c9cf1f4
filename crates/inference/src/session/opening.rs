//! Opens a model file: reads it, checks it, and starts a session on the provider that is asked for.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use ort::environment::Environment;
use ort::session::builder::{AutoDevicePolicy, GraphOptimizationLevel, SessionBuilder};
use seg_contract::{Contract, sha256};
use seg_onnx::graph::Graph;
use seg_onnx::{Model, ModelError, adopt, proto};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::fused::{Fused, FusedError};
use crate::library::loaded_version;
use crate::provider::{
    self, ComputePrecision, EngineCacheError, OptionError, Options, Provider, ProviderError, RuntimeCache, diagnose,
    engine_key,
};
use crate::session::placement::{self, PlacedNode, Placement, PlacementError, RECORD_PLACEMENT};
use crate::session::{Engine, edges};
use crate::threads::SharedThreads;

/// The provider that computes a session, and how, for a report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RunsOn {
    /// The provider.
    pub provider: Provider,
    /// The precision in which it computes float32 values.
    pub precision: ComputePrecision,
    /// The device or the way to compute, if the options can choose it: OpenVINO's device, CUDA's
    /// kernels as one graph.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The version of ONNX Runtime.
    pub onnx_runtime: String,
    /// The plug-in in which the provider comes, if it does: its package and version, or the file
    /// that the user named, with its hash and options.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// The reasons against the providers that were asked for first, if a fallback was allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instead: Vec<String>,
    /// The number of nodes that each provider computes, by ONNX Runtime's name for it.
    pub nodes: BTreeMap<String, usize>,
    /// The nodes that another provider computes, except shape arithmetic on the CPU, if a fallback
    /// was allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elsewhere: Vec<PlacedNode>,
    /// Each model of an ensemble, in their order, if they do not run alike. The fields above are
    /// then the first one's, except the reasons and the nodes, which are those of all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<Self>,
}

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

/// Reads a model file and its contract, without ONNX Runtime.
///
/// # Errors
/// When the file cannot be read or is not one that this toolchain wrote.
pub fn read_model(path: &Path) -> Result<Model, OpenError> {
    parse_model(path, &read(path)?)
}

/// Reads the contract of a model file, whose graph another tool may have written.
///
/// # Errors
/// When the file cannot be read or carries no usable contract.
pub fn read_contract(path: &Path) -> Result<Contract, OpenError> {
    Ok(runnable(path, &read(path)?)?.contract)
}

/// Reads a model file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, OpenError> {
    fs::read(path).map_err(|source| OpenError::Read { path: path.into(), source })
}

/// A model as far as running it needs to know it.
#[derive(Debug)]
pub struct Runnable {
    /// The contract.
    pub contract: Contract,
    /// The graph, where it can be read.
    pub graph: Option<Graph>,
    /// A warning if a tool has changed the model since it was exported.
    pub warning: Option<String>,
}

/// Reads a model from the bytes of its file as far as running it needs: the contract. `path` is its
/// name in errors.
///
/// # Errors
/// When the bytes are no ONNX file, or carry no usable contract, or the graph has another input or
/// output.
pub fn runnable(path: &Path, bytes: &[u8]) -> Result<Runnable, OpenError> {
    let refused = |source: ModelError| OpenError::Model { path: path.into(), source: source.into() };
    let unread = match Model::from_bytes(bytes) {
        Ok(model) => {
            let warning = change_warning(path, bytes, &model);
            return Ok(Runnable { contract: model.contract, graph: Some(model.graph), warning });
        }
        // ONNX Runtime says what the types are.
        Err(error @ (ModelError::Read(_) | ModelError::Broken { what: "input's type" | "output's type", .. })) => error,
        Err(error) => return Err(refused(error)),
    };
    let contract = Model::contract_of(bytes).map_err(refused)?;
    if adopt::is_as_adopted(bytes).is_ok_and(|adopted| adopted == Some(true)) {
        return Ok(Runnable { contract, graph: None, warning: None });
    }
    let mut reason = unread.to_string();
    let mut source = std::error::Error::source(&unread);
    while let Some(cause) = source {
        reason += &format!(": {cause}");
        source = cause.source();
    }
    let warning = format!(
        "`{}` was changed after `seg export` wrote it, and its graph is not one that can be read here: {reason}. ONNX \
         Runtime runs it, but `seg inspect` and `seg verify` cannot say what it computes, and what the contract says of \
         it may no longer be true; score it with `seg eval`",
        path.display()
    );
    Ok(Runnable { contract, graph: None, warning: Some(warning) })
}

/// A file beside a model that holds weights.
#[derive(Clone)]
pub(super) struct External {
    /// The name as the model writes it.
    pub(super) name: String,
    pub(super) bytes: Arc<[u8]>,
}

/// Reads the files that hold a model's weights beside it.
pub(super) fn read_external(path: &Path, bytes: &[u8]) -> Result<Vec<External>, OpenError> {
    let refused = |source: ModelError| OpenError::Model { path: path.into(), source: source.into() };
    let names = proto::external_files(bytes).map_err(|error| refused(error.into()))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let read = |name: String| {
        let is_beside =
            Path::new(&name).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if !is_beside {
            return Err(OpenError::External { path: path.into(), name });
        }
        let place = folder.join(&name);
        let bytes = fs::read(&place).map_err(|source| OpenError::Read { path: place, source })?;
        Ok(External { name, bytes: bytes.into() })
    };
    names.into_iter().map(read).collect()
}

/// Parses a model from the bytes of its file; `path` is its name in errors.
pub fn parse_model(path: &Path, bytes: &[u8]) -> Result<Model, OpenError> {
    Model::from_bytes(bytes).map_err(|source| OpenError::Model { path: path.into(), source: source.into() })
}

/// Returns a warning if a tool has changed the model since it was exported; `bytes` are those of
/// its file `path`.
pub fn change_warning(path: &Path, bytes: &[u8], model: &Model) -> Option<String> {
    // A graph that cannot be written again was written by another program.
    let is_as_exported = model.is_as_exported(bytes).unwrap_or(false);
    (!is_as_exported).then(|| {
        format!(
            "`{}` was changed after `seg export` wrote it: its graph and contract are not those that its metadata \
             name, so what the contract says of it may no longer be true; export the model again, or prove what it \
             computes with `seg verify`",
            path.display()
        )
    })
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

impl RunsOn {
    /// Joins the descriptions of several models, of which there is at least one: the first one,
    /// with the reasons and the nodes of all, and each by itself if they do not run alike.
    pub(crate) fn join(members: &[&Self]) -> Self {
        let mut all = members[0].clone();
        let alike = |member: &&Self| Self { nodes: BTreeMap::new(), ..(*member).clone() };
        if members.iter().map(alike).any(|member| member != alike(&members[0])) {
            all.members = members.iter().copied().cloned().collect();
        }
        for Self { instead, nodes, elsewhere, .. } in &members[1..] {
            for reason in instead {
                if !all.instead.contains(reason) {
                    all.instead.push(reason.clone());
                }
            }
            for (provider, count) in nodes {
                *all.nodes.entry(provider.clone()).or_default() += count;
            }
            all.elsewhere.extend(elsewhere.iter().cloned());
        }
        all
    }

    /// Lists notes for the user: why another provider computes than the requested one, and which
    /// nodes.
    pub fn notes(&self) -> Vec<String> {
        let mut notes: Vec<_> = self.instead.iter().map(|reason| format!("cannot use {reason}")).collect();
        let mut operators = BTreeMap::<_, usize>::new();
        for node in &self.elsewhere {
            *operators.entry((&node.provider, &node.operator)).or_default() += 1;
        }
        for ((provider, operator), count) in operators {
            notes.push(format!("{provider} computes {count} {operator} instead of {}", self.provider));
        }
        notes
    }
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
    use crate::session::Session;

    #[test]
    fn models_that_run_differently_are_told_apart() {
        let node = |name: &str| PlacedNode { name: name.into(), operator: "Conv".into(), provider: "CPU".into() };
        let cuda = RunsOn { provider: Provider::Cuda, nodes: [("CUDA".into(), 5)].into(), ..RunsOn::default() };
        let larger = RunsOn { nodes: [("CUDA".into(), 7)].into(), ..cuda.clone() };
        let leaves = |name| RunsOn {
            nodes: [("CUDA".into(), 4), ("CPU".into(), 1)].into(),
            elsewhere: vec![node(name)],
            ..cuda.clone()
        };
        let cpu = RunsOn { instead: vec!["CUDA: it is away".into()], ..RunsOn::default() };
        for (name, members, nodes, differ, notes) in [
            ("alone", vec![&cpu], 0, false, &["cannot use CUDA: it is away"][..]),
            ("of several sizes", vec![&cuda, &larger], 12, false, &[]),
            ("one on the CPU", vec![&cuda, &cpu], 5, true, &["cannot use CUDA: it is away"]),
            ("with equal reasons", vec![&cpu, &cpu], 0, false, &["cannot use CUDA: it is away"]),
            ("a node elsewhere", vec![&cuda, &leaves("a")], 10, true, &["CPU computes 1 Conv instead of CUDA"]),
            ("other nodes", vec![&leaves("a"), &leaves("b")], 10, true, &["CPU computes 2 Conv instead of CUDA"]),
        ] {
            let all = RunsOn::join(&members);
            assert_eq!(all.nodes.values().sum::<usize>(), nodes, "{name}");
            let expected: Vec<_> = members.iter().filter(|_| differ).map(|member| (*member).clone()).collect();
            assert_eq!(all.members, expected, "{name}");
            assert_eq!(all.notes(), notes, "{name}");
        }
    }

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
