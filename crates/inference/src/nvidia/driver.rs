//! NVIDIA's driver: its version and the GPUs that it finds.

#![allow(unsafe_code, reason = "calls the driver's C interface")]

use std::ffi::{CStr, c_char, c_int};
use std::fmt;

use libloading::{Library, Symbol};
use serde::{Deserialize, Serialize};

use super::{NvidiaError, Version, loader_reason};

const LIBRARY: &str = "libcuda.so.1";

/// The numbers of the attributes in `CUdevice_attribute`.
const COMPUTE_CAPABILITY_MAJOR: c_int = 75;
const COMPUTE_CAPABILITY_MINOR: c_int = 76;

/// The oldest version of CUDA that a driver must support.
const CUDA_MAJOR_MIN: usize = 13;

/// The library that reports the driver's own version.
const MANAGEMENT_LIBRARY: &str = "libnvidia-ml.so.1";

/// An NVIDIA driver that works.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Driver {
    /// The driver's own version, as in `580.65.06`, if it tells.
    pub version: Option<String>,
    /// The newest version of CUDA that the driver supports, as in `13.0`.
    pub cuda: String,
    /// True if this version is too old for the providers.
    pub is_old: bool,
    /// The GPUs, in the order of their ids.
    pub gpus: Vec<Gpu>,
}

/// A GPU.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Gpu {
    /// The name.
    pub name: String,
    /// The compute capability, as in `sm_90`.
    pub architecture: String,
    /// The memory, in bytes.
    pub memory_bytes: usize,
}

impl fmt::Display for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {} GiB)", self.name, self.architecture, self.memory_bytes >> 30)
    }
}

impl Driver {
    /// Queries the driver.
    ///
    /// # Errors
    /// When there is no driver, or it finds no GPU.
    pub fn query() -> Result<Self, NvidiaError> {
        let failed = |reason| NvidiaError { library: LIBRARY, reason };
        // SAFETY: the driver's library may be loaded at any time; it stays loaded, as unloading it
        // is not supported.
        let library = unsafe { Library::new(LIBRARY) }.map_err(|error| failed(loader_reason(LIBRARY, &error)))?;
        let calls = Calls { library: std::mem::ManuallyDrop::new(library) };
        calls.query().map_err(failed)
    }
}

/// Returns the driver's version, by the library that manages GPUs; `None` without it, as a driver
/// works without it.
fn driver_version() -> Option<String> {
    let mut buffer = [0; 96];
    // SAFETY: the signatures are those of `nvml.h` in all versions since 5; the buffer has the
    // length that is passed.
    unsafe {
        let library = Library::new(MANAGEMENT_LIBRARY).ok()?;
        let init: Symbol<'_, unsafe extern "C" fn() -> c_int> = library.get(b"nvmlInit_v2\0").ok()?;
        let version: Symbol<'_, unsafe extern "C" fn(*mut c_char, u32) -> c_int> =
            library.get(b"nvmlSystemGetDriverVersion\0").ok()?;
        let shutdown: Symbol<'_, unsafe extern "C" fn() -> c_int> = library.get(b"nvmlShutdown\0").ok()?;
        if init() != 0 {
            return None;
        }
        let told = version(buffer.as_mut_ptr(), buffer.len() as u32 - 1) == 0;
        shutdown();
        told.then(|| CStr::from_ptr(buffer.as_ptr()).to_string_lossy().into_owned())
    }
}

/// The functions of the driver's API that are called here; each returns 0 or an error's number.
struct Calls {
    library: std::mem::ManuallyDrop<Library>,
}

impl Calls {
    fn query(&self) -> Result<Driver, String> {
        // SAFETY: the signatures are those of `cuda.h`, which have not changed since CUDA 3.2.
        unsafe {
            let init: Symbol<'_, unsafe extern "C" fn(u32) -> c_int> = self.get(b"cuInit\0")?;
            let version: Symbol<'_, unsafe extern "C" fn(*mut c_int) -> c_int> = self.get(b"cuDriverGetVersion\0")?;
            let count: Symbol<'_, unsafe extern "C" fn(*mut c_int) -> c_int> = self.get(b"cuDeviceGetCount\0")?;
            self.check(init(0))?;
            let (mut number, mut gpus) = (0, 0);
            self.check(version(&raw mut number))?;
            self.check(count(&raw mut gpus))?;
            let gpus = (0..gpus).map(|id| self.gpu(id)).collect::<Result<_, _>>()?;
            let cuda = Version::from_cuda(number.unsigned_abs() as usize);
            let is_old = cuda.major() < CUDA_MAJOR_MIN;
            Ok(Driver { version: driver_version(), cuda: cuda.to_string(), is_old, gpus })
        }
    }

    /// # Safety
    /// The driver must be initialised.
    unsafe fn gpu(&self, id: c_int) -> Result<Gpu, String> {
        // SAFETY: as in `query`; the name's buffer has the length that is passed.
        unsafe {
            let get: Symbol<'_, unsafe extern "C" fn(*mut c_int, c_int) -> c_int> = self.get(b"cuDeviceGet\0")?;
            let name: Symbol<'_, unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int> =
                self.get(b"cuDeviceGetName\0")?;
            let attribute: Symbol<'_, unsafe extern "C" fn(*mut c_int, c_int, c_int) -> c_int> =
                self.get(b"cuDeviceGetAttribute\0")?;
            let memory: Symbol<'_, unsafe extern "C" fn(*mut usize, c_int) -> c_int> =
                self.get(b"cuDeviceTotalMem_v2\0")?;
            let (mut device, mut buffer, mut memory_bytes) = (0, [0; 256], 0);
            let (mut major, mut minor) = (0, 0);
            self.check(get(&raw mut device, id))?;
            self.check(name(buffer.as_mut_ptr(), buffer.len() as c_int - 1, device))?;
            self.check(attribute(&raw mut major, COMPUTE_CAPABILITY_MAJOR, device))?;
            self.check(attribute(&raw mut minor, COMPUTE_CAPABILITY_MINOR, device))?;
            self.check(memory(&raw mut memory_bytes, device))?;
            let name = CStr::from_ptr(buffer.as_ptr()).to_string_lossy().into_owned();
            Ok(Gpu { name, architecture: format!("sm_{major}{minor}"), memory_bytes })
        }
    }

    /// # Safety
    /// As [`Library::get`].
    unsafe fn get<T>(&self, name: &[u8]) -> Result<Symbol<'_, T>, String> {
        // SAFETY: the caller's.
        unsafe { self.library.get(name) }.map_err(|error| error.to_string())
    }

    /// Converts the number of an error to the driver's own message.
    fn check(&self, number: c_int) -> Result<(), String> {
        if number == 0 {
            return Ok(());
        }
        let mut text = std::ptr::null::<c_char>();
        // SAFETY: the signature is that of `cuda.h`; the text is static, and null for an unknown
        // number.
        let told = unsafe {
            let describe: Symbol<'_, unsafe extern "C" fn(c_int, *mut *const c_char) -> c_int> =
                self.get(b"cuGetErrorString\0")?;
            describe(number, &raw mut text) == 0 && !text.is_null()
        };
        if !told {
            return Err(format!("error {number}"));
        }
        // SAFETY: as above.
        Err(unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
    }
}
