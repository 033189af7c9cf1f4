//! ONNX files.

use seg_onnx::adopt::{adopt, draft, is_as_adopted};
use seg_onnx::{Model, proto};

/// Reads bytes as an ONNX file and as a model with its contract, and returns whether they are an
/// ONNX file.
///
/// # Panics
/// When a file that was read is written as another one, or one that was adopted has no contract.
pub fn onnx(bytes: &[u8]) -> bool {
    if let Ok(model) = Model::from_bytes(bytes) {
        let written = model.to_bytes().expect("a model that was read can be written");
        let again = Model::from_bytes(&written).expect("a model that was written can be read");
        // Bytes, because a constant may hold values that are not equal to themselves.
        assert_eq!(again.to_bytes().expect("a model that was read can be written"), written);
    }
    // Another program's file gets a contract, or an error says why not.
    if let Some(adopted) = draft(bytes).ok().and_then(|draft| adopt(bytes, draft.contract).ok()) {
        assert!(matches!(is_as_adopted(&adopted), Ok(Some(true))));
        Model::contract_of(&adopted).expect("an adopted model has a contract");
    }
    let Ok(file) = proto::read(bytes) else { return false };
    let written = proto::write(&file.graph, file.opset, &file.metadata).expect("a graph that was read can be written");
    let again = proto::read(&written).expect("a graph that was written can be read");
    assert_eq!((again.opset, &again.metadata), (file.opset, &file.metadata));
    assert_eq!(again.graph.to_string(), file.graph.to_string());
    let rewritten = proto::write(&again.graph, again.opset, &again.metadata);
    assert_eq!(rewritten.expect("a graph that was read can be written"), written);
    true
}
