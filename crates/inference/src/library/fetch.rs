//! Fetches the ONNX Runtime library: the pinned wheel, checked by its hash, from pip or from a
//! file.
//!
//! A wheel is a portable archive of the official build. pip knows the user's mirrors and proxies,
//! and `--require-hashes` makes the origin irrelevant. A machine without Python takes the wheel as
//! a file.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf, absolute};
use std::process::Command;

use tempfile::Builder;
use thiserror::Error;
use zip::ZipArchive;
use zip::result::ZipError;

use super::{Build, CACHE_VARIABLE, LIBRARY_VARIABLE, MINOR_VERSION_MIN, OFFLINE_VARIABLE, Plugin};
use crate::model_file::digest_of;

/// A wheel for CPython 3.11 on x86-64 Linux, of which only the libraries are used; or an archive of
/// npm.
pub(super) struct Wheel {
    pub(super) package: &'static str,
    pub(super) version: &'static str,
    pub(super) sha256: &'static str,
    /// The library's path in it.
    pub(super) library: &'static str,
    /// Names under which the library looks for others beside it, and the files that these are:
    /// links that a wheel leaves to its Python code.
    pub(super) links: &'static [(&'static str, &'static str)],
}

const CPU: Wheel = Wheel {
    package: "onnxruntime",
    version: "1.32.0",
    sha256: "5a34fc4dfeb5a7b4a74c95dcba1e773d722abda720b474edf1b0c419dc6d163d",
    library: "onnxruntime/capi/libonnxruntime.so.1.32.0",
    links: &[],
};

/// For CUDA 13, cuDNN 9 and TensorRT 10; the newest build that exists.
const GPU: Wheel = Wheel {
    package: "onnxruntime-gpu",
    version: "1.31.1",
    sha256: "e26c475fe361b2015f45b4b824bd13f0bb20204e59b62814e6f0acd5f3d491a6",
    library: "onnxruntime/capi/libonnxruntime.so.1.31.1",
    links: &[],
};

/// With OpenVINO 2025.4 inside, for processors that [`OPENVINO_PLUGIN`] does not take; the newest
/// build that exists.
const OPENVINO: Wheel = Wheel {
    package: "onnxruntime-openvino",
    version: "1.24.1",
    sha256: "3007c803634cc69c6d52af1dea7ce729d9bb62b9a11070fd2f959119199007a8",
    library: "onnxruntime/capi/libonnxruntime.so.1.24.1",
    links: &[],
};

const WEBGPU: Wheel = Wheel {
    package: "onnxruntime-ep-webgpu",
    version: "0.4.0",
    sha256: "5d8c961eda91a88961cad1fb7621f389f006b18497d6ea9ecf96f729f066cbfb",
    library: "onnxruntime_ep_webgpu/libonnxruntime_providers_webgpu.so",
    links: &[],
};

/// With OpenVINO 2026.4 beside it, for Intel's processors.
const OPENVINO_PLUGIN: Wheel = Wheel {
    package: "onnxruntime-ep-openvino",
    version: "1.8.1",
    sha256: "3832643158c8c187fcab6db661cde2a8c06a2b3559d95d0f2411ac0e51c5e924",
    library: "onnxruntime_ep_openvino/libonnxruntime_providers_openvino_plugin.so",
    links: &[],
};

/// For CUDA 13.
const TENSORRT_RTX: Wheel = Wheel {
    package: "onnxruntime-ep-nv-tensorrt-rtx-cu13",
    version: "0.5.0",
    sha256: "32f575c633d171b4edf4b53d3bb22b72a6c9c0a850d2982ce9a788a5d40d3298",
    library: "onnxruntime_ep_nv_tensorrt_rtx/libonnxruntime_providers_nv_tensorrt_rtx.so",
    links: &[
        ("libcudart.so.13", "libcudart.so.13.4.36"),
        ("libtensorrt_rtx.so.1", "libtensorrt_rtx.so.1.7.1"),
        ("libtensorrt_rtx.so", "libtensorrt_rtx.so.1.7.1"),
        ("libtensorrt_onnxparser_rtx.so.1", "libtensorrt_onnxparser_rtx.so.1.7.1"),
        ("libtensorrt_onnxparser_rtx.so", "libtensorrt_onnxparser_rtx.so.1.7.1"),
    ],
};

