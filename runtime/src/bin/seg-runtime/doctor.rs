//! `seg-runtime doctor`: what works here, and what to install for the rest.

use std::fmt::Write;
use std::path::{Path, PathBuf};
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
use crate::engine::Probed;
use crate::{auto, child, engine};

/// The findings of `doctor`.
#[derive(Serialize)]
struct Report {
    system: System,
    cache: Cache,
    libraries: Vec<Library>,
    nvidia: Nvidia,
    providers: Vec<Tried>,
    /// The providers that work, among which `--ep auto` chooses for each model.
    auto: Vec<Provider>,
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
    /// The library that holds the provider: a build of ONNX Runtime, or a plug-in.
    library: String,
    /// Its version; `None` if it is not there or tells none.
    version: Option<String>,
    /// The devices that the provider may compute on.
    devices: Vec<String>,
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
    ensure!(!report.auto.is_empty(), "no provider works");
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
        let build = Build::ALL.into_iter().find(|build| build.name() == args.build).unwrap_or(Build::Cpu);
        let library::Library { path, version, .. } = engine::locate(&args.engine.tuning.library, build)?;
        let devices = if build == Build::OpenVino { openvino_devices(&path) } else { Ok(Vec::new()) };
        let (openvino_devices, openvino_error) = match devices {
            Ok(devices) => (devices, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        serde_json::to_string(&Found { path, version, openvino_devices, openvino_error })?
    } else {
        let (environment, options) = engine::start::<&Path>(&args.engine, &[])?;
        let runs_on = engine::watch(&options, || run_probe(&environment, &options))?;
        serde_json::to_string(&Probed::new(&environment, &options, runs_on))?
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
        let wanted = offline(library, Provider::default());
        let providers: Vec<_> = auto::candidates(&wanted)
            .map(|provider| scope.spawn(move || try_provider(library, provider, limit)))
            .collect();
        (join(nvidia), libraries.map(join), providers.into_iter().map(join).collect::<Vec<_>>())
    });
    let providers: Vec<_> =
        providers.into_iter().map(|tried| tried.with_library(library, &libraries, &nvidia)).collect();
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
            .filter(|tried| tried.works && engine::software_variable(tried.provider).is_none())
            .map(|tried| tried.provider)
            .collect(),
        providers,
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
    let mut args = vec!["probe".into(), "--locate".into(), "--build".into(), build.name().into()];
    args.extend(offline(library, Provider::default()).to_args());
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
    let tried = engine::probe(&offline(library, provider).alone(provider), limit);
    let seconds = begun.elapsed().as_secs_f64();
    let (runs_on, devices, error) = match tried {
        Ok(Probed { runs_on, devices }) => (Some(runs_on), devices, None),
        Err(error) => (None, Vec::new(), Some(chain(error.as_ref()))),
    };
    let works = error.is_none();
    Tried { provider, works, seconds, library: String::new(), version: None, devices, runs_on, error }
}

impl Tried {
    /// Completes what was found with the library that holds the provider, and with the devices that
    /// its driver or its library names.
    fn with_library(mut self, flags: &args::Library, libraries: &[Library], nvidia: &Nvidia) -> Self {
        let build = self.provider.build();
        let place = Build::ALL.into_iter().position(|other| other == build).unwrap_or_default();
        let found = libraries[place].found.as_ref();
        (self.library, self.version) = match (self.provider.plugin(), &flags.ep_library) {
            _ if self.provider == Provider::Fused => ("seg-runtime".into(), Some(env!("CARGO_PKG_VERSION").into())),
            (_, Some(path)) if self.provider == Provider::Plugin => {
                (path.file_name().unwrap_or_default().to_string_lossy().into_owned(), None)
            }
            (Some(plugin), _) if !found.is_some_and(|found| self.provider.is_built_into(&found.path)) => {
                let is_there = engine::search(flags, build).find_plugin(plugin).is_some();
                let package = plugin.package();
                let (name, version) = package.split_once(' ').unwrap_or((&package, ""));
                (name.to_owned(), is_there.then(|| version.to_owned()))
            }
            _ => {
                let package = libraries[place].package.split(' ').next().unwrap_or_default().to_owned();
                (package, found.map(|found| found.version.clone()))
            }
        };
        if matches!(self.provider, Provider::Cpu | Provider::Fused) {
            self.devices = vec![format!("{} threads", available_threads())];
        } else if self.provider.spec().is_nvidia {
            self.devices = nvidia.driver.iter().flat_map(|driver| &driver.gpus).map(ToString::to_string).collect();
        } else if self.provider == Provider::OpenVino
            && let Some(found) = found.filter(|found| !found.openvino_devices.is_empty())
        {
            self.devices.clone_from(&found.openvino_devices);
        }
        self
    }
}

/// A fault, and its remedy.
struct Fault<'a> {
    what: &'a str,
    remedy: &'a str,
}

impl<'a> Fault<'a> {
    /// Takes an error apart, whose remedy stands after a semicolon and names another provider at
    /// its end.
    fn new(error: &'a str) -> Self {
        let what = error.split_once("cannot load `the test graph` with ").and_then(|(_, rest)| rest.split_once(": "));
        let (what, remedy) = what.map_or(error, |(_, what)| what).split_once("; ").unwrap_or((error, ""));
        // The place where a library would be is of no use in a table.
        let what = what.split(", there is no `").next().unwrap_or_default();
        let remedy = remedy.split(" or choose `--ep").next().unwrap_or_default();
        Self { what, remedy: remedy.trim_end_matches([',', ';', ' ']) }
    }
}

