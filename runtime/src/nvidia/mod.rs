//! NVIDIA's libraries: where Python packages keep them, which GPUs the driver shows, which TensorRT there is.
//!
//! A library that is loaded once is found by its name from then on, so loading those that exist, in the order of their
//! dependencies, lets the providers find them.

mod driver;

pub use driver::{Driver, Gpu};

use std::{fmt, path::PathBuf, process::Command, sync::Once};

use libloading::{Library, Symbol};
use ort::ep::cuda::{CUDA_DYLIBS, CUDNN_DYLIBS};
use thiserror::Error;

use crate::library::loader_message;

/// TensorRT's library and the one that reads ONNX files.
const TENSORRT_DYLIBS: [&str; 2] = ["libnvinfer.so.10", "libnvonnxparser.so.10"];

/// Prints the folders of Python's packages `nvidia` and `tensorrt_libs`, a line each.
const LIST_PACKAGES: &str = "import importlib.util
for name in ['nvidia', 'tensorrt_libs']:
    package = importlib.util.find_spec(name)
    print(*(package.submodule_search_locations if package else []), sep='\\n')";

/// A library of NVIDIA's that cannot be used.
#[derive(Debug, Error)]
#[error("{library}: {reason}")]
pub struct NvidiaError {
    /// The library's file name.
    pub library: &'static str,
    /// What the system's loader or the library says.
    pub reason: String,
}

/// A version of TensorRT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TensorRtVersion(i32);

impl fmt::Display for TensorRtVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0 / 10_000, self.0 / 100 % 100, self.0 % 100)
    }
}

/// Loads the CUDA, cuDNN and TensorRT libraries of the Python packages, where there are any; a process does so once.
///
/// What is absent or cannot be loaded is not an error yet: the system may have it, and a provider that needs it names
/// it when it is registered.
pub(crate) fn preload() {
    static LOADED: Once = Once::new();
    LOADED.call_once(|| {
        let folders = package_folders();
        for library in CUDA_DYLIBS.iter().chain(CUDNN_DYLIBS).chain(&TENSORRT_DYLIBS) {
            let found = folders.iter().map(|folder| folder.join(library)).find(|path| path.exists());
            if let Some(path) = found {
                let _ = ort::util::preload_dylib(path);
            }
        }
    });
}

/// The folders of the Python packages that may hold libraries; none without Python.
fn package_folders() -> Vec<PathBuf> {
    let Ok(output) = Command::new("python3").args(["-c", LIST_PACKAGES]).output() else { return Vec::new() };
    let listed = String::from_utf8_lossy(&output.stdout);
    let roots: Vec<_> = listed.lines().filter(|line| !line.is_empty()).map(PathBuf::from).collect();
    let packages = roots.iter().filter_map(|root| root.read_dir().ok()).flatten().flatten();
    let mut folders: Vec<_> = packages.map(|package| package.path().join("lib")).filter(|lib| lib.is_dir()).collect();
    folders.sort();
    folders.extend(roots);
    folders
}

/// The version of the TensorRT library that a provider would load.
///
/// # Errors
/// When there is none, or it does not tell.
pub fn tensorrt_version() -> Result<TensorRtVersion, NvidiaError> {
    preload();
    let library = TENSORRT_DYLIBS[0];
    let failed = |error: libloading::Error| NvidiaError { library, reason: loader_reason(library, &error) };
    // SAFETY: TensorRT's library is loaded as the provider loads it; it stays loaded until the end of the process,
    // because initialising it a second time is not foreseen.
    let loaded = std::mem::ManuallyDrop::new(unsafe { Library::new(library) }.map_err(failed)?);
    // SAFETY: the function takes nothing and returns an `int32_t` in all versions.
    let version: Symbol<'_, unsafe extern "C" fn() -> i32> =
        unsafe { loaded.get(b"getInferLibVersion\0") }.map_err(failed)?;
    // SAFETY: as above.
    Ok(TensorRtVersion(unsafe { version() }))
}

/// What the loader says of a library, without the library's name in front.
fn loader_reason(library: &str, error: &libloading::Error) -> String {
    let text = loader_message(error);
    let reason = text.strip_prefix(library).and_then(|text| text.strip_prefix(": ")).unwrap_or(&text);
    if reason.starts_with("cannot open shared object file") { "not found".into() } else { reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_its_number() {
        assert_eq!(TensorRtVersion(101_302).to_string(), "10.13.2");
    }

    #[test]
    fn a_missing_library_is_named_once() {
        // SAFETY: nothing is loaded.
        let error = unsafe { Library::new("libabsent.so.1") }.unwrap_err();
        assert_eq!(loader_reason("libabsent.so.1", &error), "not found");
    }
}