/// The ways to start pip; the first that works is used.
const PIP: [&[&str]; 2] = [&["python3", "-m", "pip"], &["pip3"]];

/// The reason for which the library cannot be fetched.
#[derive(Debug, Error)]
pub enum FetchError {
    /// No wheel is pinned for this platform.
    #[error(
        "no ONNX Runtime build is pinned for {os} on {arch}; install ONNX Runtime 1.{MINOR_VERSION_MIN} or newer and \
         name its library by `--ort-lib` or {LIBRARY_VARIABLE}"
    )]
    Platform {
        /// The operating system.
        os: &'static str,
        /// The processor's architecture.
        arch: &'static str,
    },
    /// The environment names no folder for the library.
    #[error(
        "no folder to keep the ONNX Runtime library in: neither {CACHE_VARIABLE} nor XDG_CACHE_HOME nor HOME is set"
    )]
    NoCache,
    /// Fetching is forbidden.
    #[error(
        "{package} is not in the cache, there is no `{path}`, and nothing may be fetched now (`--offline`, \
         {OFFLINE_VARIABLE}); run `{setup}` where there is a network, or name a library by `--ort-lib` or {LIBRARY_VARIABLE}"
    )]
    Offline {
        /// The package, with its version.
        package: String,
        /// The path where the library was expected.
        path: PathBuf,
        /// The command that fetches it.
        setup: &'static str,
    },
    /// The cache cannot be written.
    #[error("cannot write `{path}` in the cache of ONNX Runtime libraries")]
    Cache {
        /// The path that could not be written.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A wheel that was brought along cannot be read.
    #[error("cannot read the wheel `{path}`")]
    ReadWheel {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The SHA-256 of a wheel that was brought along is not a pinned one.
    #[error("the wheel `{path}` has the SHA-256 {found}, expected that of {expected}; download one of these again")]
    OtherWheel {
        /// The file.
        path: PathBuf,
        /// Its hash.
        found: String,
        /// The pinned wheels with their hashes.
        expected: String,
    },
    /// A wheel that was brought along cannot be unpacked.
    #[error("cannot unpack the wheel `{path}` into the cache of ONNX Runtime libraries")]
    Unpack {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: ZipError,
    },
    /// ONNX Runtime for browsers may not be fetched.
    #[error(
        "{package} is not in the cache, there is no `{path}`, and nothing may be fetched now ({OFFLINE_VARIABLE}); export \
         where there is a network, or name the package's archive by `--web-package FILE`"
    )]
    WebOffline {
        /// The package, with its version.
        package: String,
        /// The path where it was expected.
        path: PathBuf,
    },
    /// The archive of ONNX Runtime for browsers cannot be read.
    #[error("cannot read the archive `{path}`")]
    ReadArchive {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The SHA-256 of an archive of npm is not the pinned one.
    #[error("the archive `{path}` has the SHA-256 {found}, expected {expected} of {package}; download that one")]
    OtherArchive {
        /// The file.
        path: PathBuf,
        /// Its hash.
        found: String,
        /// The package, with its version.
        package: String,
        /// The pinned hash.
        expected: &'static str,
    },
    /// npm could not fetch ONNX Runtime for browsers.
    #[error(
        "cannot fetch {package} {version} with `npm pack` ({reason}); run `npm pack {package}@{version}` elsewhere, and \
         name its archive by `--web-package FILE`"
    )]
    Npm {
        /// The package.
        package: &'static str,
        /// Its version.
        version: &'static str,
        /// The message of npm.
        reason: String,
    },
    /// No pip could fetch the wheel.
    #[error(
        "cannot fetch {package} {version} with pip ({attempts}); download its wheel elsewhere and run `seg setup --wheel \
         FILE`, or install ONNX Runtime 1.{MINOR_VERSION_MIN} or newer and name its library by `--ort-lib` or \
         {LIBRARY_VARIABLE}"
    )]
    Pip {
        /// The package.
        package: &'static str,
        /// Its version.
        version: &'static str,
        /// The message of each pip.
        attempts: String,
    },
}

