//! The ONNX Runtime library: finds it, checks it and loads it.
//!
//! The search goes in this order: the path that the caller names, `ORT_DYLIB_PATH`, the cache. A
//! library that the cache lacks is fetched into it, at a pinned version and hash.

#![allow(unsafe_code, reason = "asks the loaded library for its version")]

mod elf;
mod fetch;
pub(crate) mod log;
mod web;

pub use fetch::FetchError;
pub use web::WebRuntime;

pub(crate) use elf::foreign_machine;
#[cfg(test)]
pub(crate) use elf::tests::header as elf_header;

use std::error::Error;
use std::ffi::CStr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::{env, fmt};

use libloading::Symbol;
use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::sys::OrtApiBase;
use thiserror::Error;

/// The oldest version of ONNX Runtime that is accepted is 1.`MINOR_VERSION_MIN`.
pub const MINOR_VERSION_MIN: u32 = ort::MINOR_VERSION;

/// The variable that names a library file to use instead of a fetched one.
pub const LIBRARY_VARIABLE: &str = "ORT_DYLIB_PATH";

/// The variable that names the folder for fetched libraries, instead of `seg-runtime` in the user's
/// cache folder.
pub const CACHE_VARIABLE: &str = "SEG_RUNTIME_CACHE";

/// The variable that forbids fetching if it is not empty.
pub const OFFLINE_VARIABLE: &str = "SEG_RUNTIME_OFFLINE";

/// A build of ONNX Runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// The CPU provider alone.
    Cpu,
    /// The CUDA and TensorRT providers as well.
    Gpu,
    /// The OpenVINO provider as well.
    OpenVino,
}

impl Build {
    /// Every build, the smallest first.
    pub const ALL: [Self; 3] = [Self::Cpu, Self::Gpu, Self::OpenVino];

    /// Returns a short name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Gpu => "gpu",
            Self::OpenVino => "openvino",
        }
    }

    /// Returns the Python package that contains the build, with its version.
    pub fn package(self) -> String {
        fetch::package(self)
    }

    /// Returns the command that fetches the build.
    pub fn setup(self) -> &'static str {
        match self {
            Self::Cpu => "seg setup",
            Self::Gpu => "seg setup --gpu",
            Self::OpenVino => "seg setup --openvino",
        }
    }
}

/// A provider in a library of its own, which a build of ONNX Runtime loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plugin {
    /// WebGPU.
    WebGpu,
    /// TensorRT for RTX, with TensorRT's libraries.
    TensorRtRtx,
    /// OpenVINO, with its libraries.
    OpenVino,
}

impl Plugin {
    /// Every plug-in.
    pub const ALL: [Self; 3] = [Self::WebGpu, Self::TensorRtRtx, Self::OpenVino];

    /// Returns the Python package that contains the plug-in, with its version.
    pub fn package(self) -> String {
        fetch::Wheel::for_plugin(self).title()
    }

    /// Lists the libraries that come with the plug-in, by the names under which it needs them, in
    /// the order in which they are loaded.
    pub(crate) fn companions(self) -> impl Iterator<Item = &'static str> {
        fetch::Wheel::for_plugin(self).links.iter().map(|(name, _)| *name)
    }

    /// Returns the command that fetches the plug-in.
    pub fn setup(self) -> &'static str {
        match self {
            Self::WebGpu => "seg setup --ep webgpu",
            Self::TensorRtRtx => "seg setup --ep tensorrt-rtx",
            Self::OpenVino => "seg setup --ep openvino",
        }
    }
}

/// The source of a library's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The caller.
    Caller,
    /// The environment variable [`LIBRARY_VARIABLE`].
    Variable,
    /// The cache, in which this build was searched.
    Cache(Build),
}

impl Origin {
    /// Returns the remedy for a library that cannot be used.
    fn remedy(self) -> String {
        match self {
            Self::Caller => "name another file by `--ort-lib`, or none so that the right one is fetched".into(),
            Self::Variable => {
                format!("let {LIBRARY_VARIABLE} name another file, or unset it so that the right one is fetched")
            }
            Self::Cache(build) => {
                format!("remove its folder from the cache and fetch it again with `{}`", build.setup())
            }
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Caller => "`--ort-lib`",
            Self::Variable => LIBRARY_VARIABLE,
            Self::Cache(_) => "the cache",
        })
    }
}

