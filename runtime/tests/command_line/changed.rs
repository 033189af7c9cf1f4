//! Models that other tools have changed run, and whatever cannot be said of them is said.

use std::fs;
use std::ops::Range;

use seg_contract::SizePolicy;
use serde_json::Value;

use crate::continuing::contents;
use crate::{Workplace, threshold};

/// Field numbers of ONNX's messages.
const GRAPH: u64 = 7;
const INITIALIZER: u64 = 5;
const VALUE_INFO: u64 = 13;
const RAW_DATA: u64 = 9;
const EXTERNAL_DATA: u64 = 13;
const DATA_LOCATION: u64 = 14;

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn read_varint(bytes: &[u8], at: &mut usize) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = bytes[*at];
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return value;
        }
        shift += 7;
    }
}

/// Returns a field that holds bytes.
fn field(number: u64, content: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(content.len() as u64), content.to_vec()].concat()
}

/// Lists the fields of a message: number, the whole field, and its content if it holds bytes.
fn fields(message: &[u8]) -> Vec<(u64, Range<usize>, Range<usize>)> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < message.len() {
        let start = at;
        let key = read_varint(message, &mut at);
        let content = match key & 7 {
            0 => {
                read_varint(message, &mut at);
                at..at
            }
            2 => {
                let length = read_varint(message, &mut at) as usize;
                at += length;
                at - length..at
            }
            5 => {
                at += 4;
                at..at
            }
            wire => panic!("wire type {wire}"),
        };
        found.push((key >> 3, start..at, content));
    }
    found
}

/// Changes each field of a number.
fn change(message: &[u8], number: u64, mut change: impl FnMut(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let changed = fields(message)
        .into_iter()
        .map(|(own, whole, content)| if own == number { change(&message[content]) } else { message[whole].to_vec() });
    changed.collect::<Vec<_>>().concat()
}

/// Says the type of each value twice, as some optimisers do.
fn repeated_types(model: &[u8]) -> Vec<u8> {
    change(model, GRAPH, |graph| field(GRAPH, &change(graph, VALUE_INFO, |info| field(VALUE_INFO, info).repeat(2))))
}

/// Says no type of a value.
fn no_types(model: &[u8]) -> Vec<u8> {
    change(model, GRAPH, |graph| field(GRAPH, &change(graph, VALUE_INFO, |_| Vec::new())))
}

/// Moves the constants to a file of their own; returns the model and that file.
fn external(model: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut weights = Vec::new();
    let model = change(model, GRAPH, |graph| {
        let graph = change(graph, INITIALIZER, |tensor| {
            let mut moved = change(tensor, RAW_DATA, |raw| {
                let offset = weights.len();
                weights.extend_from_slice(raw);
                let entry = |key: &str, value: &str| {
                    field(EXTERNAL_DATA, &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat())
                };
                let (offset, length) = (offset.to_string(), raw.len().to_string());
                [entry("location", "weights.bin"), entry("offset", &offset), entry("length", &length)].concat()
            });
            if fields(tensor).iter().any(|(number, ..)| *number == RAW_DATA) {
                moved.extend([varint(DATA_LOCATION << 3), varint(1)].concat());
            }
            field(INITIALIZER, &moved)
        });
        field(GRAPH, &graph)
    });
    (model, weights)
}

#[test]
fn changed_models_run_if_they_carry_the_contract() {
    let place = Workplace::new();
    for index in 0..3 {
        place.image(&format!("in/{index}.png"), 60 + index, 50);
    }
    assert_eq!(place.run("infer --model threshold.onnx --out whole in").code, Some(0));
    let expected = contents(&place.path("whole/masks"));
    let model = fs::read(place.path("threshold.onnx")).unwrap();
    let (outside, weights) = external(&model);
    fs::write(place.path("weights.bin"), &weights).unwrap();
    for (name, bytes) in
        [("types twice", repeated_types(&model)), ("no types", no_types(&model)), ("external", outside)]
    {
        assert_ne!(bytes, model, "{name}");
        fs::write(place.path("changed.onnx"), bytes).unwrap();
        let _ = fs::remove_dir_all(place.path("out"));
        let ended = place.run("infer --model changed.onnx --out out in");
        assert_eq!(ended.code, Some(0), "{name}: {ended:?}");
        assert_eq!(contents(&place.path("out/masks")), expected, "{name}");
        if name != "external" {
            continue;
        }
        assert!(ended.stderr.contains("was changed after `seg export` wrote it"), "{name}: {ended:?}");
        let ended = place.run("inspect changed.onnx --json");
        assert_eq!(ended.code, Some(0), "{name}: {ended:?}");
        let report: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(report["contract"]["input"]["name"], "input", "{name}");
        assert!(report["unread"].as_str().unwrap().contains("cannot say what it computes"), "{name}: {report}");
        let ended = place.run("inspect changed.onnx --graph");
        assert!(ended.stderr.contains("cannot be read, so it cannot be printed"), "{name}: {ended:?}");
    }
}

#[test]
fn other_weights_beside_a_model_are_another_job() {
    let place = Workplace::new();
    place.image("in/a.png", 60, 50);
    let (outside, mut weights) = external(&fs::read(place.path("threshold.onnx")).unwrap());
    fs::write(place.path("outside.onnx"), outside).unwrap();
    let arguments = "infer --model outside.onnx --out out --continue in";
    let ended = place.run(arguments);
    assert!(ended.stderr.contains("weights.bin"), "{ended:?}");
    fs::write(place.path("weights.bin"), &weights).unwrap();
    assert_eq!(place.run(arguments).code, Some(0));
    // The sign of a weight.
    let last = weights.len() - 1;
    weights[last] ^= 0x80;
    fs::write(place.path("weights.bin"), &weights).unwrap();
    let ended = place.run(arguments);
    assert!(ended.stderr.contains("another job, which differs in its models"), "{ended:?}");
}

#[test]
fn a_changed_model_must_keep_its_contract() {
    let place = Workplace::new();
    place.image("in/a.png", 60, 50);
    let mut model = threshold::model(SizePolicy::Native);
    model.contract.classes.push(seg_contract::Class::new("cell", 2));
    let contract = model.contract.to_json();
    let honest = fs::read(place.path("threshold.onnx")).unwrap();
    let entry = [field(1, seg_onnx::CONTRACT_KEY.as_bytes()), field(2, contract.as_bytes())].concat();
    // Metadata are field 14 of a model.
    let lying = change(&repeated_types(&honest), 14, |own| {
        let is_contract =
            own.windows(seg_onnx::CONTRACT_KEY.len()).any(|text| text == seg_onnx::CONTRACT_KEY.as_bytes());
        if is_contract { field(14, &entry) } else { field(14, own) }
    });
    fs::write(place.path("lying.onnx"), lying).unwrap();
    let ended = place.run("infer --model lying.onnx --out out in");
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("does not keep the model's contract"), "{ended:?}");
    assert!(!place.path("out").exists());
}
