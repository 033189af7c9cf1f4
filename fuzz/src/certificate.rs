//! Certificates.

use std::fs;

use seg_onnx::Model;
use seg_verify::Certificate;

/// Returns the model that certificates are compared with.
fn model() -> Model {
    Model::from_bytes(include_bytes!("../corpus/onnx/valid-threshold.onnx")).expect("the corpus holds a valid model")
}

/// Reads bytes as a certificate and returns whether they are one.
///
/// # Panics
/// When a certificate that was read is written as another one, or differs from itself.
pub fn certificate(bytes: &[u8]) -> bool {
    let folder = tempfile::tempdir().expect("the system has a folder for temporary files");
    let path = folder.path().join("model.cpu.certificate.json");
    fs::write(&path, bytes).expect("a new folder can be written");
    let Ok((certificate, text)) = Certificate::read(&path) else { return false };
    assert!(text == bytes, "the bytes that were read are not those of the file");
    fs::write(&path, certificate.to_json()).expect("the folder can be written");
    let (again, _) = Certificate::read(&path).expect("a certificate that was written can be read");
    assert!(again == certificate, "written as {}", again.to_json());
    assert!(certificate.differences(&again).is_empty(), "{:?}", certificate.differences(&again));
    // It judges what the certificate says, and must not rely on that.
    let _ = certificate.proof.holds();
    let _ = certificate.contradictions(&model());
    true
}
