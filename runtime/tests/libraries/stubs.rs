//! Libraries that the C compiler makes: as much of ONNX Runtime, of a driver and of NVML as a test
//! needs.

use std::fs;
use std::mem::offset_of;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use ort::sys::OrtApi;
use seg_contract::SizePolicy;
use seg_inference::library::{Build, LIBRARY_VARIABLE, Library, Search};

use super::threshold;

/// A folder with a model, an image, and stubs.
pub(crate) struct Place(pub(crate) tempfile::TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        threshold::write(folder.path(), SizePolicy::Native);
        image::RgbImage::new(9, 9).save(folder.path().join("a.png")).unwrap();
        Self(folder)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Compiles a library; `needs` are libraries that it is linked with and that are then removed.
    pub(crate) fn library(&self, name: &str, source: &str, needs: &[&str]) -> PathBuf {
        let compile = |name: &str, source: &str, links: &[PathBuf]| {
            let (code, path) = (self.path(&format!("{name}.c")), self.path(name));
            fs::write(&code, source).unwrap();
            let mut command = Command::new("cc");
            // The linker heeds what comes before the libraries.
            command.arg(format!("-Wl,-soname,{name},-z,now,--no-as-needed,--unresolved-symbols=ignore-all"));
            command.args(["-shared", "-fPIC", "-o"]).args([&path, &code]).args(links);
            let output = command.output().expect("a C compiler is on the path");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            path
        };
        let links: Vec<_> = needs.iter().map(|name| compile(name, "", &[])).collect();
        let path = compile(name, source, &links);
        for link in links {
            fs::remove_file(link).unwrap();
        }
        path
    }

    /// Creates a library for another processor: only its header is read.
    pub(crate) fn foreign_library(&self, name: &str) -> PathBuf {
        let path = self.library(name, "", &[]);
        let mut bytes = fs::read(&path).unwrap();
        bytes[18..20].copy_from_slice(&183_u16.to_le_bytes());
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Returns a real ONNX Runtime, which looks for its providers in this folder and finds none.
    pub(crate) fn onnx_runtime(&self) -> PathBuf {
        static LIBRARY: OnceLock<Library> = OnceLock::new();
        let library = LIBRARY.get_or_init(|| Search::from_env(None, Build::OpenVino).locate().unwrap());
        let path = self.path("libonnxruntime.so");
        // A copy: a link would be followed to where it points.
        fs::copy(&library.path, &path).unwrap();
        let shared = "libonnxruntime_providers_shared.so";
        symlink(library.path.with_file_name(shared), self.path(shared)).unwrap();
        path
    }

    /// Builds as much of ONNX Runtime's GPU build as it takes to load a provider, or to say why not
    /// in its words.
    ///
    /// That build itself is too large to be fetched for a test.
    pub(crate) fn gpu_build(&self) -> PathBuf {
        self.failing_gpu_build("nothing runs here")
    }

    /// Builds the same, with its message where a session would begin.
    pub(crate) fn failing_gpu_build(&self, reason: &str) -> PathBuf {
        macro_rules! slots {
            ($($function:ident)*) => {
                [$(format!(
                    "#define {} {}\n",
                    stringify!($function),
                    offset_of!(OrtApi, $function) / size_of::<usize>()
                )),*]
            };
        }
        let slots = slots!(
            GetErrorCode GetErrorMessage CreateEnvWithCustomLogger CreateSessionOptions
            CreateCUDAProviderOptions SessionOptionsAppendExecutionProvider_CUDA_V2
            CreateTensorRTProviderOptions SessionOptionsAppendExecutionProvider_TensorRT_V2
            CreateSessionFromArray
        );
        let version = format!("#define VERSION \"1.31.1\"\n#define REASON \"{reason}\"\n");
        self.library("libonnxruntime.so", &format!("{version}{}{GPU_BUILD}", slots.concat()), &[])
    }

    /// Builds a driver with one GPU, or with an error, and with the newest CUDA version that it
    /// runs.
    pub(crate) fn driver(&self, error: u32, cuda: u32) -> PathBuf {
        let source = DRIVER.replace("ERROR", &error.to_string()).replace("NEWEST", &cuda.to_string());
        self.library("libcuda.so.1", &source, &[])
    }

    pub(crate) fn command(&self, args: &str, library: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_seg-runtime"));
        command.args(args.split_whitespace()).current_dir(self.0.path());
        command.env(LIBRARY_VARIABLE, library).env("LD_LIBRARY_PATH", self.0.path());
        command
    }
}

/// An ONNX Runtime that has a version and nothing else.
pub(crate) const OLD_BUILD: &str = "
struct Base { const void *(*api)(unsigned); const char *(*version)(void); };
static const void *api(unsigned number) { return 0; }
static const char *version(void) { return \"1.20.1\"; }
static const struct Base base = { api, version };
const struct Base *OrtGetApiBase(void) { return &base; }";

/// Every function of the API does nothing and succeeds, except those that a session needs until it
/// has its provider.
pub(crate) const GPU_BUILD: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
static char message[4096];
static int something;
static void *nothing(void) { return 0; }
static int fail(void) { return 1; }
static const char *read_message(const char *status) { return status; }
static void *create(void **out) { *out = &something; return 0; }
static void *create_environment(void *a, void *b, int c, void *d, void **out) { return create(out); }
static void *load(const char *name) {
    Dl_info own;
    char path[2048];
    dladdr(&something, &own);
    snprintf(path, sizeof path, "%.*s/%s", (int)(strrchr(own.dli_fname, '/') - own.dli_fname), own.dli_fname, name);
    if (dlopen(path, RTLD_NOW | RTLD_GLOBAL)) return 0;
    snprintf(message, sizeof message, "provider_bridge_ort.cc:2043 onnxruntime::ProviderLibrary::Get() "
        "[ONNXRuntimeError] : 1 : FAIL : Failed to load library %s with error: %s", path, dlerror());
    return message;
}
static void *cuda(void) { return load("libonnxruntime_providers_cuda.so"); }
static void *tensorrt(void) { return load("libonnxruntime_providers_tensorrt.so"); }
static void *begin(void) { return REASON; }
static void *table[1024];
static const void *api(unsigned number) {
    for (int slot = 0; slot < 1024; slot++) table[slot] = nothing;
    table[GetErrorCode] = fail;
    table[GetErrorMessage] = read_message;
    table[CreateEnvWithCustomLogger] = create_environment;
    table[CreateSessionOptions] = create;
    table[CreateCUDAProviderOptions] = create;
    table[CreateTensorRTProviderOptions] = create;
    table[SessionOptionsAppendExecutionProvider_CUDA_V2] = cuda;
    table[SessionOptionsAppendExecutionProvider_TensorRT_V2] = tensorrt;
    table[CreateSessionFromArray] = begin;
    return table;
}
static const char *version(void) { return VERSION; }
static const struct { const void *(*api)(unsigned); const char *(*version)(void); } base = { api, version };
const void *OrtGetApiBase(void) { return &base; }"#;

/// The driver of [`Place::driver`].
pub(crate) const DRIVER: &str = r#"
#include <string.h>
int cuInit(unsigned flags) { return ERROR; }
int cuGetErrorString(int error, const char **text) { *text = "no CUDA-capable device is detected"; return 0; }
int cuDriverGetVersion(int *version) { *version = NEWEST; return 0; }
int cuDeviceGetCount(int *count) { *count = 1; return 0; }
int cuDeviceGet(int *device, int id) { *device = 7; return id != 0; }
int cuDeviceGetName(char *name, int len, int device) { strncpy(name, "Stub GPU", len); return device != 7; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    *value = attribute == 75 ? 12 : attribute == 76 ? 1 : -1;
    return device != 7;
}
int cuDeviceTotalMem_v2(unsigned long *bytes, int device) { *bytes = 80ul << 30; return device != 7; }"#;

/// The library that reports the driver's own version.
pub(crate) const MANAGEMENT: &str = r#"
#include <string.h>
int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlSystemGetDriverVersion(char *version, unsigned len) { strncpy(version, "580.65.06", len); return 0; }"#;