impl Wheel {
    fn for_build(build: Build) -> Self {
        match build {
            Build::Cpu => CPU,
            Build::Gpu => GPU,
            Build::OpenVino => OPENVINO,
        }
    }

    pub(super) fn for_plugin(plugin: Plugin) -> Self {
        match plugin {
            Plugin::WebGpu => WEBGPU,
            Plugin::TensorRtRtx => TENSORRT_RTX,
            Plugin::OpenVino => OPENVINO_PLUGIN,
        }
    }

    /// Returns the package with its version.
    pub(super) fn title(&self) -> String {
        format!("{} {}", self.package, self.version)
    }

    /// Returns the folder into which the wheel is unpacked.
    fn folder(&self, cache: &Path) -> PathBuf {
        cache.join(format!("{}-{}", self.package, self.version))
    }

    /// Returns the path of the library in that folder.
    pub(super) fn library(&self, cache: &Path) -> PathBuf {
        self.folder(cache).join(self.library)
    }
}

/// Returns the package that contains a build, with its version.
pub(super) fn package(build: Build) -> String {
    Wheel::for_build(build).title()
}

/// Returns the path of a fetched library in the cache.
pub(super) fn library_path(cache: &Path, build: Build) -> PathBuf {
    Wheel::for_build(build).library(cache)
}

/// Fetches a build into the cache unless it is there, and returns its [`library_path`].
pub(super) fn fetch(cache: Option<&Path>, offline: bool, build: Build) -> Result<PathBuf, FetchError> {
    let cache = usable(cache)?;
    let path = library_path(cache, build);
    if offline {
        return Err(FetchError::Offline { package: package(build), path, setup: build.setup() });
    }
    let wheel = Wheel::for_build(build);
    fill(&wheel, cache, |partial| install(&wheel, partial))?;
    Ok(path)
}

/// Unpacks a wheel that was brought along into the cache unless it is there, and returns the build
/// if it is one, the package and the library.
pub(super) fn unpack(cache: Option<&Path>, file: &Path) -> Result<(Option<Build>, String, PathBuf), FetchError> {
    let cache = usable(cache)?;
    let builds = Build::ALL.map(Wheel::for_build).into_iter();
    let wheels: Vec<_> = builds.chain(Plugin::ALL.map(Wheel::for_plugin)).collect();
    let index = unpack_one_of(&wheels, cache, file)?;
    Ok((Build::ALL.get(index).copied(), wheels[index].title(), wheels[index].library(cache)))
}

/// Fetches a plug-in into the cache unless it is there, and returns its library.
pub(super) fn fetch_plugin(cache: Option<&Path>, offline: bool, plugin: Plugin) -> Result<PathBuf, FetchError> {
    let (cache, wheel) = (usable(cache)?, Wheel::for_plugin(plugin));
    let path = wheel.library(cache);
    if offline {
        return Err(FetchError::Offline { package: wheel.title(), path, setup: plugin.setup() });
    }
    fill(&wheel, cache, |partial| install(&wheel, partial))?;
    Ok(path)
}

/// Unpacks a file that is one of the wheels, and returns which one.
fn unpack_one_of(wheels: &[Wheel], cache: &Path, file: &Path) -> Result<usize, FetchError> {
    let refused = |source| FetchError::ReadWheel { path: file.into(), source };
    let mut archive = File::open(file).map_err(refused)?;
    let (_, found) = digest_of(&mut archive).map_err(refused)?;
    let Some(index) = wheels.iter().position(|wheel| wheel.sha256 == found) else {
        let pinned = wheels.iter().map(|wheel| format!("{} ({})", wheel.title(), wheel.sha256));
        let expected = pinned.collect::<Vec<_>>().join(" or ");
        return Err(FetchError::OtherWheel { path: file.into(), found, expected });
    };
    fill(&wheels[index], cache, |partial| {
        let unpacked = ZipArchive::new(archive).and_then(|mut archive| archive.extract(partial.join("site")));
        unpacked.map_err(|source| FetchError::Unpack { path: file.into(), source })
    })?;
    Ok(index)
}

/// Returns the cache if there is one and a wheel is pinned for this platform.
fn usable(cache: Option<&Path>) -> Result<&Path, FetchError> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err(FetchError::Platform { os: std::env::consts::OS, arch: std::env::consts::ARCH });
    }
    cache.ok_or(FetchError::NoCache)
}

