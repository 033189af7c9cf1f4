//! `seg-runtime doctor`: what works here, and what to install for the rest.

use std::{fmt::Write, path::PathBuf, thread, time::Duration, time::Instant};

use anyhow::ensure;
use seg_runtime::{
    Provider, RunsOn,
    library::{self, Build, CACHE_VARIABLE, MINOR_VERSION_MIN},
    nvidia::{self, Driver, Gpu},
    probe as run_probe,
    provider::{EngineCache, ProviderError},
};
use serde::{Deserialize, Serialize};

use crate::{
    args::{self, Engine, Precision, Tuning},
    chain, child, engine, print,
};

/// A provider of each build of ONNX Runtime.
const LIBRARIES: [Provider; 3] = [Provider::Cpu, Provider::Cuda, Provider::OpenVino];

/// All that was found.
#[derive(Serialize)]
struct Report {
    system: System,
    cache: Cache,
    libraries: Vec<Library>,
    nvidia: Nvidia,
    providers: Vec<Tried>,
    /// What `--ep auto` takes.
    auto: Option<Provider>,
}

#[derive(Serialize)]
struct System {
    os: &'static str,
    architecture: &'static str,
    cpus: usize,
    seg_runtime: &'static str,
}

#[derive(Serialize)]
struct Cache {
    folder: Option<PathBuf>,
    /// The number of models and settings that there are TensorRT engines for.
    engines: usize,
    engine_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// A build of ONNX Runtime.
#[derive(Serialize)]
struct Library {
    package: String,
    #[serde(flatten)]
    found: Option<Found>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// A library that can be loaded.
#[derive(Serialize, Deserialize)]
struct Found {
    path: PathBuf,
    version: String,
}

/// What NVIDIA's libraries say; without them, why they do not.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Nvidia {
    /// The newest CUDA that the driver can run.
    cuda: Option<String>,
    gpus: Vec<Gpu>,
    driver_error: Option<String>,
    tensorrt: Option<String>,
    tensorrt_error: Option<String>,
}

/// A provider that was tried on a small graph.
#[derive(Serialize)]
struct Tried {
    provider: Provider,
    works: bool,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    runs_on: Option<RunsOn>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(crate) fn doctor(args: &args::Doctor) -> anyhow::Result<()> {
    let limit = Duration::from_secs(args.timeout.get());
    let report = examine(args, limit);
    print(&if args.json { serde_json::to_string_pretty(&report)? + "\n" } else { describe(&report)? })?;
    ensure!(report.auto.is_some(), "no provider works");
    for provider in args.ep.iter().filter_map(|ep| ep.provider()) {
        let works = report.providers.iter().any(|tried| tried.provider == provider && tried.works);
        ensure!(works, "{provider} does not work here");
    }
    Ok(())
}

/// Answers one question of [`doctor`] or of `--ep auto`, in a process of its own.
pub(crate) fn probe(args: &args::Probe) -> anyhow::Result<()> {
    let answer = if args.nvidia {
        serde_json::to_string(&ask_nvidia())?
    } else if args.locate {
        let build = args.engine.ep.provider().unwrap_or_default().into();
        let library::Library { path, version, .. } = engine::locate(&args.engine.tuning.library, build)?;
        serde_json::to_string(&Found { path, version })?
    } else {
        let (environment, options) = engine::start(&args.engine)?;
        serde_json::to_string(&run_probe(&environment, &options)?)?
    };
    print(&(answer + "\n"))
}

fn ask_nvidia() -> Nvidia {
    let mut found = Nvidia::default();
    match Driver::query() {
        Ok(driver) => (found.cuda, found.gpus) = (Some(driver.cuda), driver.gpus),
        Err(error) => found.driver_error = Some(ProviderError::from(error).to_string()),
    }
    match nvidia::tensorrt_version() {
        Ok(version) => found.tensorrt = Some(version.to_string()),
        Err(error) => found.tensorrt_error = Some(ProviderError::from(error).to_string()),
    }
    found
}

/// Asks everything at once: what hangs is waited for once.
fn examine(args: &args::Doctor, limit: Duration) -> Report {
    let library = &args.library;
    let (nvidia, libraries, providers) = thread::scope(|scope| {
        let nvidia = scope.spawn(|| examine_nvidia(limit));
        let libraries = LIBRARIES.map(|provider| scope.spawn(move || find_library(library, provider, limit)));
        let providers = Provider::ALL.map(|provider| scope.spawn(move || try_provider(library, provider, limit)));
        (join(nvidia), libraries.map(join), providers.map(join))
    });
    Report {
        system: System {
            os: std::env::consts::OS,
            architecture: std::env::consts::ARCH,
            cpus: thread::available_parallelism().map_or(1, usize::from),
            seg_runtime: env!("CARGO_PKG_VERSION"),
        },
        cache: examine_cache(library),
        libraries: libraries.into(),
        nvidia,
        auto: providers.iter().find(|tried| tried.works).map(|tried| tried.provider),
        providers: providers.into(),
    }
}

fn join<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().expect("what asks another process does not panic")
}

fn examine_nvidia(limit: Duration) -> Nvidia {
    child::ask(&["probe".into(), "--nvidia".into()], Some(limit)).unwrap_or_else(|error| {
        let error = Some(chain(error.as_ref()));
        Nvidia { driver_error: error.clone(), tensorrt_error: error, ..Nvidia::default() }
    })
}

fn examine_cache(library: &args::Library) -> Cache {
    let folder = engine::search(library, Build::Cpu).cache;
    let engines = folder.as_ref().map_or(Ok((0, 0)), |folder| EngineCache::new(folder.join("tensorrt")).contents());
    let (counts, error) = match engines {
        Ok(counts) => (counts, None),
        Err(error) => ((0, 0), Some(chain(&error))),
    };
    Cache { folder, engines: counts.0, engine_bytes: counts.1, error }
}

fn find_library(library: &args::Library, provider: Provider, limit: Duration) -> Library {
    let mut args = vec!["probe".into(), "--locate".into()];
    args.extend(offline(library, provider).to_args());
    let (found, error) = match child::ask(&args, Some(limit)) {
        Ok(found) => (Some(found), None),
        Err(error) => (None, Some(chain(error.as_ref()))),
    };
    Library { package: Build::from(provider).package(), found, error }
}

/// The flags that choose a provider and fetch nothing.
fn offline(library: &args::Library, provider: Provider) -> Engine {
    let library = args::Library { offline: true, ..library.clone() };
    Engine { ep: provider.into(), precision: Precision::Fp32, tuning: Tuning { library, ..Tuning::default() } }
}

fn try_provider(library: &args::Library, provider: Provider, limit: Duration) -> Tried {
    let begun = Instant::now();
    let tried = engine::probe(&offline(library, provider), limit);
    let seconds = begun.elapsed().as_secs_f64();
    match tried {
        Ok(runs_on) => Tried { provider, works: true, seconds, runs_on: Some(runs_on), error: None },
        Err(error) => Tried { provider, works: false, seconds, runs_on: None, error: Some(chain(error.as_ref())) },
    }
}

fn describe(report: &Report) -> anyhow::Result<String> {
    let Report { system, cache, libraries, nvidia, providers, auto } = report;
    let mut text = String::new();
    let System { os, architecture, cpus, seg_runtime } = system;
    writeln!(
        text,
        "system     {os} {architecture}, {cpus} CPUs; seg-runtime {seg_runtime}, ONNX Runtime 1.{MINOR_VERSION_MIN} or newer"
    )?;
    match &cache.folder {
        Some(folder) => writeln!(text, "cache      {} ({CACHE_VARIABLE} moves it)", folder.display())?,
        None => writeln!(text, "cache      none; set {CACHE_VARIABLE} to a folder")?,
    }
    match &cache.error {
        Some(error) => writeln!(text, "engines    {error}")?,
        None => writeln!(text, "engines    {} of TensorRT, {} MiB", cache.engines, cache.engine_bytes >> 20)?,
    }
    for library in libraries {
        match (&library.found, &library.error) {
            (Some(Found { path, version }), _) => {
                writeln!(text, "library    ONNX Runtime {version}: {}", path.display())?
            }
            (None, error) => writeln!(text, "library    {}", error.as_deref().unwrap_or(&library.package))?,
        }
    }
    match (&nvidia.cuda, &nvidia.driver_error) {
        (Some(cuda), _) => writeln!(text, "driver     NVIDIA's, up to CUDA {cuda}")?,
        (None, error) => writeln!(text, "driver     {}", error.as_deref().unwrap_or("unknown"))?,
    }
    for (id, gpu) in nvidia.gpus.iter().enumerate() {
        writeln!(text, "GPU {id}      {gpu}")?;
    }
    match (&nvidia.tensorrt, &nvidia.tensorrt_error) {
        (Some(version), _) => writeln!(text, "TensorRT   {version}")?,
        (None, error) => writeln!(text, "TensorRT   {}", error.as_deref().unwrap_or("unknown"))?,
    }
    for tried in providers {
        let name = format!("--ep {}", tried.provider.flag());
        match &tried.error {
            None => writeln!(text, "{name:13}  works, {:.1} s", tried.seconds)?,
            Some(error) => writeln!(text, "{name:13}  does not work: {error}")?,
        }
    }
    if let Some(provider) = auto {
        writeln!(text, "{:13}  takes {provider}", "--ep auto")?;
    }
    Ok(text)
}