/// The places in which to search for the library.
#[derive(Clone, Debug)]
pub struct Search {
    /// A library that the caller names; nothing else is then considered.
    pub explicit: Option<PathBuf>,
    /// The library that [`LIBRARY_VARIABLE`] names; the cache is then not considered.
    pub variable: Option<PathBuf>,
    /// The folder of fetched libraries; `None` if the user has no cache folder.
    pub cache: Option<PathBuf>,
    /// True if nothing may be fetched.
    pub offline: bool,
    /// The build that is searched in the cache, and fetched.
    pub build: Build,
}

/// A library that was found and can be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Library {
    /// The file, absolute unless the system's loader is to find it.
    pub path: PathBuf,
    /// The source of the path.
    pub origin: Origin,
    /// The version, as in `1.32.0`.
    pub version: String,
}

/// The reason for which no library can be used.
#[derive(Debug, Error)]
pub enum LibraryError {
    /// The system's loader refuses the file.
    #[error("cannot load the ONNX Runtime library `{path}` named by {origin}: {reason}; {}", origin.remedy())]
    Unloadable {
        /// The file.
        path: PathBuf,
        /// The source of the path.
        origin: Origin,
        /// The message of the system's loader.
        reason: String,
    },
    /// The file is built for another processor.
    #[error(
        "cannot load the ONNX Runtime library `{path}` named by {origin}: it is built for {found}, this program for \
         {}; {}", env::consts::ARCH, origin.remedy()
    )]
    Machine {
        /// The file.
        path: PathBuf,
        /// The source of the path.
        origin: Origin,
        /// The processor for which the library is built.
        found: String,
    },
    /// The file is a library, but not ONNX Runtime 1.x.
    #[error("the library `{path}` named by {origin} is not ONNX Runtime: {reason}; {}", origin.remedy())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The source of the path.
        origin: Origin,
        /// The evidence.
        reason: String,
    },
    /// The library is too old.
    #[error(
        "the library `{path}` named by {origin} is ONNX Runtime {found}, expected 1.{MINOR_VERSION_MIN} or newer; {}",
        origin.remedy()
    )]
    Old {
        /// The file.
        path: PathBuf,
        /// The source of the path.
        origin: Origin,
        /// The version found.
        found: String,
    },
    /// The library cannot be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The library was loaded but does not start.
    #[error("cannot start ONNX Runtime from `{path}`")]
    Start {
        /// The file.
        path: PathBuf,
        /// ONNX Runtime's error.
        source: ort::Error,
    },
}

impl Search {
    /// Makes the search that the process's environment variables describe.
    pub fn from_env(explicit: Option<PathBuf>, build: Build) -> Self {
        let folder = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let user_cache = || folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")));
        Self {
            explicit,
            variable: folder(LIBRARY_VARIABLE),
            cache: folder(CACHE_VARIABLE).or_else(|| Some(user_cache()?.join("seg-runtime"))),
            offline: env::var_os(OFFLINE_VARIABLE).is_some_and(|value| !value.is_empty()),
            build,
        }
    }

    /// Returns whether the build is in the cache.
    pub fn is_fetched(&self) -> bool {
        self.cache.as_deref().is_some_and(|cache| fetch::library_path(cache, self.build).exists())
    }

    /// Finds the library, and fetches it if necessary.
    ///
    /// # Errors
    /// When the library that is named is not usable, or none is named and none can be fetched.
    pub fn locate(&self) -> Result<Library, LibraryError> {
        match self.find()? {
            Some(library) => Ok(library),
            None => self.fetch(),
        }
    }

    /// Finds the library; returns `None` if it would have to be fetched.
    ///
    /// # Errors
    /// When the library that is named is not usable.
    pub fn find(&self) -> Result<Option<Library>, LibraryError> {
        if let Some(path) = &self.explicit {
            return Library::check(path, Origin::Caller).map(Some);
        }
        if let Some(path) = &self.variable {
            return Library::check(path, Origin::Variable).map(Some);
        }
        match self.cache.as_deref().map(|cache| fetch::library_path(cache, self.build)) {
            Some(path) if path.exists() => Library::check(&path, Origin::Cache(self.build)).map(Some),
            _ => Ok(None),
        }
    }

