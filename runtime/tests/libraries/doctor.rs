//! `doctor` on the libraries of a machine.

use std::path::Path;

use serde_json::Value;

use super::stubs::{MANAGEMENT, Place};
use super::text;

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