/// Fills the folder of a wheel in the cache with what `unpack` leaves in `site` of the folder that
/// it is given, unless another process did so meanwhile.
pub(super) fn fill(
    wheel: &Wheel,
    cache: &Path,
    unpack: impl FnOnce(&Path) -> Result<(), FetchError>,
) -> Result<(), FetchError> {
    fs::create_dir_all(cache).map_err(refused(cache))?;
    let lock = cache.join(".lock");
    // The lock is held until the end of the function, or of the process if that comes first.
    let lock_file = File::create(&lock).map_err(refused(&lock))?;
    lock_file.lock().map_err(refused(&lock))?;
    if wheel.library(cache).exists() {
        return Ok(());
    }
    // A folder that exists was left by a process that was killed, or is damaged.
    let folder = wheel.folder(cache);
    let prefix = format!("{}.partial", wheel.package);
    for entry in cache.read_dir().map_err(refused(cache))? {
        let path = entry.map_err(refused(cache))?.path();
        let is_partial = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix));
        if path == folder {
            fs::remove_dir_all(&path).map_err(refused(&path))?;
        } else if is_partial {
            // If the pip of a killed process is still writing, this fails, and the next process
            // removes the folder.
            let _ = fs::remove_dir_all(&path);
        }
    }
    // A unique name, for the same reason.
    let partial = Builder::new().prefix(&prefix).tempdir_in(cache).map_err(refused(cache))?;
    unpack(partial.path())?;
    let site = partial.path().join("site");
    let beside = site.join(wheel.library);
    for (name, file) in wheel.links {
        let link = beside.with_file_name(name);
        link_to(file, &link).map_err(refused(&link))?;
    }
    fs::rename(site, &folder).map_err(refused(&folder))
}

/// Makes a link to a file beside it.
fn link_to(file: &str, link: &Path) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::symlink(file, link);
    #[cfg(not(unix))]
    fs::copy(link.with_file_name(file), link).map(|_| ())
}

/// Makes the error for a path of the cache from its cause.
fn refused(path: &Path) -> impl FnOnce(io::Error) -> FetchError {
    let path = path.to_path_buf();
    move |source| FetchError::Cache { path, source }
}

/// Unpacks a wheel to the folder `site` in `partial`.
fn install(wheel: &Wheel, partial: &Path) -> Result<(), FetchError> {
    let refused = |source| FetchError::Cache { path: partial.into(), source };
    let partial = &absolute(partial).map_err(refused)?;
    let requirement = partial.join("requirements.txt");
    let site = partial.join("site");
    fs::write(&requirement, format!("{}=={} --hash=sha256:{}\n", wheel.package, wheel.version, wheel.sha256))
        .map_err(|source| FetchError::Cache { path: requirement.clone(), source })?;
    let mut attempts = Vec::new();
    for pip in PIP {
        let outcome = Command::new(pip[0])
            // `-m` searches the working folder first, where the user's images may lie beside a
            // folder named `pip`.
            .current_dir(partial)
            .args(&pip[1..])
            .args(["--quiet", "--disable-pip-version-check", "--no-input", "install"])
            .args(["--no-deps", "--no-compile", "--only-binary=:all:", "--require-hashes"])
            .args(["--platform", "manylinux_2_28_x86_64", "--python-version", "3.11", "--implementation", "cp"])
            .args([Path::new("--target"), &site, Path::new("-r"), &requirement])
            .output();
        let reason = match outcome {
            Ok(output) if output.status.success() => return Ok(()),
            Ok(output) => format!("{}: {}", output.status, last_error(&String::from_utf8_lossy(&output.stderr))),
            Err(error) => error.to_string(),
        };
        attempts.push(format!("`{}`: {reason}", pip.join(" ")));
    }
    Err(FetchError::Pip { package: wheel.package, version: wheel.version, attempts: attempts.join("; ") })
}

