//! `--ep auto`: measures the providers that work on the model itself, once for each model, machine
//! and version, and takes the fastest.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use std::{env, fs};

use anyhow::{Context, bail};
use seg_cli::{chain, note};
use seg_contract::{SizePolicy, sha256};
use seg_data::write_bytes;
use seg_inference::library::{Build, LIBRARY_VARIABLE, Plugin};
use seg_inference::{Provider, available_threads, digest, read_contract, runnable};
use serde::{Deserialize, Serialize};

use crate::args::{Engine, Size};
use crate::{child, engine};

/// The height and width at which a model that takes any size is measured, in pixels.
const SIDE: usize = 512;

/// Runs that are not measured, and runs that are.
const WARM_UP: usize = 1;
const RUNS: usize = 5;

/// The longest time that measuring may take, without and with an engine to build.
const LIMIT: Duration = Duration::from_secs(120);
const ENGINE_LIMIT: Duration = Duration::from_secs(1800);

/// The share of the CPU's time below which another provider counts as faster.
const FASTER: f64 = 0.95;

/// The largest number of choices that are kept; the oldest goes first.
const CHOICES_MAX: usize = 256;

/// A choice that is kept for later runs.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Choice {
    provider: Provider,
    /// The size that was measured.
    height: u32,
    width: u32,
    /// The median time of one run of each provider that works.
    latency_ms_p50: Vec<(Provider, f64)>,
}

/// The part of a measurement that counts here.
#[derive(Deserialize)]
struct Measured {
    latency_ms: Latency,
}

#[derive(Deserialize)]
struct Latency {
    p50: f64,
}

/// Lists the providers that can be tried on some model.
pub(crate) fn candidates(engine: &Engine) -> impl Iterator<Item = Provider> {
    let is_named = engine.tuning.library.ep_library.is_some();
    Provider::ALL.into_iter().filter(move |provider| *provider != Provider::Plugin || is_named)
}

/// Returns whether a provider may compute a model, by its graph; a folder may hold any model.
fn computes(provider: Provider, model: &Path) -> bool {
    let graph = || runnable(model, &fs::read(model).ok()?).ok()?.graph;
    provider.computes_any() || graph().is_some_and(|graph| provider.may_compute(&graph))
}

/// Chooses the fastest provider that is installed, may compute all models and works, and says
/// which one and why on standard error. The first file is measured. Without one, the provider is
/// the first by rank.
///
/// # Errors
/// When no provider works.
pub(crate) fn choose(engine: &Engine, models: &[&Path]) -> anyhow::Result<Provider> {
    let model = models.iter().copied().find(|model| model.is_file());
    let may_compute = |provider: &Provider| match models {
        [] => provider.computes_any(),
        models => models.iter().all(|model| computes(*provider, model)),
    };
    let place = model.and_then(|_| place(engine, models));
    if let Some(known) = place.as_deref().and_then(Choice::read)
        && candidates(engine).any(|candidate| candidate == known.provider && may_compute(&candidate))
        && engine::works(engine, known.provider).is_ok()
    {
        note(&format!("`--ep auto` takes {}, as measured before", known.describe()));
        return Ok(known.provider);
    }
    let (mut working, mut reasons) = (Vec::new(), Vec::new());
    for provider in candidates(engine).filter(may_compute) {
        match engine::works(engine, provider) {
            Ok(()) => working.push(provider),
            Err(error) => reasons.push(format!("not {provider}: {}", chain(error.as_ref()))),
        }
    }
    reasons.iter().for_each(|reason| note(reason));
    let (first, model) = match (&working[..], model) {
        ([], _) => bail!("no provider works: {}", reasons.join("; ")),
        ([only], _) => {
            note(&format!("`--ep auto` takes {only}, the only one that works"));
            return Ok(*only);
        }
        ([first, ..], model) => (*first, model),
    };
    let Some(model) = model else {
        note(&format!("`--ep auto` takes {first}"));
        return Ok(first);
    };
    let choice = measure(engine, model, &working)?;
    note(&format!("`--ep auto` takes {}; the next run knows it", choice.describe()));
    if let Some(place) = place {
        // Without it, the next run measures again.
        let _ = choice.write(&place);
    }
    Ok(choice.provider)
}

