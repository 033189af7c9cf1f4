//! The versions of the NVIDIA libraries that a provider would load.

#![allow(unsafe_code, reason = "calls the libraries' C interfaces")]

use std::ffi::c_int;
use std::fmt;
use std::mem::ManuallyDrop;

use libloading::{Library, Symbol};

use super::{NvidiaError, loader_reason, preload};

/// The files of CUDA's runtime, of cuDNN and of TensorRT.
const CUDA_RUNTIME: &str = "libcudart.so.13";
const CUDNN: &str = "libcudnn.so.9";
pub(super) const TENSORRT: &str = "libnvinfer.so.10";

/// A version of one of NVIDIA's libraries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    major: usize,
    minor: usize,
    patch: Option<usize>,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        self.patch.map_or(Ok(()), |patch| write!(f, ".{patch}"))
    }
}

impl Version {
    /// Reads CUDA's number of a version, as in 13020 for 13.2.
    pub(super) fn from_cuda(number: usize) -> Self {
        Self { major: number / 1000, minor: number % 1000 / 10, patch: None }
    }

    /// Reads cuDNN's and TensorRT's number of a version, as in `101_302` for 10.13.2.
    fn from_number(number: usize) -> Self {
        Self { major: number / 10_000, minor: number / 100 % 100, patch: Some(number % 100) }
    }

    /// Returns the part that a program must have been built for.
    pub(super) fn major(self) -> usize {
        self.major
    }
}

/// Returns the version of CUDA's runtime.
///
/// # Errors
/// When the library is missing, or does not report its version.
pub fn cuda_runtime_version() -> Result<Version, NvidiaError> {
    let library = load(CUDA_RUNTIME)?;
    let mut number = 0;
    // SAFETY: the function has this signature in all versions, and writes a number.
    let error = unsafe {
        let version: Symbol<'_, unsafe extern "C" fn(*mut c_int) -> c_int> =
            function(&library, CUDA_RUNTIME, b"cudaRuntimeGetVersion\0")?;
        version(&raw mut number)
    };
    match (error, usize::try_from(number)) {
        (0, Ok(number)) => Ok(Version::from_cuda(number)),
        _ => Err(NvidiaError { library: CUDA_RUNTIME, reason: format!("it does not tell its version: error {error}") }),
    }
}

/// Returns the version of cuDNN.
///
/// # Errors
/// When the library is missing, or does not report its version.
pub fn cudnn_version() -> Result<Version, NvidiaError> {
    let library = load(CUDNN)?;
    // SAFETY: the function takes nothing and returns a `size_t` in all versions.
    let number = unsafe {
        let version: Symbol<'_, unsafe extern "C" fn() -> usize> = function(&library, CUDNN, b"cudnnGetVersion\0")?;
        version()
    };
    Ok(Version::from_number(number))
}

/// Returns the version of TensorRT.
///
/// # Errors
/// When the library is missing, or does not report its version.
pub fn tensorrt_version() -> Result<Version, NvidiaError> {
    let library = load(TENSORRT)?;
    // SAFETY: the function takes nothing and returns an `int32_t`, which is positive, in all
    // versions.
    let number = unsafe {
        let version: Symbol<'_, unsafe extern "C" fn() -> i32> = function(&library, TENSORRT, b"getInferLibVersion\0")?;
        version()
    };
    Ok(Version::from_number(number.unsigned_abs() as usize))
}

/// Loads a library as a provider loads it; it stays loaded, because initialising it twice is not
/// supported.
fn load(name: &'static str) -> Result<ManuallyDrop<Library>, NvidiaError> {
    preload();
    // SAFETY: the effect of loading a library cannot be known before; a provider would load it as
    // well.
    let library = unsafe { Library::new(name) };
    let failed = |error| NvidiaError { library: name, reason: loader_reason(name, &error) };
    Ok(ManuallyDrop::new(library.map_err(failed)?))
}

/// # Safety
/// As [`Library::get`].
unsafe fn function<'a, T>(
    library: &'a Library,
    name: &'static str,
    function: &[u8],
) -> Result<Symbol<'a, T>, NvidiaError> {
    let failed = |error| NvidiaError { library: name, reason: loader_reason(name, &error) };
    // SAFETY: the caller's.
    unsafe { library.get(function) }.map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_its_number() {
        for (version, expected) in [
            (Version::from_number(101_302), "10.13.2"),
            (Version::from_number(91_002), "9.10.2"),
            (Version::from_cuda(13_000), "13.0"),
            (Version::from_cuda(12_080), "12.8"),
        ] {
            assert_eq!(version.to_string(), expected);
        }
    }
}
