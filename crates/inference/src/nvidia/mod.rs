//! NVIDIA's libraries: their folders and versions, and the GPUs that the driver finds.
//!
//! A library that is loaded once is found by its name from then on. Loading those that exist, in
//! the order of their dependencies, lets the providers find them.

#![allow(unsafe_code, reason = "a test loads a library by name")]

mod driver;
mod folders;
mod versions;

pub use driver::{Driver, Gpu};
pub use versions::{Version, cuda_runtime_version, cudnn_version, tensorrt_version};

pub(crate) use folders::{ABSENT, absence};

use std::sync::Once;

use folders::package_folders;
use ort::ep::cuda::{CUDA_DYLIBS, CUDNN_DYLIBS};
use thiserror::Error;

use crate::library::loader_message;

/// TensorRT's library and the one that reads ONNX files.
const TENSORRT_DYLIBS: [&str; 2] = [versions::TENSORRT, "libnvonnxparser.so.10"];

/// The environment variable that, set to 0, keeps NVIDIA's libraries from computing in
/// TensorFloat-32.
pub const TF32_VARIABLE: &str = "NVIDIA_TF32_OVERRIDE";

/// A library of NVIDIA's that cannot be used.
#[derive(Debug, Error)]
#[error("{library}: {reason}")]
pub struct NvidiaError {
    /// The library's file name.
    pub library: &'static str,
    /// The message of the system's loader or of the library.
    pub reason: String,
}

/// Loads the CUDA, cuDNN and TensorRT libraries of the Python packages, if there are any; a process
/// does so once.
///
/// A library that cannot be loaded is not an error yet: the system may have it, and a provider that
/// needs it names it when it is registered.
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

/// Returns the loader's message about a library, without the library's name in front.
fn loader_reason(library: &str, error: &libloading::Error) -> String {
    let text = loader_message(error);
    let reason = text.strip_prefix(library).and_then(|text| text.strip_prefix(": ")).unwrap_or(&text);
    if reason.starts_with("cannot open shared object file") { absence(library) } else { reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_is_named_once() {
        // SAFETY: nothing is loaded.
        let error = unsafe { libloading::Library::new("libabsent.so.1") }.unwrap_err();
        assert_eq!(loader_reason("libabsent.so.1", &error), "not found");
    }
}
