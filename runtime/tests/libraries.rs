//! Libraries that are absent, old, foreign, for another processor, without a driver, crashing or
//! hanging: how `seg-runtime` ends, what it says and what it advises.
//!
//! The libraries are stubs that the C compiler makes here.

#![allow(clippy::unwrap_used)]

#[path = "../../crates/inference/tests/threshold/mod.rs"]
mod threshold;

use std::fs;
use std::mem::offset_of;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use ort::sys::OrtApi;
use seg_contract::SizePolicy;
use seg_inference::Provider;
use seg_inference::library::{Build, LIBRARY_VARIABLE, Library, Search};
use serde_json::Value;

/// The documentation of errors; the rows of its table are the rows of this test.
const MANUAL: &str = include_str!("../../docs/providers.md");

/// The files in which ONNX Runtime keeps its providers.
const CUDA: &str = "libonnxruntime_providers_cuda.so";
const TENSORRT: &str = "libonnxruntime_providers_tensorrt.so";

/// A folder with a model, an image, and stubs.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        threshold::write(folder.path(), SizePolicy::Native);
        image::RgbImage::new(9, 9).save(folder.path().join("a.png")).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Compiles a library; `needs` are libraries that it is linked with and that are then removed.
    fn library(&self, name: &str, source: &str, needs: &[&str]) -> PathBuf {
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
    fn foreign_library(&self, name: &str) -> PathBuf {
        let path = self.library(name, "", &[]);
        let mut bytes = fs::read(&path).unwrap();
        bytes[18..20].copy_from_slice(&183_u16.to_le_bytes());
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Returns a real ONNX Runtime, which looks for its providers in this folder and finds none.
    fn onnx_runtime(&self) -> PathBuf {
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
    fn gpu_build(&self) -> PathBuf {
        self.failing_gpu_build("nothing runs here")
    }

    /// Builds the same, with its message where a session would begin.
    fn failing_gpu_build(&self, reason: &str) -> PathBuf {
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
    fn driver(&self, error: u32, cuda: u32) -> PathBuf {
        let source = DRIVER.replace("ERROR", &error.to_string()).replace("NEWEST", &cuda.to_string());
        self.library("libcuda.so.1", &source, &[])
    }

    fn command(&self, args: &str, library: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_seg-runtime"));
        command.args(args.split_whitespace()).current_dir(self.0.path());
        command.env(LIBRARY_VARIABLE, library).env("LD_LIBRARY_PATH", self.0.path());
        command
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// An ONNX Runtime that has a version and nothing else.
const OLD_BUILD: &str = "
struct Base { const void *(*api)(unsigned); const char *(*version)(void); };
static const void *api(unsigned number) { return 0; }
static const char *version(void) { return \"1.20.1\"; }
static const struct Base base = { api, version };
const struct Base *OrtGetApiBase(void) { return &base; }";

/// Every function of the API does nothing and succeeds, except those that a session needs until it
/// has its provider.
const GPU_BUILD: &str = r#"
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

/// The message of a session that meets an old driver, or a GPU for which its kernels were not
/// built.
const OLD_DRIVER: &str =
    "CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version ; GPU=-1 ; hostname=h";
const NO_KERNELS: &str =
    "CUDA failure 209: no kernel image is available for execution on the device ; GPU=0 ; hostname=h";

const ANOTHER_FILE: &str = "let ORT_DYLIB_PATH name another file, or unset it so that the right one is fetched";
const CUDA_REMEDY: &str =
    "install CUDA 13 (`pip install nvidia-cublas nvidia-cuda-runtime nvidia-curand nvidia-cufft`) or choose `--ep cpu`";
const TENSORRT_REMEDY: &str = "install TensorRT 10 (`pip install 'tensorrt-cu13-libs<11'`) or choose `--ep cuda`";

#[test]
fn each_library_that_cannot_be_used_is_named_with_its_remedy() {
    type Prepare = fn(&Place) -> PathBuf;
    let rows: [(&str, &str, Prepare, &str, &str); 26] = [
        (
            "no file",
            "cpu",
            |place| place.path("absent.so"),
            "absent.so: cannot open shared object file: No such file or directory",
            ANOTHER_FILE,
        ),
        ("not a library", "cpu", |place| place.path("a.png"), "invalid ELF header", ANOTHER_FILE),
        (
            "another library",
            "cpu",
            |place| place.library("libother.so", "", &[]),
            "is not ONNX Runtime: it does not export `OrtGetApiBase`",
            ANOTHER_FILE,
        ),
        (
            "ONNX Runtime for another processor",
            "cpu",
            |place| place.foreign_library("libonnxruntime.so"),
            "it is built for aarch64, this program for x86_64",
            ANOTHER_FILE,
        ),
        (
            "an old ONNX Runtime",
            "cpu",
            |place| place.library("libonnxruntime.so", OLD_BUILD, &[]),
            "is ONNX Runtime 1.20.1, expected 1.24 or newer",
            ANOTHER_FILE,
        ),
        (
            "ONNX Runtime without the provider",
            "cuda",
            Place::gpu_build,
            "libonnxruntime_providers_cuda.so: not part of the ONNX Runtime library in use",
            "name none by `--ort-lib` or ORT_DYLIB_PATH, so that a build with CUDA is fetched, or choose `--ep cpu`",
        ),
        (
            "the provider for another processor",
            "cuda",
            |place| {
                place.foreign_library(CUDA);
                place.gpu_build()
            },
            "libonnxruntime_providers_cuda.so: built for aarch64, this program for x86_64",
            "remove its folder, fetch it again with `seg setup --gpu`, or choose `--ep cpu`",
        ),
        (
            "no CUDA",
            "cuda",
            |place| {
                place.library(CUDA, "", &["libcublasLt.so.13"]);
                place.gpu_build()
            },
            "libcublasLt.so.13: not found",
            CUDA_REMEDY,
        ),
        (
            "an old CUDA",
            "cuda",
            |place| {
                place.library(CUDA, "", &["libcublasLt.so.13"]);
                place.library("libcublasLt.so.12", "", &[]);
                place.gpu_build()
            },
            "libcublasLt.so.13: not found, only `/libs/libcublasLt.so.12`",
            CUDA_REMEDY,
        ),
        (
            "CUDA for another processor",
            "cuda",
            |place| {
                place.library(CUDA, "", &["libcublasLt.so.13"]);
                place.foreign_library("libcublasLt.so.13");
                place.gpu_build()
            },
            "libcublasLt.so.13: `/libs/libcublasLt.so.13` is built for aarch64, this program for x86_64",
            CUDA_REMEDY,
        ),
        (
            "no driver",
            "cuda",
            |place| {
                place.library(CUDA, "", &["libcuda.so.1"]);
                place.gpu_build()
            },
            "libcuda.so.1: not found",
            "install the NVIDIA driver or choose `--ep cpu`",
        ),
        (
            "no driver",
            "tensorrt",
            |place| {
                place.library(TENSORRT, "", &["libcuda.so.1"]);
                place.gpu_build()
            },
            "libcuda.so.1: not found",
            "install the NVIDIA driver or choose `--ep cpu`",
        ),
        (
            "an old driver",
            "cuda",
            |place| {
                place.library(CUDA, "", &[]);
                place.driver(0, 12020);
                place.failing_gpu_build(OLD_DRIVER)
            },
            "the NVIDIA driver runs CUDA 12.2, 13.0 or newer is wanted",
            "install a newer driver or choose `--ep cpu`",
        ),
        (
            "an old driver",
            "tensorrt",
            |place| {
                place.library(TENSORRT, "", &[]);
                place.driver(0, 12020);
                place.gpu_build()
            },
            "the NVIDIA driver runs CUDA 12.2, 13.0 or newer is wanted",
            "install a newer driver or choose `--ep cpu`",
        ),
        (
            "no cuDNN",
            "cuda",
            |place| {
                place.library(CUDA, "", &["libcudnn.so.9"]);
                place.gpu_build()
            },
            "libcudnn.so.9: not found",
            "install cuDNN 9 (`pip install nvidia-cudnn-cu13`) or choose `--ep cpu`",
        ),
        (
            "CUDA of another version",
            "cuda",
            |place| {
                place.library(CUDA, "int old(void); int f(void) { return old(); }", &[]);
                place.gpu_build()
            },
            "libonnxruntime_providers_cuda.so: undefined symbol: old",
            "install CUDA 13 and cuDNN 9 or choose `--ep cpu`",
        ),
        (
            "no TensorRT",
            "tensorrt",
            |place| {
                place.library(TENSORRT, "", &["libnvinfer.so.10"]);
                place.gpu_build()
            },
            "libnvinfer.so.10: not found",
            TENSORRT_REMEDY,
        ),
        (
            "an old TensorRT",
            "tensorrt",
            |place| {
                place.library(TENSORRT, "", &["libnvinfer.so.10"]);
                place.library("libnvinfer.so.8", "", &[]);
                place.gpu_build()
            },
            "libnvinfer.so.10: not found, only `/libs/libnvinfer.so.8`",
            TENSORRT_REMEDY,
        ),
        (
            "no TensorRT, but a GPU for TensorRT for RTX",
            "tensorrt",
            |place| {
                place.library(TENSORRT, "", &["libnvinfer.so.10"]);
                place.driver(0, 13020);
                place.gpu_build()
            },
            "libnvinfer.so.10: not found",
            "install TensorRT 10 (`pip install 'tensorrt-cu13-libs<11'`) or choose `--ep tensorrt-rtx`",
        ),
        (
            "TensorRT for another processor",
            "tensorrt",
            |place| {
                place.library(TENSORRT, "", &["libnvinfer.so.10"]);
                place.foreign_library("libnvinfer.so.10");
                place.gpu_build()
            },
            "libnvinfer.so.10: `/libs/libnvinfer.so.10` is built for aarch64, this program for x86_64",
            TENSORRT_REMEDY,
        ),
        (
            "a driver without a GPU",
            "tensorrt",
            |place| {
                place.library(TENSORRT, "", &[]);
                place.driver(100, 13020);
                place.gpu_build()
            },
            "libcuda.so.1: no CUDA-capable device is detected",
            "check the GPU and its driver by `nvidia-smi`, or choose `--ep cpu`",
        ),
        (
            "a driver without a GPU",
            "cuda --device-id 3",
            |place| {
                place.library(CUDA, "", &[]);
                place.driver(100, 13020);
                place.gpu_build()
            },
            "libcuda.so.1: no CUDA-capable device is detected",
            "check the GPU and its driver by `nvidia-smi`, or choose `--ep cpu`",
        ),
        (
            "no such GPU",
            "cuda --device-id 3",
            |place| {
                place.library(CUDA, "", &[]);
                place.driver(0, 13020);
                place.gpu_build()
            },
            "no GPU 3: the driver shows 1, counted from 0",
            "choose another `--device-id`",
        ),
        (
            "no such GPU",
            "tensorrt --device-id 3",
            |place| {
                place.library(TENSORRT, "", &[]);
                place.driver(0, 13020);
                place.gpu_build()
            },
            "no GPU 3: the driver shows 1, counted from 0",
            "choose another `--device-id`",
        ),
        (
            "a GPU without kernels",
            "cuda",
            |place| {
                place.library(CUDA, "", &[]);
                place.driver(0, 13020);
                place.failing_gpu_build(NO_KERNELS)
            },
            "GPU 0, Stub GPU (sm_121, 80 GiB): CUDA's libraries hold no kernels for it (no kernel image is available for execution on the device)",
            "choose another `--device-id` or `--ep cpu`",
        ),
        (
            "no OpenVINO",
            "openvino",
            Place::onnx_runtime,
            "libonnxruntime_providers_openvino.so: not part of the ONNX Runtime library in use",
            "name none by `--ort-lib` or ORT_DYLIB_PATH, so that a build with OpenVINO is fetched, or choose `--ep cpu`",
        ),
    ];
    for (name, ep, prepare, part, remedy) in rows {
        if name == "no OpenVINO" && Provider::OpenVino.plugin().is_some() {
            // An Intel processor, for which a plug-in is fetched.
            continue;
        }
        let place = Place::new();
        let library = prepare(&place);
        let args = format!("infer --model threshold.onnx --out out --ep {ep} a.png");
        let Output { status, stdout, stderr } = place.command(&args, &library).output().unwrap();
        let said = text(&stderr).replace(place.0.path().to_str().unwrap(), "/libs");
        assert_eq!(status.code(), Some(1), "{name}: {said}");
        assert!(said.starts_with("error: ") && said.lines().count() == 1, "{name}: {said}");
        assert!(said.ends_with(&format!("{part}; {remedy}\n")), "{name}: {said}");
        assert!(stdout.is_empty() && !place.path("out").exists(), "{name}");
        let row = format!("| {name} | {part} | {remedy} |");
        assert!(MANUAL.lines().any(|line| line == row), "the manual has no row `{row}`");
    }
}

/// Returns the report of `doctor` on OpenVINO and the CPU.
fn examine(place: &Place, library: &Path) -> [Value; 2] {
    // Long enough for a busy machine to try the provider that works.
    let output = place.command("doctor --json --timeout 15", library).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let tried = report["providers"].as_array().unwrap();
    ["openvino", "cpu"].map(|name| tried.iter().find(|tried| tried["provider"] == name).unwrap().clone())
}

#[test]
fn what_crashes_or_hangs_is_a_finding_and_not_the_end() {
    const CRASH: &str = "__attribute__((constructor)) void f(void) { __builtin_trap(); }";
    const HANG: &str = "unsigned sleep(unsigned); __attribute__((constructor)) void f(void) { sleep(60); }";
    const OPENVINO: &str = "libonnxruntime_providers_openvino.so";
    for (name, source, expected) in [
        ("a provider that crashes", CRASH, "it crashes with signal: 4"),
        ("a provider that hangs", HANG, "it hangs: no answer after 15 s"),
    ] {
        let place = Place::new();
        place.library(OPENVINO, source, &[]);
        let [openvino, cpu] = examine(&place, &place.onnx_runtime());
        assert_eq!((&openvino["works"], &cpu["works"]), (&false.into(), &true.into()), "{name}");
        assert!(openvino["error"].as_str().unwrap().contains(expected), "{name}: {openvino}");
    }
    let place = Place::new();
    let library = place.library("libonnxruntime.so", CRASH, &[]);
    for tried in examine(&place, &library) {
        assert!(tried["error"].as_str().unwrap().contains("it crashes with signal: 4"), "ONNX Runtime: {tried}");
    }
}

/// The driver of [`Place::driver`].
const DRIVER: &str = r#"
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

#[test]
fn doctor_tells_what_the_driver_and_tensorrt_say() {
    let place = Place::new();
    let library = place.onnx_runtime();
    let tensorrt = "int getInferLibVersion(void) { return 101302; }";
    place.library("libcudart.so.13", "int cudaRuntimeGetVersion(int *version) { *version = 13010; return 0; }", &[]);
    place.library("libcudnn.so.9", "unsigned long cudnnGetVersion(void) { return 91002; }", &[]);
    place.library("libnvidia-ml.so.1", MANAGEMENT, &[]);
    for (name, error, cuda, tensorrt, parts) in [
        (
            "all there",
            0,
            13020,
            tensorrt,
            &[
                "driver     NVIDIA's 580.65.06, up to CUDA 13.2\n",
                "GPU 0      Stub GPU (sm_121, 80 GiB)\n",
                "CUDA       13.1\n",
                "cuDNN      9.10.2\n",
                "TensorRT   10.13.2\n",
            ][..],
        ),
        ("an old driver", 0, 12020, tensorrt, &["up to CUDA 12.2; 13.0 or newer is wanted"]),
        (
            "no GPU",
            100,
            13020,
            tensorrt,
            &[
                "driver     libcuda.so.1: no CUDA-capable device is detected\n",
                ": check the GPU and its driver by `nvidia-smi`\n",
            ],
        ),
        (
            "another library",
            0,
            13020,
            "",
            &["TensorRT   libnvinfer.so.10: ", "getInferLibVersion\n", "TensorRT: install TensorRT 10 ("],
        ),
    ] {
        place.driver(error, cuda);
        place.library("libnvinfer.so.10", tensorrt, &[]);
        let output = place.command("doctor", &library).output().unwrap();
        for part in parts {
            assert!(text(&output.stdout).contains(part), "{name}: {part}: {}", text(&output.stdout));
        }
    }
}

/// The library that reports the driver's own version.
const MANAGEMENT: &str = r#"
#include <string.h>
int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlSystemGetDriverVersion(char *version, unsigned len) { strncpy(version, "580.65.06", len); return 0; }"#;

#[test]
fn what_lies_beside_the_images_is_neither_loaded_nor_run() {
    let place = Place::new();
    fs::create_dir_all(place.path("nvidia/cublas/lib")).unwrap();
    fs::create_dir_all(place.path("pip")).unwrap();
    let planted = place.library("planted.so", "__attribute__((constructor)) void f(void) { __builtin_trap(); }", &[]);
    fs::rename(planted, place.path("nvidia/cublas/lib/libcublasLt.so.13")).unwrap();
    fs::write(place.path("pip/__init__.py"), "").unwrap();
    fs::write(place.path("pip/__main__.py"), "open('ran', 'w')").unwrap();

    place.library(CUDA, "", &["libcublasLt.so.13"]);
    let library = place.gpu_build();
    let output = place.command("infer --model threshold.onnx --out out --ep cuda a.png", &library).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stderr).contains("libcublasLt.so.13: not found"), "{output:?}");

    let mut command = place.command("setup", &library);
    // Nothing can be fetched: what matters is which pip says so.
    command.env("SEG_RUNTIME_CACHE", "cache").env("PIP_NO_INDEX", "1").env_remove("PIP_FIND_LINKS");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stderr).contains("No matching distribution found for onnxruntime"), "{output:?}");
    assert!(!place.path("ran").exists(), "a module in the working folder was run");
}

#[test]
fn a_precision_that_the_environment_forbids_is_refused() {
    let place = Place::new();
    place.library(CUDA, "", &[]);
    let library = place.failing_gpu_build("the session begins");
    for (precision, variable, said) in [
        ("tf32", "0", "NVIDIA_TF32_OVERRIDE=0 keeps CUDA from computing in TensorFloat-32; unset it or choose"),
        ("tf32", "1", "the session begins"),
        // Values of the variable that say otherwise are overridden.
        ("fp32", "1", "the session begins"),
    ] {
        let args = format!("infer --model threshold.onnx --out out --ep cuda --precision {precision} a.png");
        let output = place.command(&args, &library).env("NVIDIA_TF32_OVERRIDE", variable).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{precision} {variable}: {output:?}");
        assert!(text(&output.stderr).contains(said), "{precision} {variable}: {}", text(&output.stderr));
    }
}

#[test]
fn doctor_names_what_is_missing_and_fails_where_it_is_needed() {
    let place = Place::new();
    let library = place.onnx_runtime();
    for (args, code, parts) in [
        (
            "doctor",
            0,
            &[
                "\n✓ cpu ",
                "--ep auto measures the fused kernel (AMSUnet alone), the CPU on each model, once",
                "libonnxruntime_providers_cuda.so: not",
                "\nwhat to do\n",
            ][..],
        ),
        ("doctor --ep cpu", 0, &["system", "library    ONNX Runtime 1.24.1", "driver"]),
        ("doctor --ep cuda,cpu", 1, &["\n✗ cuda ", "\n✗ tensorrt ", "\n✗ openvino "]),
    ] {
        let output = place.command(args, &library).env("SEG_RUNTIME_CACHE", place.path("cache")).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{args}: {output:?}");
        for part in parts {
            assert!(text(&output.stdout).contains(part), "{args}: {part}: {}", text(&output.stdout));
        }
    }
}

#[test]
fn a_fallback_happens_only_where_it_is_allowed_and_is_said() {
    let place = Place::new();
    let library = place.onnx_runtime();
    for (name, flags, code, said) in [
        ("not allowed", "--ep cuda", 1, "error: cannot load `threshold.onnx` with CUDA"),
        ("allowed", "--ep cuda --allow-fallback", 0, "cannot use CUDA: libonnxruntime_providers_cuda.so: not part of"),
        ("twice", "--ep tensorrt --allow-fallback", 0, "cannot use TensorRT: libonnxruntime_providers_tensorrt.so"),
        ("the best that works", "--ep auto", 0, "`--ep auto` takes the CPU"),
        ("the best that works by itself", "--ep auto --allow-fallback", 0, "`--ep auto` takes the CPU"),
        ("an option that nobody has", "--ep auto --openvino-device GPU", 1, "the CPU has no `--openvino-device`"),
        ("no option for it", "--ep cpu --device-id 1", 1, "error: the CPU has no `--device-id`"),
    ] {
        let args = format!("infer --model threshold.onnx --out out a.png {flags}");
        // Without plug-ins.
        let output = place.command(&args, &library).env("SEG_RUNTIME_CACHE", place.path("cache")).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{name}: {output:?}");
        assert!(text(&output.stderr).contains(said), "{name}: {}", text(&output.stderr));
        if code == 0 {
            let report = fs::read_to_string(place.path("out/predictions.jsonl")).unwrap();
            assert!(report.contains("\"provider\":\"cpu\""), "{name}: {report}");
            fs::remove_dir_all(place.path("out")).unwrap();
        }
    }
}

#[test]
fn bench_shows_what_ran() {
    let place = Place::new();
    let library = place.onnx_runtime();
    let bench = |flags: &str| {
        let args = format!(
            "bench threshold.onnx --ep cuda --allow-fallback --warm-up 1 --runs 1 --size 16x16 --against threshold.onnx {flags}"
        );
        let output = place.command(&args, &library).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        // By the process that measures, for each of the two models.
        assert_eq!(text(&output.stderr).matches("cannot use CUDA: ").count(), 2, "{output:?}");
        text(&output.stdout)
    };
    let table = bench("");
    let row = table.lines().nth(1).unwrap();
    assert!(row.starts_with("cpu       fp32           1      16x16  "), "{table}");
    assert!(table.contains("note  cannot use CUDA: libonnxruntime_providers_cuda.so: not part of"), "{table}");
    let rows: Value = serde_json::from_str(&bench("--json")).unwrap();
    assert_eq!(rows[0]["ep"], "cuda");
    for ran in [&rows[0]["runs_on"], &rows[0]["against"]["runs_on"]] {
        assert_eq!((&ran["provider"], &ran["precision"]), (&"cpu".into(), &"fp32".into()), "{ran}");
        assert!(ran["instead"][0].as_str().unwrap().starts_with("CUDA: "), "{ran}");
    }
}

#[test]
fn a_library_that_cannot_be_had_is_in_the_report_and_in_the_record() {
    let place = Place::new();
    for folder in ["data/images", "data/masks"] {
        fs::create_dir_all(place.path(folder)).unwrap();
        image::GrayImage::new(9, 9).save(place.path(folder).join("a.png")).unwrap();
    }
    // A cache that holds the build for the CPU alone.
    let library = Search { variable: None, ..Search::from_env(None, Build::Cpu) }.locate().unwrap();
    let fetched = library.path.ancestors().nth(3).unwrap();
    fs::create_dir(place.path("cache")).unwrap();
    symlink(fetched, place.path("cache").join(fetched.file_name().unwrap())).unwrap();
    let run = |args: &str| {
        let mut command = place.command(&format!("{args} --ep cuda --allow-fallback --offline"), Path::new(""));
        command.env_remove(LIBRARY_VARIABLE).env("SEG_RUNTIME_CACHE", place.path("cache"));
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args}: {output:?}");
        assert_eq!(text(&output.stderr).matches("cannot use CUDA: ").count(), 1, "{args}: {output:?}");
    };
    run("eval --model threshold.onnx --data data --split all --bootstrap 0 --out scores");
    run("infer --model threshold.onnx --model threshold.onnx --out out a.png");
    for file in ["scores/scores.json", "out/predictions.jsonl"] {
        let report: Value = serde_json::from_slice(&fs::read(place.path(file)).unwrap()).unwrap();
        let runs_on = &report["runs_on"];
        assert_eq!((&runs_on["provider"], &runs_on["precision"]), (&"cpu".into(), &"fp32".into()), "{file}: {runs_on}");
        assert_eq!(runs_on["onnx_runtime"], library.version, "{file}: {runs_on}");
        let instead = runs_on["instead"].as_array().unwrap();
        assert_eq!(instead.len(), 1, "{file}: {runs_on}");
        assert!(instead[0].as_str().unwrap().starts_with("CUDA: "), "{file}: {runs_on}");
    }
}
