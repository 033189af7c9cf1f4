//! `seg-runtime doctor`: what works here, and what to install for the rest.

use std::fmt::Write;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::ensure;
use seg_cli::{Shown, chain, print, print_json};
use seg_inference::library::{self, Build, CACHE_VARIABLE, MINOR_VERSION_MIN};
use seg_inference::nvidia::{self, Driver, NvidiaError, Version};
use seg_inference::{
    ComputePrecision, EngineCache, Provider, ProviderError, RunsOn, available_threads, openvino_devices,
    probe as run_probe,
};
use serde::{Deserialize, Serialize};

use crate::args::{self, Engine, Tuning};
use crate::{child, engine};

/// The findings of `doctor`.
#[derive(Serialize)]
struct Report {
    system: System,
    cache: Cache,
    libraries: Vec<Library>,
    nvidia: Nvidia,
    providers: Vec<Tried>,
    /// The provider that `--ep auto` takes.
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
    /// The number of builds of ONNX Runtime that were fetched.
    libraries: usize,
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
    /// The devices that OpenVINO finds, where the library is looked for as a build with it; or why
    /// it tells none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    openvino_devices: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    openvino_error: Option<String>,
}

/// The versions of NVIDIA's libraries, or the reason that there are none.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Nvidia {
    driver: Option<Driver>,
    driver_error: Option<String>,
    cuda_runtime: Installed,
    cudnn: Installed,
    tensorrt: Installed,
}

/// The version of a library; without it, why there is none.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Installed {
    version: Option<String>,
    error: Option<String>,
}

impl From<Result<Version, NvidiaError>> for Installed {
    fn from(version: Result<Version, NvidiaError>) -> Self {
        match version {
            Ok(version) => Self { version: Some(version.to_string()), error: None },
            Err(error) => Self { version: None, error: Some(ProviderError::from(error).to_string()) },
        }
    }
}

impl Installed {
    fn describe(&self) -> &str {
        self.version.as_deref().or(self.error.as_deref()).unwrap_or("unknown")
    }
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
    if args.json {
        print_json(&serde_json::to_string_pretty(&report)?)?;
    } else {
        print(&describe(&report)?)?;
    }
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
        let build = Build::from(args.engine.ep.provider().unwrap_or_default());
        let library::Library { path, version, .. } = engine::locate(&args.engine.tuning.library, build)?;
        let devices = if build == Build::OpenVino { openvino_devices(&path) } else { Ok(Vec::new()) };
        let (openvino_devices, openvino_error) = match devices {
            Ok(devices) => (devices, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        serde_json::to_string(&Found { path, version, openvino_devices, openvino_error })?
    } else {
        let (environment, options) = engine::start(&args.engine)?;
        serde_json::to_string(&engine::watch(&options, || run_probe(&environment, &options))?)?
    };
    print_json(&answer)
}

fn ask_nvidia() -> Nvidia {
    let (driver, driver_error) = match Driver::query() {
        Ok(driver) => (Some(driver), None),
        Err(error) => (None, Some(ProviderError::from(error).to_string())),
    };
    Nvidia {
        driver,
        driver_error,
        cuda_runtime: nvidia::cuda_runtime_version().into(),
        cudnn: nvidia::cudnn_version().into(),
        tensorrt: nvidia::tensorrt_version().into(),
    }
}

/// Asks everything at once: what hangs is waited for once.
fn examine(args: &args::Doctor, limit: Duration) -> Report {
    let library = &args.library;
    let (nvidia, libraries, providers) = thread::scope(|scope| {
        let nvidia = scope.spawn(|| examine_nvidia(limit));
        let libraries = Build::ALL.map(|build| scope.spawn(move || find_library(library, build, limit)));
        let providers = Provider::ALL.map(|provider| scope.spawn(move || try_provider(library, provider, limit)));
        (join(nvidia), libraries.map(join), providers.map(join))
    });
    Report {
        system: System {
            os: std::env::consts::OS,
            architecture: std::env::consts::ARCH,
            cpus: available_threads().get(),
            seg_runtime: env!("CARGO_PKG_VERSION"),
        },
        cache: examine_cache(library),
        libraries: libraries.into(),
        nvidia,
        auto: providers
            .iter()
            .filter(|tried| engine::software_variable(tried.provider).is_none())
            .find(|tried| tried.works)
            .map(|tried| tried.provider),
        providers: providers.into(),
    }
}

fn join<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().expect("what asks another process does not panic")
}