    /// Fetches the library into the cache with pip; takes seconds to minutes.
    ///
    /// Several processes may do so at once: the first fetches, the others wait for it.
    ///
    /// # Errors
    /// When fetching is forbidden or fails.
    pub fn fetch(&self) -> Result<Library, LibraryError> {
        let path = fetch::fetch(self.cache.as_deref(), self.offline, self.build)?;
        Library::check(&path, Origin::Cache(self.build))
    }
}

impl Search {
    /// Unpacks a wheel of ONNX Runtime or of a plug-in that was brought along into the cache, and
    /// returns its package and its library.
    ///
    /// Needs neither Python nor a network. The wheel must have the hash of one that would be
    /// fetched.
    ///
    /// # Errors
    /// When the file is another wheel or cannot be unpacked, or its library is not usable.
    pub fn unpack(&self, wheel: &Path) -> Result<(String, PathBuf), LibraryError> {
        let (build, package, path) = fetch::unpack(self.cache.as_deref(), wheel)?;
        match build {
            Some(build) => Ok((package, Library::check(&path, Origin::Cache(build))?.path)),
            None => Ok((package, path)),
        }
    }

    /// Returns the library of a plug-in in the cache; `None` if it would have to be fetched.
    pub fn find_plugin(&self, plugin: Plugin) -> Option<PathBuf> {
        let path = fetch::Wheel::for_plugin(plugin).library(self.cache.as_deref()?);
        path.exists().then_some(path)
    }

    /// Fetches a plug-in into the cache with pip, unless it is there, and returns its library.
    ///
    /// # Errors
    /// When fetching is forbidden or fails.
    pub fn fetch_plugin(&self, plugin: Plugin) -> Result<PathBuf, LibraryError> {
        match self.find_plugin(plugin) {
            Some(path) => Ok(path),
            None => Ok(fetch::fetch_plugin(self.cache.as_deref(), self.offline, plugin)?),
        }
    }
}

impl Library {
    /// Checks that a file is a usable ONNX Runtime, without keeping it loaded.
    fn check(path: &Path, origin: Origin) -> Result<Self, LibraryError> {
        // The system's loader would search a relative path beside the executable first, and finds a
        // bare name itself.
        let path = match std::path::absolute(path) {
            Ok(absolute) if absolute.exists() => absolute,
            _ => path.to_path_buf(),
        };
        if let Some(found) = foreign_machine(&path) {
            return Err(LibraryError::Machine { path, origin, found });
        }
        // SAFETY: the effect of loading a library cannot be known before; the user asks for it.
        let library = match unsafe { libloading::Library::new(&path) } {
            Ok(library) => library,
            Err(error) => return Err(LibraryError::Unloadable { path, origin, reason: loader_message(&error) }),
        };
        let version = match version(&library) {
            Ok(version) => version,
            Err(reason) => return Err(LibraryError::Foreign { path, origin, reason }),
        };
        let numbers: Vec<Option<u32>> = version.split('.').map(|number| number.parse().ok()).collect();
        match numbers[..] {
            [Some(1), Some(minor), ..] if minor >= MINOR_VERSION_MIN => Ok(Self { path, origin, version }),
            [Some(_), Some(_), ..] => Err(LibraryError::Old { path, origin, found: version }),
            _ => Err(LibraryError::Foreign { path, origin, reason: format!("it calls its version `{version}`") }),
        }
    }

    /// Loads the library and starts ONNX Runtime. A process can do so once.
    ///
    /// Keep the environment in `main` or in what `main` owns, not in a static: with CUDA, ONNX
    /// Runtime crashes when it is torn down by the end of the process.
    ///
    /// # Errors
    /// When the library cannot be loaded, or ONNX Runtime was started before.
    pub fn load(&self) -> Result<Environment, LibraryError> {
        let builder = ort::init_from(&self.path).map_err(|source| LibraryError::Unloadable {
            path: self.path.clone(),
            origin: self.origin,
            reason: loader_message(&source),
        })?;
        // A process loads one library; the first one stays.
        LOADED.get_or_init(|| self.version.clone());
        // Every failure comes back as an error; ONNX Runtime prints it too only if the user asks
        // for its log.
        let is_quiet = env::var_os("ORT_LOG").is_none();
        let builder = builder.with_name("seg-runtime").with_telemetry(false);
        let builder = if is_quiet { builder.with_logger(log::keeper()) } else { builder };
        let environment = builder.build().map_err(|source| LibraryError::Start { path: self.path.clone(), source })?;
        if is_quiet {
            environment.set_log_level(LogLevel::Error);
        }
        Ok(environment)
    }
}