/// Measures each provider on the model, and returns the fastest.
fn measure(engine: &Engine, model: &Path, working: &[Provider]) -> anyhow::Result<Choice> {
    let Size { height, width } = size(model)?;
    let names: Vec<_> = working.iter().map(|provider| provider.to_string()).collect();
    note(&format!("`--ep auto` measures {} at {height}x{width}, once", names.join(", ")));
    let mut latency_ms_p50 = Vec::new();
    for provider in working {
        let limit = if provider.spec().builds_engine { ENGINE_LIMIT } else { LIMIT };
        let args = measure_args(&engine.alone(*provider), model, Size { height, width });
        match child::ask::<Measured>(&args, Some(limit)) {
            Ok(measured) => latency_ms_p50.push((*provider, measured.latency_ms.p50)),
            Err(error) => note(&format!("not {provider}: {}", chain(error.as_ref()))),
        }
    }
    let provider =
        fastest(&latency_ms_p50).context("no provider can run the model; choose one by `--ep` to see why")?;
    Ok(Choice { provider, height, width, latency_ms_p50 })
}

/// Returns the flags of the process that measures a provider.
fn measure_args(engine: &Engine, model: &Path, size: Size) -> Vec<OsString> {
    let mut args: Vec<OsString> = vec!["measure".into(), model.into()];
    for (flag, value) in [
        ("--batch", "1".to_owned()),
        ("--size", size.to_string()),
        ("--warm-up", WARM_UP.to_string()),
        ("--runs", RUNS.to_string()),
    ] {
        args.extend([flag.into(), value.into()]);
    }
    args.extend(engine.to_args());
    args
}

/// Returns the size at which a model is measured: its own, or one near those of medical images.
fn size(model: &Path) -> anyhow::Result<Size> {
    let input = read_contract(model)?.input;
    let [height, width] = match (input.form.size, input.size) {
        (Some(size), _) => size,
        (None, SizePolicy::Resize { height, width }) => [height, width],
        (None, SizePolicy::Native) => input.next_size([SIDE; 2]),
    };
    Ok(Size { height: height as u32, width: width as u32 })
}

/// Returns the provider with the shortest time; another one than the CPU must be clearly faster.
fn fastest(times: &[(Provider, f64)]) -> Option<Provider> {
    let weighted = times.iter().map(|(provider, time)| {
        let share = if *provider == Provider::Cpu { FASTER } else { 1.0 };
        (*provider, time * share)
    });
    weighted.min_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(provider, _)| provider)
}

impl Choice {
    /// Reads a choice; `None` if there is none, or none that this version wrote.
    fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    /// Keeps a choice, and removes the oldest where there are too many.
    fn write(&self, path: &Path) -> anyhow::Result<()> {
        let folder = path.parent().context("a choice lies in a folder")?;
        fs::create_dir_all(folder)?;
        write_bytes(path, &serde_json::to_vec_pretty(self)?)?;
        let mut kept: Vec<(SystemTime, PathBuf)> = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            kept.push((entry.metadata()?.modified()?, entry.path()));
        }
        kept.sort();
        let surplus = kept.len().saturating_sub(CHOICES_MAX);
        for (_, path) in kept.into_iter().take(surplus) {
            // Another process may have removed it.
            let _ = fs::remove_file(path);
        }
        Ok(())
    }

    /// Describes the choice with its times.
    fn describe(&self) -> String {
        let Self { provider, height, width, latency_ms_p50 } = self;
        let times: Vec<_> = latency_ms_p50.iter().map(|(provider, time)| format!("{provider} {time:.1} ms")).collect();
        format!("{provider}: at {height}x{width}, {}", times.join(", "))
    }
}

/// Returns the file that keeps the choice for models, this machine and these versions and flags;
/// `None` without a cache or if a model is no file that can be read.
fn place(engine: &Engine, models: &[&Path]) -> Option<PathBuf> {
    let folder = engine::search(&engine.tuning.library, Build::Cpu).cache?.join("auto");
    let digests: Option<Vec<_>> = models.iter().map(|model| Some(digest(model).ok()?.1.to_string())).collect();
    let key = sha256(format!("{}\n{}\n{}\n{}", digests?.join(" "), machine(), versions(engine), flags(engine)));
    Some(folder.join(format!("{key}.json")))
}

