//! `--ep fused`: the shipped model on the project's own kernels, from its file to masks and to its
//! certificate, and what happens to other models.

use std::fs;
use std::path::{Path, PathBuf};

use image::GrayImage;
use seg_inference::library::Build;
use serde_json::Value;

use super::{Place, onnx_runtime, text};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn masks(place: &Place, folder: &str) -> Vec<(String, GrayImage)> {
    let files = fs::read_dir(place.path(folder).join("masks")).unwrap().map(|file| file.unwrap().path());
    let mut masks: Vec<_> = files
        .filter(|file| file.extension().is_some_and(|extension| extension == "png"))
        .map(|file| (file.file_name().unwrap().to_string_lossy().into_owned(), image::open(&file).unwrap().to_luma8()))
        .collect();
    masks.sort_by(|(a, _), (b, _)| a.cmp(b));
    masks
}

#[test]
fn the_shipped_model_has_the_masks_of_onnx_runtime_and_a_certificate_of_its_own() {
    let place = Place::new();
    let library = onnx_runtime(Build::Cpu);
    for name in ["nuclei.onnx", "nuclei.reference.onnx"] {
        fs::copy(repository("models").join(name), place.path(name)).unwrap();
    }
    let images = repository("sample/nuclei/test/images");
    let run = |args: &str| {
        let output = place.run(&library, args);
        assert_eq!(output.status.code(), Some(0), "{args}: {output:?}");
        text(&output.stdout)
    };
    for (out, flags) in [("cpu", "--ep cpu"), ("fused", "--ep fused"), ("threads", "--ep fused --threads 3 --batch 2")]
    {
        run(&format!("infer --model nuclei.onnx --out {out} --save mask {flags} {}", images.display()));
    }
    let [cpu, fused, threads] = ["cpu", "fused", "threads"].map(|out| masks(&place, out));
    assert!(!cpu.is_empty() && cpu.len() == fused.len(), "{} and {} masks", cpu.len(), fused.len());
    assert!(fused == threads, "masks depend on threads or batches");
    for ((name, cpu), (_, fused)) in cpu.iter().zip(&fused) {
        let differ = cpu.pixels().zip(fused.pixels()).filter(|(a, b)| a != b).count();
        assert!(differ * 10_000 <= cpu.len(), "{name}: {differ} of {} pixels", cpu.len());
    }
    let record: Value = serde_json::from_str(place.read("fused/predictions.jsonl").lines().next().unwrap()).unwrap();
    let runs_on = &record["runs_on"];
    assert_eq!(runs_on["provider"], "fused", "{record}");
    assert_eq!(runs_on["nodes"]["FusedKernel"], 290, "{record}");

    let said = run("verify nuclei.onnx --ep fused");
    assert!(said.contains("is the trained network on the fused kernel in float32"), "{said}");
    let certificate: Value = serde_json::from_str(&place.read("nuclei.fused.certificate.json")).unwrap();
    assert_eq!(certificate["provider"], "fused");

    let found: Value = serde_json::from_str(&run("doctor --ep fused --json")).unwrap();
    assert!(found["auto"].as_array().unwrap().contains(&"fused".into()), "{found}");
}

#[test]
fn another_model_is_refused_by_name_or_left_to_the_cpu() {
    let place = Place::new();
    let library = onnx_runtime(Build::Cpu);
    let infer =
        |flags: &str| place.run(&library, &format!("infer --model threshold.onnx --out out --ep fused a.png {flags}"));
    let refused = infer("");
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    for part in
        ["`threshold.onnx` with the fused kernel", "AMSUnet alone", "`logits` is a Conv of", "choose `--ep cpu`"]
    {
        assert!(said.contains(part), "`{part}`: {said}");
    }
    let allowed = infer("--allow-fallback");
    let said = text(&allowed.stderr);
    assert_eq!(allowed.status.code(), Some(0), "{said}");
    assert!(said.contains("cannot use the fused kernel"), "{said}");
    let precise = text(&infer("--precision tf32").stderr);
    assert!(precise.contains("the fused kernel has no `--precision tf32`"), "{precise}");
}

#[test]
fn the_kernel_is_measured_where_it_computes_every_model() {
    let place = Place::new();
    let library = onnx_runtime(Build::Cpu);
    fs::copy(repository("models/nuclei.onnx"), place.path("nuclei.onnx")).unwrap();
    let measure = |models: &str| {
        let output = place.run(&library, &format!("infer {models} --out out --ep auto --offline --continue a.png"));
        text(&output.stderr)
    };
    let said = measure("--model nuclei.onnx");
    assert!(said.contains("`--ep auto` measures the fused kernel, the CPU at 512x512, once"), "{said}");
    for others in ["--model threshold.onnx", "--model nuclei.onnx --model threshold.onnx"] {
        let said = measure(others);
        assert!(!said.contains("the fused kernel"), "{others}: {said}");
        assert!(said.contains("`--ep auto` takes the CPU, the only one that works"), "{others}: {said}");
    }
}
