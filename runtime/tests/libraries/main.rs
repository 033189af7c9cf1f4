//! Libraries that are absent, old, foreign, for another processor, without a driver, crashing or
//! hanging: how `seg-runtime` ends, what it says and what it advises.
//!
//! The libraries are stubs that the C compiler makes here.

#![allow(clippy::unwrap_used)]

#[path = "../../../crates/inference/tests/threshold/mod.rs"]
mod threshold;

mod doctor;
mod stubs;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Output;

use seg_inference::Provider;
use seg_inference::library::{Build, LIBRARY_VARIABLE, Search};
use serde_json::Value;

use stubs::{OLD_BUILD, Place};

/// The documentation of errors; the rows of its table are the rows of this test.
const MANUAL: &str = include_str!("../../../docs/providers.md");

/// The files in which ONNX Runtime keeps its providers.
const CUDA: &str = "libonnxruntime_providers_cuda.so";
const TENSORRT: &str = "libonnxruntime_providers_tensorrt.so";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

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