/// Returns the line of pip's or npm's output that gives the reason: the last one marked as an
/// error, else the last one.
pub(super) fn last_error(output: &str) -> &str {
    let mut lines = output.lines().rev().map(str::trim).filter(|line| !line.is_empty());
    let last = lines.clone().next().unwrap_or("no message");
    lines.find_map(|line| line.strip_prefix("ERROR: ")).unwrap_or(last)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn pips_own_words_say_what_went_wrong() {
        for (name, output, expected) in [
            ("silence", "", "no message"),
            ("no pip", "/usr/bin/python3: No module named pip\n", "/usr/bin/python3: No module named pip"),
            (
                "an error before a notice",
                "WARNING: Retrying\nERROR: No matching distribution found\n\nnotice: a new pip is out\n",
                "No matching distribution found",
            ),
        ] {
            assert_eq!(last_error(output), expected, "{name}");
        }
    }

    #[test]
    fn a_wheel_with_another_hash_is_refused_and_leaves_nothing() {
        let cache = tempfile::tempdir().unwrap();
        fs::create_dir_all(cache.path().join("onnxruntime.partial-of-a-killed-process/site")).unwrap();
        let wheel = Wheel { sha256: GPU.sha256, ..CPU };
        let message = fill(&wheel, cache.path(), |partial| install(&wheel, partial)).unwrap_err().to_string();
        assert!(message.contains("DO NOT MATCH THE HASHES"), "{message}");
        let left: Vec<_> = cache.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [".lock"]);
    }

    /// Writes a wheel that holds a library, and returns its path and its pin.
    fn brought(folder: &Path) -> (PathBuf, Wheel) {
        let path = folder.join("brought.whl");
        let mut archive = zip::ZipWriter::new(File::create(&path).unwrap());
        let options = zip::write::SimpleFileOptions::default();
        archive.start_file(CPU.library, options).unwrap();
        archive.write_all(b"a library").unwrap();
        archive.finish().unwrap();
        let sha256 = seg_contract::sha256(fs::read(&path).unwrap());
        (path, Wheel { sha256: sha256.leak(), ..CPU })
    }

    #[test]
    fn a_wheel_that_was_brought_along_is_unpacked_once() {
        let folder = tempfile::tempdir().unwrap();
        let (file, wheel) = brought(folder.path());
        let cache = folder.path().join("cache");
        for _ in 0..2 {
            assert_eq!(unpack_one_of(&[GPU, Wheel { ..wheel }], &cache, &file).unwrap(), 1);
            assert_eq!(fs::read(wheel.library(&cache)).unwrap(), b"a library");
        }
    }

    #[test]
    fn the_libraries_of_a_plug_in_get_the_names_under_which_it_needs_them() {
        let cache = tempfile::tempdir().unwrap();
        let wheel = Wheel { links: &[("libother.so.1", "libother.so.1.2.3")], ..WEBGPU };
        let library = wheel.library(cache.path());
        fill(&wheel, cache.path(), |partial| {
            let folder = partial.join("site/onnxruntime_ep_webgpu");
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("libother.so.1.2.3"), b"other").unwrap();
            fs::write(folder.join(library.file_name().unwrap()), b"plug-in").unwrap();
            Ok(())
        })
        .unwrap();
        assert_eq!(fs::read(library.with_file_name("libother.so.1")).unwrap(), b"other");
    }

    #[test]
    fn a_file_that_is_no_pinned_wheel_is_refused_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (file, wheel) = brought(folder.path());
        let cache = folder.path().join("cache");
        for (name, damage, part) in [
            ("another wheel", &[][..], "expected that of onnxruntime 1.32.0 (5a34fc4d"),
            ("a damaged one", b"x", "or onnxruntime-gpu 1.31.1 (e26c475f"),
        ] {
            let bytes = [fs::read(&file).unwrap(), damage.into()].concat();
            fs::write(&file, &bytes).unwrap();
            let message = unpack_one_of(&[CPU, GPU], &cache, &file).unwrap_err().to_string();
            assert!(message.contains(part) && message.contains("brought.whl"), "{name}: {message}");
            assert!(!cache.exists(), "{name}");
        }
        let absent = folder.path().join("absent.whl");
        let message = unpack_one_of(&[wheel], &cache, &absent).unwrap_err().to_string();
        assert!(message.starts_with("cannot read the wheel"), "{message}");
    }
}