/// The version of the library that this process has loaded.
static LOADED: OnceLock<String> = OnceLock::new();

/// Returns the version of the ONNX Runtime that [`Library::load`] has loaded; "unknown" if it was
/// loaded otherwise.
pub(crate) fn loaded_version() -> &'static str {
    LOADED.get().map_or("unknown", String::as_str)
}

/// Returns the version that a library reports.
fn version(library: &libloading::Library) -> Result<String, String> {
    let missing = |_| "it does not export `OrtGetApiBase`".to_owned();
    // SAFETY: the function of that name has this signature in every ONNX Runtime since 1.0, and the
    // text is static.
    unsafe {
        let base: Symbol<'_, unsafe extern "C" fn() -> *const OrtApiBase> =
            library.get(b"OrtGetApiBase\0").map_err(missing)?;
        let base = base().as_ref().ok_or("its `OrtGetApiBase` returns nothing")?;
        Ok(CStr::from_ptr((base.GetVersionString)()).to_string_lossy().into_owned())
    }
}

/// Returns the message of the system's loader; the error itself says only that it failed.
pub(crate) fn loader_message(error: &dyn Error) -> String {
    error.source().map_or_else(|| error.to_string(), loader_message)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::OnceLock;

    use super::*;

    /// Starts ONNX Runtime on the CPU, which a process can do once; with the CPU alone a static
    /// does no harm.
    pub(crate) fn environment() -> &'static Environment {
        static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();
        ENVIRONMENT.get_or_init(|| Search::from_env(None, Build::Cpu).locate().unwrap().load().unwrap())
    }

    /// Creates a search that finds nothing unless a field says otherwise.
    fn search() -> Search {
        Search { explicit: None, variable: None, cache: None, offline: true, build: Build::Cpu }
    }

    #[test]
    fn what_is_named_is_used_or_an_error() {
        let text = tempfile::NamedTempFile::new().unwrap();
        let path = |path: &str| Some(PathBuf::from(path));
        for (name, search, part) in [
            ("absent", Search { explicit: path("/absent.so"), ..search() }, "`/absent.so` named by `--ort-lib`"),
            (
                "before the variable",
                Search { explicit: path("/one.so"), variable: path("/other.so"), ..search() },
                "cannot load the ONNX Runtime library `/one.so`",
            ),
            ("by the variable", Search { variable: path("/absent.so"), ..search() }, "named by ORT_DYLIB_PATH"),
            (
                "another library",
                Search { variable: path("libc.so.6"), ..search() },
                "is not ONNX Runtime: it does not export `OrtGetApiBase`",
            ),
            ("no library", Search { explicit: Some(text.path().into()), ..search() }, "cannot load"),
        ] {
            let message = search.locate().unwrap_err().to_string();
            assert!(message.contains(part), "{name}: {message}");
        }
    }

    #[test]
    fn a_damaged_library_in_the_cache_is_fetched_again_as_the_build_that_it_is() {
        for build in Build::ALL {
            let cache = tempfile::tempdir().unwrap();
            let path = fetch::library_path(cache.path(), build);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "cut off").unwrap();
            let message =
                Search { cache: Some(cache.path().into()), build, ..search() }.find().unwrap_err().to_string();
            assert!(message.ends_with(&format!("fetch it again with `{}`", build.setup())), "{message}");
        }
    }

    #[test]
    fn nothing_is_fetched_where_it_cannot_be_kept_or_is_forbidden() {
        let cache = tempfile::tempdir().unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        for (name, search, part) in [
            ("no cache folder", search(), "no folder to keep the ONNX Runtime library in"),
            (
                "offline",
                Search { cache: Some(cache.path().into()), ..search() },
                "onnxruntime 1.32.0 is not in the cache",
            ),
            (
                "a file for a folder",
                Search { cache: Some(file.path().join("cache")), offline: false, ..search() },
                "in the cache of ONNX Runtime libraries",
            ),
        ] {
            assert_eq!(search.find().unwrap(), None, "{name}");
            let message = search.locate().unwrap_err().to_string();
            assert!(message.contains(part), "{name}: {message}");
        }
        assert_eq!(cache.path().read_dir().unwrap().count(), 0);
    }
}