fn examine_nvidia(limit: Duration) -> Nvidia {
    child::ask(&["probe".into(), "--nvidia".into()], Some(limit)).unwrap_or_else(|error| {
        let error = Some(chain(error.as_ref()));
        let installed = Installed { version: None, error: error.clone() };
        let [cuda_runtime, cudnn, tensorrt] = std::array::from_fn(|_| installed.clone());
        Nvidia { driver: None, driver_error: error, cuda_runtime, cudnn, tensorrt }
    })
}

fn examine_cache(library: &args::Library) -> Cache {
    let folder = engine::search(library, Build::Cpu).cache;
    let libraries = Build::ALL.into_iter().filter(|build| engine::search(library, *build).is_fetched()).count();
    let engines = folder.as_ref().map_or(Ok((0, 0)), |folder| EngineCache::new(folder.join("tensorrt")).contents());
    let (counts, error) = match engines {
        Ok(counts) => (counts, None),
        Err(error) => ((0, 0), Some(chain(&error))),
    };
    Cache { folder, libraries, engines: counts.0, engine_bytes: counts.1, error }
}

fn find_library(library: &args::Library, build: Build, limit: Duration) -> Library {
    let provider = Provider::ALL.into_iter().rev().find(|provider| Build::from(*provider) == build).unwrap_or_default();
    let mut args = vec!["probe".into(), "--locate".into()];
    args.extend(offline(library, provider).to_args());
    let (found, error) = match child::ask(&args, Some(limit)) {
        Ok(found) => (Some(found), None),
        Err(error) => (None, Some(chain(error.as_ref()))),
    };
    Library { package: build.package(), found, error }
}

/// Returns the flags that choose a provider and download nothing.
fn offline(library: &args::Library, provider: Provider) -> Engine {
    let library = args::Library { offline: true, ..library.clone() };
    Engine { ep: provider.into(), precision: ComputePrecision::Fp32, tuning: Tuning { library, ..Tuning::default() } }
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
        Some(folder) => {
            let count = cache.libraries;
            writeln!(text, "cache      {} ({CACHE_VARIABLE} moves it), {count} libraries", folder.shown())?;
        }
        None => writeln!(text, "cache      none; set {CACHE_VARIABLE} to a folder")?,
    }
    match &cache.error {
        Some(error) => writeln!(text, "engines    {error}")?,
        None => writeln!(text, "engines    {} of TensorRT, {} MiB", cache.engines, cache.engine_bytes >> 20)?,
    }
    for library in libraries {
        match (&library.found, &library.error) {
            (Some(Found { path, version, openvino_devices, .. }), _) => {
                writeln!(text, "library    ONNX Runtime {version}: {}", path.shown())?;
                if !openvino_devices.is_empty() {
                    writeln!(text, "OpenVINO   {}", openvino_devices.join(", "))?;
                }
            }
            (None, error) => writeln!(text, "library    {}", error.as_deref().unwrap_or(&library.package))?,
        }
    }
    match (&nvidia.driver, &nvidia.driver_error) {
        (Some(Driver { version, cuda, is_old, .. }), _) => {
            let version = version.as_ref().map_or_else(String::new, |version| format!(" {version}"));
            let wanted = if *is_old { "; 13.0 or newer is wanted" } else { "" };
            writeln!(text, "driver     NVIDIA's{version}, up to CUDA {cuda}{wanted}")?;
        }
        (None, error) => writeln!(text, "driver     {}", error.as_deref().unwrap_or("unknown"))?,
    }
    for (id, gpu) in nvidia.driver.iter().flat_map(|driver| &driver.gpus).enumerate() {
        writeln!(text, "GPU {id}      {gpu}")?;
    }
    for (name, library) in [("CUDA", &nvidia.cuda_runtime), ("cuDNN", &nvidia.cudnn), ("TensorRT", &nvidia.tensorrt)] {
        writeln!(text, "{name:9}  {}", library.describe())?;
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
