//! `--ep auto`: measured once, on the model, and kept.

use std::fs;

use seg_inference::library::Build;
use serde_json::Value;

use super::{Place, onnx_runtime, text};

#[test]
fn the_fastest_provider_is_measured_once_for_a_model_and_its_flags() {
    let place = Place::new();
    let library = onnx_runtime(Build::OpenVino);
    let infer = |flags: &str| {
        let output = place.run(&library, &format!("infer --model threshold.onnx --out out --ep auto a.png {flags}"));
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let record: Value = serde_json::from_str(place.read("out/predictions.jsonl").lines().next().unwrap()).unwrap();
        fs::remove_dir_all(place.path("out")).unwrap();
        (text(&output.stderr), record["runs_on"]["provider"].as_str().unwrap().to_owned())
    };
    let choices = || -> Vec<Value> {
        let files = fs::read_dir(place.path("cache/auto")).unwrap();
        files.map(|file| serde_json::from_slice(&fs::read(file.unwrap().path()).unwrap()).unwrap()).collect()
    };
    let (said, first) = infer("");
    assert!(said.contains("`--ep auto` measures OpenVINO, the CPU at 512x512, once"), "{said}");
    assert!(said.contains(" ms; the next run knows it"), "{said}");
    let choice = choices().remove(0);
    assert_eq!(choice["provider"], first, "{choice}");
    let times: Vec<_> =
        choice["latency_ms_p50"].as_array().unwrap().iter().map(|row| row[1].as_f64().unwrap()).collect();
    assert!(times.len() == 2 && times.iter().all(|time| *time > 0.0), "{choice}");

    let (said, second) = infer("");
    assert!(said.contains(", as measured before") && !said.contains("measures"), "{said}");
    assert_eq!((second, choices().len()), (first, 1));

    let (said, _) = infer("--threads 1");
    assert!(said.contains("once"), "other flags, other times: {said}");
    assert_eq!(choices().len(), 2);

    // What is damaged, or chosen and works no more, is measured again.
    for entry in fs::read_dir(place.path("cache/auto")).unwrap() {
        fs::write(entry.unwrap().path(), "{").unwrap();
    }
    assert!(infer("").0.contains("once"));
    let mut wrong = choice;
    wrong["provider"] = "webgpu".into();
    for entry in fs::read_dir(place.path("cache/auto")).unwrap() {
        fs::write(entry.unwrap().path(), wrong.to_string()).unwrap();
    }
    assert!(infer("").0.contains("once"));
}
