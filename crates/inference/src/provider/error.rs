//! The reasons for which a provider cannot be used.

use thiserror::Error;

use super::engines::EngineCacheError;
use super::kind::Provider;
use crate::fused::Unrecognized;
use crate::library::LIBRARY_VARIABLE;
use crate::nvidia::{Driver, TF32_VARIABLE};

/// The reason for which a provider cannot be used.
#[derive(Debug, Error)]
pub enum ProviderError {
    /// A library that the provider needs cannot be loaded.
    #[error("{library}: {reason}; {remedy} or choose `--ep {}`", alternative.flag())]
    Library {
        /// The library's file name.
        library: String,
        /// The message of the system's loader.
        reason: String,
        /// The remedy.
        remedy: String,
        /// A provider that does not need the library.
        alternative: Provider,
    },
    /// The ONNX Runtime in use comes without the provider.
    #[error(
        "{library}: not part of the ONNX Runtime library in use; name none by `--ort-lib` or {LIBRARY_VARIABLE}, so \
         that a build with {provider} is fetched, or choose `--ep cpu`"
    )]
    NotBuilt {
        /// The provider.
        provider: Provider,
        /// The file that holds the provider.
        library: &'static str,
    },
    /// No GPU that the driver and CUDA can use.
    #[error("no usable GPU: {reason}; install an NVIDIA driver for CUDA 13 or choose `--ep cpu`")]
    Gpu {
        /// CUDA's message.
        reason: String,
    },
    /// The driver does not support CUDA 13.
    #[error(
        "the NVIDIA driver{} runs CUDA {cuda}, 13.0 or newer is wanted; install a newer driver or choose `--ep cpu`",
        after(" ", version)
    )]
    OldDriver {
        /// The driver's own version, if known.
        version: Option<String>,
        /// The newest CUDA that the driver supports.
        cuda: String,
    },
    /// The libraries have no code for the GPU.
    #[error(
        "GPU {id}{}: {provider}'s libraries hold no kernels for it ({reason}); choose another `--device-id` or `--ep cpu`",
        after(", ", gpu)
    )]
    NoKernels {
        /// The provider.
        provider: Provider,
        /// The GPU, counted from 0.
        id: u32,
        /// The GPU's name and architecture, if the driver tells.
        gpu: Option<String>,
        /// CUDA's message.
        reason: String,
    },
    /// The driver does not show the GPU that is asked for.
    #[error("no GPU {id}: the driver shows {gpus}, counted from 0; choose another `--device-id`")]
    NoSuchGpu {
        /// The GPU asked for.
        id: u32,
        /// The number of GPUs.
        gpus: usize,
    },
    /// The plug-in was not fetched.
    #[error("the plug-in of {provider} is not in the cache; run `{setup}`, or choose `--ep cpu`")]
    NoPlugin {
        /// The provider.
        provider: Provider,
        /// The command that fetches it.
        setup: &'static str,
    },
    /// The plug-in can be loaded, and finds nothing to compute on.
    #[error("{provider} offers no device here: {remedy}; or choose `--ep cpu`")]
    NoDevice {
        /// The provider.
        provider: Provider,
        /// The reasons and their remedies.
        remedy: &'static str,
    },
    /// The plug-in that the user names can be loaded, and offers nothing under the given name.
    #[error("`{library}` offers no device of {name} here{offered}; {remedy} or choose `--ep cpu`")]
    NoNamedDevice {
        /// The library's file name.
        library: String,
        /// The provider's name, as the user gave it.
        name: String,
        /// The names under which it offers some; empty if it offers none.
        offered: String,
        /// The remedy.
        remedy: &'static str,
    },
    /// The plug-in offers a device, and fails when it is opened.
    #[error("{provider} offers a device and cannot open it: {reason}; choose another `--device-id` or `--ep cpu`")]
    Unopened {
        /// The provider.
        provider: Provider,
        /// The plug-in's own words.
        reason: String,
    },
    /// The device computes no 16-bit floats.
    #[error(
        "{provider}'s device computes no float16, which the model asks for; export the model in float32, or choose `--ep cpu`"
    )]
    NoHalf {
        /// The provider.
        provider: Provider,
    },
    /// The library that the user names holds no plug-in that can be used.
    #[error("{library}: {reason}; name another file by `--ep-library`, or choose `--ep cpu`")]
    NamedLibrary {
        /// The library's file name.
        library: String,
        /// The evidence.
        reason: String,
    },
    /// The plug-in offers fewer devices.
    #[error("{provider} has no device {id}: it offers {devices}, counted from 0; choose another `--device-id`")]
    NoSuchDevice {
        /// The provider.
        provider: Provider,
        /// The device asked for.
        id: u32,
        /// The number of devices.
        devices: usize,
    },
    /// OpenVINO does not have the device that is asked for.
    #[error("{reason}; install the device's driver or choose `--openvino-device CPU`")]
    OpenVinoDevice {
        /// OpenVINO's message.
        reason: String,
    },
    /// The provider would compute in TensorFloat-32.
    #[error("{provider} would compute in TensorFloat-32; set {TF32_VARIABLE}=0 or choose `--precision tf32`")]
    Tf32 {
        /// The provider.
        provider: Provider,
    },
    /// The provider is kept from computing in TensorFloat-32.
    #[error(
        "{TF32_VARIABLE}=0 keeps {provider} from computing in TensorFloat-32; unset it or choose `--precision fp32`"
    )]
    NoTf32 {
        /// The provider.
        provider: Provider,
    },
    /// The fused kernel does not compute the graph.
    #[error(
        "it computes AMSUnet alone, as `seg export` writes it for `--target portable`, `cpu` and `fused`, and this graph is not \
         it: {0}; choose `--ep cpu`"
    )]
    Unrecognized(#[from] Unrecognized),
    /// The graph of the file cannot be read.
    #[error("the file's graph cannot be read here, and the kernel computes AMSUnet alone; choose `--ep cpu`")]
    Unread,
    /// The system gives no threads.
    #[error("the system gives no {count} threads: {reason}; choose fewer by `--threads`")]
    Threads {
        /// The number of threads.
        count: usize,
        /// The system's message.
        reason: String,
    },
    /// The cache of TensorRT's engines cannot be used.
    #[error(transparent)]
    EngineCache(#[from] EngineCacheError),
    /// Anything else.
    #[error("ONNX Runtime refuses the provider")]
    Other {
        /// ONNX Runtime's error.
        source: ort::Error,
    },
}

/// Formats an optional name after a separator; empty if there is no name.
fn after(separator: &str, name: &Option<String>) -> String {
    name.as_ref().map_or_else(String::new, |name| format!("{separator}{name}"))
}

impl From<Driver> for ProviderError {
    /// Makes the error for a driver that is too old.
    fn from(driver: Driver) -> Self {
        Self::OldDriver { version: driver.version, cuda: driver.cuda }
    }
}
