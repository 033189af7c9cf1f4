//! A file that one part of the project does not write for another is refused, with its name and the
//! reason.

use std::error::Error;
use std::fs;
use std::path::Path;

use seg_contract::{Class, SizePolicy};
use seg_data::write_bytes;
use seg_export::{Options, export};
use seg_inference::Segmenter;
use seg_nets::checkpoint::Checkpoint;
use seg_onnx::{CONTRACT_KEY, Model, proto};
use seg_tests::discs::begin_run;
use seg_tests::fixtures::{checkpoint, network};
use seg_tests::runtime::environment;

/// Formats an error with its causes, as a program prints it.
fn chain(error: &(dyn Error + 'static)) -> String {
    std::iter::successors(Some(error), |&error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[test]
fn the_runtime_opens_only_models_of_this_toolchain() {
    let folder = tempfile::tempdir().unwrap();
    let net = network(4, 1);
    let exported = export(&checkpoint(&net), &Options::default()).unwrap();
    let Model { graph, opset, contract } = &exported.model;
    let with_contract = |json: String| proto::write(graph, *opset, &[(CONTRACT_KEY.into(), json)]).unwrap();
    let mut wide = contract.clone();
    wide.classes.push(Class::new("another", 2));
    let half = exported.bytes[..exported.bytes.len() / 2].to_vec();
    fs::create_dir(folder.path().join("run")).unwrap();
    let rows: [(&str, Option<Vec<u8>>, &str); 8] = [
        ("absent.onnx", None, "No such file"),
        ("run", None, "Is a directory"),
        ("text.onnx", Some(b"a model".to_vec()), "not"),
        ("half.onnx", Some(half), "not"),
        ("weights.safetensors", Some(checkpoint(&net).weights.to_safetensors(None)), "not"),
        ("others.onnx", Some(proto::write(graph, *opset, &[]).unwrap()), "was not written by this toolchain"),
        ("newer.onnx", Some(with_contract(contract.to_json().replace("\"format\": 1", "\"format\": 99"))), "format 99"),
        ("classes.onnx", Some(with_contract(wide.to_json())), "expected the output's type `f32[?, 3, ?, ?]`"),
    ];
    for (name, bytes, expected) in rows {
        let path = folder.path().join(name);
        if let Some(bytes) = bytes {
            fs::write(&path, bytes).unwrap();
        }
        let message = chain(&Segmenter::open(environment(), &path, &Default::default()).unwrap_err());
        assert!(message.contains(name) && message.contains(expected), "{name}: {message}");
    }
}

#[test]
fn only_trained_weights_are_exported() {
    let folder = tempfile::tempdir().unwrap();
    let export = |path: &Path| match Checkpoint::read(path) {
        Ok(checkpoint) => export(&checkpoint, &Options::default()).map(drop).map_err(|error| chain(&error)),
        Err(error) => Err(chain(&error)),
    };
    let run = begin_run(folder.path(), SizePolicy::Native);
    let message = export(&run.folder).unwrap_err();
    assert!(message.contains("its first epoch has not ended"), "a run without an epoch: {message}");

    let best = run.folder.join(seg_nets::runs::BEST);
    let good = Checkpoint { path: best.clone(), contract: Some(run.contract()), ..checkpoint(&network(4, 1)) };
    good.write().unwrap();
    export(&run.folder).unwrap();
    let whole = fs::read(&best).unwrap();
    let model = seg_export::export(&good, &Options::default()).unwrap().bytes;
    let mut not_finite = whole.clone();
    // The last four bytes are the last weight.
    not_finite.splice(whole.len() - 4.., f32::NAN.to_le_bytes());
    for (name, bytes, expected) in [
        ("half of the weights", whole[..whole.len() / 2].to_vec(), "is not a safetensors file"),
        ("a model", model, "is not a safetensors file"),
        ("a weight that is no number", not_finite, "holds a number that is not finite"),
    ] {
        write_bytes(&best, &bytes).unwrap();
        let message = export(&run.folder).unwrap_err();
        assert!(message.contains(seg_nets::runs::BEST) && message.contains(expected), "{name}: {message}");
    }
}