/// The remedies, each with what it is for: one driver may be wanted by several providers.
#[derive(Default)]
struct Remedies<'a>(Vec<(&'a str, Vec<&'a str>)>);

impl<'a> Remedies<'a> {
    fn add(&mut self, remedy: &'a str, name: &'a str) {
        match self.0.iter_mut().find(|(known, _)| *known == remedy) {
            _ if remedy.is_empty() => {}
            Some((_, names)) => names.push(name),
            None => self.0.push((remedy, vec![name])),
        }
    }
}

fn describe(report: &Report) -> anyhow::Result<String> {
    let Report { system, cache, libraries, nvidia, providers, auto } = report;
    let (mut text, mut remedies) = (String::new(), Remedies::default());
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
            (None, error) => {
                writeln!(text, "library    {}", Fault::new(error.as_deref().unwrap_or(&library.package)).what)?;
            }
        }
    }
    match (&nvidia.driver, &nvidia.driver_error) {
        (Some(Driver { version, cuda, is_old, .. }), _) => {
            let version = version.as_ref().map_or_else(String::new, |version| format!(" {version}"));
            let wanted = if *is_old { "; 13.0 or newer is wanted" } else { "" };
            writeln!(text, "driver     NVIDIA's{version}, up to CUDA {cuda}{wanted}")?;
        }
        (None, error) => {
            let fault = Fault::new(error.as_deref().unwrap_or("unknown"));
            remedies.add(fault.remedy, "driver");
            writeln!(text, "driver     {}", fault.what)?;
        }
    }
    for (id, gpu) in nvidia.driver.iter().flat_map(|driver| &driver.gpus).enumerate() {
        writeln!(text, "GPU {id}      {gpu}")?;
    }
    for (name, library) in [("CUDA", &nvidia.cuda_runtime), ("cuDNN", &nvidia.cudnn), ("TensorRT", &nvidia.tensorrt)] {
        let fault = Fault::new(library.describe());
        remedies.add(fault.remedy, name);
        writeln!(text, "{name:9}  {}", fault.what)?;
    }
    write_table(&mut text, providers, &mut remedies)?;
    match &auto[..] {
        [] => {}
        [only] => writeln!(text, "\n--ep auto takes {only}")?,
        several => {
            let name = |provider: &Provider| match provider {
                Provider::Fused => format!("{provider} (AMSUnet alone)"),
                _ => provider.to_string(),
            };
            let names: Vec<_> = several.iter().map(name).collect();
            writeln!(text, "\n--ep auto measures {} on each model, once, and takes the fastest", names.join(", "))?;
        }
    }
    if !remedies.0.is_empty() {
        writeln!(text, "\nwhat to do")?;
    }
    for (remedy, names) in remedies.0 {
        writeln!(text, "  {}: {remedy}", names.join(", "))?;
    }
    Ok(text)
}

/// Writes a row for each provider: its library and version, its devices, and the verdict.
fn write_table<'a>(text: &mut String, providers: &'a [Tried], remedies: &mut Remedies<'a>) -> anyhow::Result<()> {
    const HEAD: [&str; 4] = ["provider", "library", "version", "devices"];
    let rows: Vec<_> = providers
        .iter()
        .map(|tried| {
            let version = tried.version.clone().unwrap_or_else(|| "none".into());
            let devices = if tried.devices.is_empty() { "none".into() } else { tried.devices.join(", ") };
            [tried.provider.flag().to_owned(), tried.library.clone(), version, devices]
        })
        .collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([HEAD[column].len()]).max().unwrap_or_default()
    };
    let [a, b, c, d] = [0, 1, 2, 3].map(width);
    writeln!(text, "\n  {:a$}  {:b$}  {:c$}  {:d$}  verdict", HEAD[0], HEAD[1], HEAD[2], HEAD[3])?;
    for (tried, [provider, library, version, devices]) in providers.iter().zip(&rows) {
        let (mark, verdict) = match &tried.error {
            None => ('✓', format!("works, {:.1} s", tried.seconds)),
            Some(error) => {
                let fault = Fault::new(error);
                remedies.add(fault.remedy, tried.provider.flag());
                ('✗', fault.what.to_owned())
            }
        };
        writeln!(text, "{mark} {provider:a$}  {library:b$}  {version:c$}  {devices:d$}  {verdict}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_taken_apart_into_what_is_wrong_and_what_to_do() {
        for (error, what, remedy) in [
            (
                "cannot load `the test graph` with CUDA: libcuda.so.1: not found; install the NVIDIA driver or choose \
                 `--ep cpu`",
                "libcuda.so.1: not found",
                "install the NVIDIA driver",
            ),
            (
                "WebGPU offers no device here: there is no GPU that it can use; install its driver; or choose `--ep cpu`",
                "WebGPU offers no device here: there is no GPU that it can use",
                "install its driver",
            ),
            (
                "onnxruntime-gpu 1.31.1 is not in the cache, there is no `/a`, and nothing may be fetched now; run `seg setup`",
                "onnxruntime-gpu 1.31.1 is not in the cache",
                "run `seg setup`",
            ),
            ("it crashes with signal: 4", "it crashes with signal: 4", ""),
        ] {
            let fault = Fault::new(error);
            assert_eq!((fault.what, fault.remedy), (what, remedy), "{error}");
        }
    }

    #[test]
    fn a_remedy_is_said_once() {
        let mut remedies = Remedies::default();
        for name in ["cuda", "tensorrt"] {
            remedies.add("install the driver", name);
        }
        remedies.add("", "cpu");
        assert_eq!(remedies.0, [("install the driver", vec!["cuda", "tensorrt"])]);
    }
}
