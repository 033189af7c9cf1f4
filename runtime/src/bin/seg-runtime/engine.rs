//! Starts ONNX Runtime as the flags say.

#![allow(unsafe_code, reason = "sets an environment variable before any thread is started")]

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};
use std::{env, thread};

use anyhow::{Context, bail};
use ort::environment::Environment;
use seg_cli::{Shown, chain, detail, note, warn};
use seg_inference::library::{Build, Library, Search};
use seg_inference::nvidia::TF32_VARIABLE;
use seg_inference::{ComputePrecision, EngineCache, NamedPlugin, Options, Provider, RunsOn, Session, offered_devices};
use serde::{Deserialize, Serialize};

use crate::args::{Engine, Ep};
use crate::{args, auto, child};

/// The longest time that a provider may take to run a small graph; TensorRT builds an engine for
/// it.
const PROBE_LIMIT: Duration = Duration::from_secs(120);

/// The time between two notes that TensorRT is still building.
const REPORT_PERIOD: Duration = Duration::from_secs(10);

/// Starts ONNX Runtime, downloaded if necessary, and returns the options of its sessions.
///
/// `models` are the files to run, and folders of them; `--ep auto` measures on the first file. The
/// environment must outlive the sessions that are opened in it. If the CPU replaces a provider
/// whose library is missing, that is said when a model is [opened](open), and in its report.
pub(crate) fn start<P: AsRef<Path>>(engine: &Engine, models: &[P]) -> anyhow::Result<(Environment, Options)> {
    let provider = match engine.ep.provider() {
        Some(provider) => provider,
        None => auto::choose(engine, &models.iter().map(AsRef::as_ref).collect::<Vec<_>>())?,
    };
    let engine = if engine.ep == Ep::Auto { &engine.alone(provider) } else { engine };
    let mut options = options(engine, provider)?;
    options.check()?;
    let located = locate(&engine.tuning.library, provider.build()).and_then(|library| {
        options.plugin_library = locate_plugin(&engine.tuning.library, provider, &library)?;
        Ok(library)
    });
    let library = match located {
        Err(error) if options.allow_fallback && provider != Provider::Cpu => {
            let instead = vec![format!("{provider}: {}", chain(error.as_ref()))];
            options = Options { threads: options.threads, instead, ..Options::default() };
            locate(&engine.tuning.library, Build::Cpu)?
        }
        located => located?,
    };
    if options.provider.spec().is_nvidia && options.precision == ComputePrecision::Fp32 {
        // SAFETY: the process has no other thread that reads variables; those of ONNX Runtime start
        // when it is loaded.
        unsafe { env::set_var(TF32_VARIABLE, "0") };
    }
    detail(&format!("library      ONNX Runtime {}: {}", library.version, library.path.shown()));
    detail(&format!("provider     {}, {}", options.provider, options.precision));
    if let Some(plugin) = options.plugin() {
        detail(&format!("plug-in      {plugin}"));
    }
    Ok((library.load()?, options))
}

/// Opens a model, and says on standard error that it takes long where it does, and what another
/// provider computes.
pub(crate) fn open<T: AsRef<[Session]>, E>(options: &Options, open: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    let opened = watch(options, open);
    if let Ok(opened) = &opened {
        report_fallback(opened.as_ref());
    }
    opened
}

/// Does what may build an engine, and says every now and then that it is still being built.
pub(crate) fn watch<T>(options: &Options, work: impl FnOnce() -> T) -> T {
    let (provider, begun) = (options.provider, Instant::now());
    let (done, waiting) = mpsc::channel::<()>();
    let is_slow = options.provider.spec().builds_engine;
    let watcher = is_slow.then(|| thread::spawn(move || tell_building(provider, begun, &waiting)));
    let outcome = work();
    drop(done);
    if let Some(watcher) = watcher {
        // It prints and cannot fail; if it did, the work would be done all the same.
        let _ = watcher.join();
    }
    outcome
}

/// Says every now and then that an engine is still being built, until `done` is closed.
fn tell_building(provider: Provider, begun: Instant, done: &mpsc::Receiver<()>) {
    while done.recv_timeout(REPORT_PERIOD) == Err(RecvTimeoutError::Timeout) {
        let seconds = begun.elapsed().as_secs();
        note(&format!("{provider} builds its engine, {seconds} s so far; the next run finds it"));
    }
}

/// Says why another provider computes than the one asked for, and which nodes; of each model where
/// they do not run alike.
fn report_fallback(sessions: &[Session]) {
    let notes: Vec<_> = sessions.iter().map(|session| session.notes()).collect();
    let are_alike = notes.windows(2).all(|pair| pair[0] == pair[1]);
    let told = if are_alike { &notes[..1] } else { &notes };
    for (session, notes) in sessions.iter().zip(told) {
        let whose = if are_alike { String::new() } else { format!("`{}`: ", session.file().file) };
        notes.iter().for_each(|line| warn(&format!("{whose}{line}")));
    }
}

