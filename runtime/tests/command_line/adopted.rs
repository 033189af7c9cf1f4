//! Networks that another program exported and `adopt` gave a contract: whatever runs models runs
//! them.

use std::fs;

use seg_contract::SizePolicy;
use seg_onnx::{Model, Opset, proto};
use serde_json::Value;

use crate::serving::Served;
use crate::{Workplace, threshold};

/// Writes a network as PyTorch writes it, whose nodes have names of their own, and its contract.
fn foreign(place: &Workplace) {
    let model = threshold::model(SizePolicy::Native);
    let mut bytes = proto::write(&model.graph, Opset::V17, &[]).unwrap();
    // The field `name` of the node, behind its output of the same name.
    let name = b"\x1a\x03red";
    let at = bytes.windows(name.len()).position(|found| found == name).unwrap();
    bytes[at + 2..at + name.len()].copy_from_slice(b"RED");
    fs::write(place.path("foreign.onnx"), bytes).unwrap();
    fs::write(place.path("contract.json"), model.contract.to_json()).unwrap();
}

#[test]
fn a_network_of_another_program_is_served_scored_and_measured_as_it_segments() {
    let place = Workplace::new();
    foreign(&place);
    for name in ["a", "b"] {
        place.image(&format!("data/images/{name}.png"), 10, 12);
        place.mask(&format!("data/masks/{name}.png"), 10, 12);
    }
    let ended = place.run("adopt foreign.onnx --contract contract.json --out adopted.onnx");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(Model::from_bytes(&fs::read(place.path("adopted.onnx")).unwrap()).is_err(), "its graph is that of another");

    let ended = place.run("infer --model adopted.onnx --out out --save mask data/images");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let server = Served::start(&place, "--model adopted.onnx");
    let image = fs::read(place.path("data/images/a.png")).unwrap();
    let answer = server.ask("POST", "/v1/segment?output=mask", "", &image);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body, fs::read(place.path("out/masks/a.png")).unwrap());
    let models = server.ask("GET", "/v1/models", "", &[]).json();
    assert_eq!(models["models"][0]["contract"]["classes"][1]["name"], "nucleus", "{models}");
    let metadata = server.ask("GET", "/v2/models/adopted", "", &[]).json();
    assert_eq!(metadata["inputs"][0]["name"], "input", "{metadata}");

    let ended = place.run("eval --model adopted.onnx --data data --split all --out scores --bootstrap 20");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let scores: Value = serde_json::from_slice(&fs::read(place.path("scores/scores.json")).unwrap()).unwrap();
    assert_eq!(scores.pointer("/scores/pooled/classes/nucleus/dice/value"), Some(&1.0.into()));

    let ended = place.run("bench adopted.onnx --json --warm-up 1 --runs 1 --size 16x16");
    assert_eq!(ended.code, Some(0), "{ended:?}");

    // Nothing proves it, so that what must be proven is not served.
    let ended = place.run("serve --model adopted.onnx --listen 127.0.0.1:0 --require-certificate");
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("certificate"), "{ended:?}");
}
