//! The models that ship with the repository: each is proven, and as good as its page says.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::serving::Served;
use crate::{Ended, Workplace};

/// The least Dice per image of the nuclei on the sample's test images.
const NUCLEI_DICE_MIN: f64 = 0.85;

/// The most bytes of all files in `models/`.
const BYTES_MAX: u64 = 6 << 20;

/// Returns a path of the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

#[test]
fn the_nuclei_model_is_certified_and_finds_nuclei() {
    let place = Workplace::new();
    let [model, data] = ["models/nuclei.onnx", "sample/nuclei/test"].map(repository);
    let [model, data] = [&model, &data].map(|path| path.to_str().unwrap().to_owned());
    let images = format!("{data}/images");
    let infer = ["infer", "--model", &model, "--require-certificate", "--out", "masks", &images];
    let ended = Ended::from_output(place.command(infer).output().unwrap());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(fs::read_dir(place.path("masks/masks")).unwrap().count(), 12);
    let ended = Ended::from_output(
        place
            .command(["eval", "--model", &model, "--data", &data, "--out", "scores", "--bootstrap", "0"])
            .output()
            .unwrap(),
    );
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let scores: Value = serde_json::from_slice(&fs::read(place.path("scores/scores.json")).unwrap()).unwrap();
    let dice = scores.pointer("/scores/per_image/overall/dice/value").and_then(Value::as_f64).unwrap();
    assert!(dice >= NUCLEI_DICE_MIN, "Dice {dice}");
}

#[test]
fn the_nuclei_model_can_be_proven_again() {
    let place = Workplace::new();
    for name in ["nuclei.onnx", "nuclei.reference.onnx"] {
        fs::copy(repository("models").join(name), place.path(name)).unwrap();
    }
    let ended = Ended::from_output(place.command(["verify", "nuclei.onnx"]).output().unwrap());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("`nuclei.onnx` is the trained network on the CPU in float32"), "{ended:?}");
}

#[test]
fn every_command_runs_the_nuclei_model_on_the_fused_kernel() {
    let place = Workplace::new();
    let [model, data] = ["models/nuclei.onnx", "sample/nuclei/test"].map(repository);
    let [model, data] = [&model, &data].map(|path| path.to_str().unwrap().to_owned());
    let run = |args: &str| {
        let ended = place.run(args);
        assert_eq!(ended.code, Some(0), "{args}: {ended:?}");
        ended
    };
    let scores = |ep: &str| -> Value {
        run(&format!("eval --model {model} --data {data} --out {ep} --bootstrap 0 --ep {ep}"));
        serde_json::from_slice(&fs::read(place.path(format!("{ep}/scores.json"))).unwrap()).unwrap()
    };
    let dice = |scores: &Value| scores.pointer("/scores/per_image/overall/dice/value").and_then(Value::as_f64).unwrap();
    let [cpu, fused] = ["cpu", "fused"].map(scores);
    assert!((dice(&cpu) - dice(&fused)).abs() < 1e-4, "{} and {}", dice(&cpu), dice(&fused));

    run(&format!("infer --model {model} --ep fused --out masks --save mask,probabilities-npy {data}/images"));
    let server = Served::start(&place, &format!("--ep fused --model {model}"));
    let images: Vec<_> = fs::read_dir(format!("{data}/images")).unwrap().map(|file| file.unwrap().path()).collect();
    for image in &images[..3] {
        let name = image.file_stem().unwrap().to_str().unwrap();
        let content = fs::read(image).unwrap();
        for (output, file) in
            [("mask", format!("masks/{name}.png")), ("probabilities", format!("probabilities/{name}.npy"))]
        {
            let answer = server.ask("POST", &format!("/v1/segment?output={output}"), "", &content);
            assert_eq!(answer.status, 200, "{name}: {answer:?}");
            assert!(
                answer.body == fs::read(place.path(format!("masks/{file}"))).unwrap(),
                "{name} {output}: other bytes"
            );
        }
    }
}

#[test]
fn shipped_models_are_small() {
    let files = fs::read_dir(repository("models")).unwrap().map(|file| file.unwrap().metadata().unwrap().len());
    let bytes: u64 = files.sum();
    assert!(bytes <= BYTES_MAX, "{bytes} bytes");
}