/// Returns the variable because of which `--ep auto` passes a provider over, if it is set.
pub(crate) fn software_variable(provider: Provider) -> Option<&'static str> {
    provider.spec().software_variable.filter(|variable| env::var_os(variable).is_some())
}

/// Checks that a provider is installed, has the options, and runs a small graph.
pub(crate) fn works(engine: &Engine, provider: Provider) -> anyhow::Result<()> {
    if let Some(variable) = software_variable(provider) {
        bail!("{variable} is set, with which it may compute in software, slower than the CPU");
    }
    let engine = engine.alone(provider);
    options(&engine, provider)?.check()?;
    // The CPU comes last and needs no proof; what is missing is fetched.
    if provider != Provider::Cpu {
        probe(&engine, PROBE_LIMIT)?;
    }
    Ok(())
}

/// An answer of [`probe`]: what computed a small graph, and the devices that the provider offers.
#[derive(Serialize, Deserialize)]
pub(crate) struct Probed {
    pub(crate) runs_on: RunsOn,
    pub(crate) devices: Vec<String>,
}

impl Probed {
    pub(crate) fn new(environment: &Environment, options: &Options, runs_on: RunsOn) -> Self {
        Self { runs_on, devices: offered_devices(environment, options) }
    }
}

impl Engine {
    /// Returns the flags for one provider, without those of a plug-in that it is not.
    pub(crate) fn alone(&self, provider: Provider) -> Self {
        let mut engine = Self { ep: provider.into(), ..self.clone() };
        if provider != Provider::Plugin {
            engine.tuning.library = engine.tuning.library.without_plugin();
        }
        engine
    }
}

/// Runs a small graph in a process of its own, which fetches nothing and lets no other provider
/// help out; returns what computed it.
pub(crate) fn probe(engine: &Engine, limit: Duration) -> anyhow::Result<Probed> {
    let mut engine = engine.clone();
    engine.tuning.library.offline = true;
    engine.tuning.allow_fallback = false;
    let mut args = vec!["probe".into()];
    args.extend(engine.to_args());
    child::ask(&args, Some(limit))
}

/// Returns the options to run models with on a provider.
///
/// # Errors
/// When the plug-in that the flags name cannot be read.
pub(crate) fn options(engine: &Engine, provider: Provider) -> anyhow::Result<Options> {
    let args::Tuning {
        allow_fallback,
        threads,
        device_id,
        memory_limit,
        cuda_graph,
        openvino_device,
        shapes,
        builder_level,
        library,
    } = engine.tuning.clone();
    let cache = search(&library, Build::Gpu).cache;
    let engines = cache.as_ref().map(|cache| EngineCache::new(cache.join("tensorrt")));
    Ok(Options {
        provider,
        instead: Vec::new(),
        allow_fallback,
        threads,
        shared_threads: None,
        one_shape_pixels_max: 0,
        device_id,
        precision: engine.precision,
        memory_limit_bytes: memory_limit.map(|mib| mib.get() << 20),
        cuda_graph,
        openvino_device,
        builder_level,
        shapes,
        tile: None,
        batch_max: None,
        plugin_library: None,
        named_plugin: named_plugin(&library)?,
        engines,
        runtime_cache: cache.map(|cache| cache.join("tensorrt-rtx")),
    })
}

/// Reads the plug-in that the flags name, if they name one.
fn named_plugin(flags: &args::Library) -> anyhow::Result<Option<NamedPlugin>> {
    let Some((library, name)) = flags.ep_library.as_ref().zip(flags.ep_name.as_ref()) else { return Ok(None) };
    let plugin = NamedPlugin::read(library, name, &flags.ep_option);
    plugin.map(Some).with_context(|| format!("cannot read the plug-in `{}`", library.shown()))
}

/// Returns the places in which a build of ONNX Runtime is looked for.
pub(crate) fn search(library: &args::Library, build: Build) -> Search {
    let search = Search::from_env(library.ort_lib.clone(), build);
    Search { offline: search.offline || library.offline, ..search }
}

/// Returns the library of a provider that is a plug-in, downloaded if necessary; `None` for others,
/// and where the ONNX Runtime that the user named has the provider built in.
fn locate_plugin(library: &args::Library, provider: Provider, found: &Library) -> anyhow::Result<Option<PathBuf>> {
    let Some(plugin) = provider.plugin() else { return Ok(None) };
    if provider.is_built_into(&found.path) {
        return Ok(None);
    }
    let search = search(library, provider.build());
    if search.find_plugin(plugin).is_none() && !search.offline {
        note(&format!("fetching {}; this happens once", plugin.package()));
    }
    Ok(Some(search.fetch_plugin(plugin)?))
}

/// Returns the library, downloaded if necessary.
pub(crate) fn locate(library: &args::Library, build: Build) -> anyhow::Result<Library> {
    let search = search(library, build);
    if let Some(library) = search.find()? {
        return Ok(library);
    }
    if !search.offline {
        note(&format!("fetching {}; this happens once", build.package()));
    }
    Ok(search.fetch()?)
}