/// Describes the machine: its processor, how much of it this process may use, and its GPUs with
/// NVIDIA's driver.
fn machine() -> String {
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read(Path::new("/proc/cpuinfo"));
    let processor = cpuinfo.lines().find(|line| line.starts_with("model name")).unwrap_or_default();
    let mut devices: Vec<_> = fs::read_dir("/sys/bus/pci/devices")
        .into_iter()
        .flatten()
        .flatten()
        .map(|device| ["class", "vendor", "device"].map(|name| read(&device.path().join(name)).trim().to_owned()))
        // Display controllers and processing accelerators.
        .filter(|[class, ..]| class.starts_with("0x03") || class.starts_with("0x12"))
        .map(|parts| parts.join(" "))
        .collect();
    devices.sort();
    let driver = read(Path::new("/proc/driver/nvidia/version"));
    format!("{}\n{processor}\n{}\n{}\n{driver}", env::consts::ARCH, available_threads(), devices.join(", "))
}

/// Describes this program and the libraries that are there.
fn versions(engine: &Engine) -> String {
    let library = &engine.tuning.library;
    let mut parts = vec![env!("CARGO_PKG_VERSION").to_owned()];
    for build in Build::ALL {
        if engine::search(library, build).is_fetched() {
            parts.push(build.package());
        }
    }
    let search = engine::search(library, Build::Cpu);
    parts.extend(Plugin::ALL.into_iter().filter(|plugin| search.find_plugin(*plugin).is_some()).map(Plugin::package));
    let given = [library.ort_lib.clone(), env::var_os(LIBRARY_VARIABLE).map(PathBuf::from), library.ep_library.clone()];
    for path in given.into_iter().flatten() {
        let state = fs::metadata(&path).ok().map(|found| (found.len(), found.modified().ok()));
        parts.push(format!("{} {state:?}", path.display()));
    }
    parts.join("\n")
}

/// Describes the flags that may change how fast a provider is.
fn flags(engine: &Engine) -> String {
    let mut engine = engine.clone();
    engine.tuning.allow_fallback = false;
    engine.tuning.library.offline = false;
    format!("{:?}", engine.to_args())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_provider_than_the_cpu_must_be_clearly_faster() {
        use Provider::{Cpu, OpenVino, WebGpu};
        for (times, expected) in [
            (&[][..], None),
            (&[(OpenVino, 90.0), (Cpu, 100.0)], Some(OpenVino)),
            (&[(OpenVino, 96.0), (Cpu, 100.0)], Some(Cpu)),
            (&[(OpenVino, 90.0), (WebGpu, 80.0), (Cpu, 100.0)], Some(WebGpu)),
            (&[(OpenVino, 900.0)], Some(OpenVino)),
        ] {
            assert_eq!(fastest(times), expected, "{times:?}");
        }
    }

    #[test]
    fn choices_are_read_back_and_the_oldest_are_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let place = |index: usize| folder.path().join("auto").join(format!("{index}.json"));
        let choice = |time| Choice {
            provider: Provider::OpenVino,
            height: 512,
            width: 256,
            latency_ms_p50: vec![(Provider::OpenVino, time), (Provider::Cpu, 20.0)],
        };
        for index in 0..CHOICES_MAX + 3 {
            choice(index as f64).write(&place(index)).unwrap();
        }
        assert_eq!(folder.path().join("auto").read_dir().unwrap().count(), CHOICES_MAX);
        assert_eq!(Choice::read(&place(CHOICES_MAX + 2)), Some(choice((CHOICES_MAX + 2) as f64)));
        assert_eq!(choice(10.0).describe(), "OpenVINO: at 512x256, OpenVINO 10.0 ms, the CPU 20.0 ms");
        fs::write(place(7), "{}").unwrap();
        assert_eq!(Choice::read(&place(7)), None, "of another version");
    }
}
