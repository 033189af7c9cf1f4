//! A certificate of which a value was changed is not accepted.

use std::fs;
use std::path::{Path, PathBuf};

use seg_inference::{Options, Provider, digest};
use seg_verify::{Certificate, PrivateKey, ValidityError, generate_key};
use serde_json::{Value, json};

use super::changes::{changed_json, pointers};
use super::check;
use crate::certified::certified_model;

/// The values of which nothing else in a certificate or its model depends: names of files, of
/// software and of the machine, and figures that are reported and not judged. Only a signature
/// protects them.
const FREE: [&str; 22] = [
    "/model/path",
    "/model/tool",
    "/reference/path",
    "/reference/tool",
    "/placement/CPUExecutionProvider",
    "/data/inputs/0",
    "/environment/tool",
    "/environment/system",
    "/environment/processor",
    "/environment/processors",
    "/layers",
    "/figures/elements",
    "/figures/max_ulp",
    "/figures/scale",
    "/magnitude",
    "/operator",
    "/layers/0/times_trained",
    "/layers/1/times_trained",
    "/layers/2/times_trained",
    "/exported/max_ulp",
    "/trained/max_ulp",
    "/mask/could_flip",
];

/// The values that are compared when the same is proven again.
const COMPARED_AGAIN: [&str; 12] = [
    "/model/sha256",
    "/reference/sha256",
    "/rebuilt",
    "/precision",
    "/placement",
    "/environment/onnx_runtime",
    "/environment/system",
    "/relative",
    "/per_pixel",
    "/flipped",
    "/limits",
    "/proof/cases",
];

/// A model with a signed certificate.
pub(super) struct Place {
    _folder: tempfile::TempDir,
    model: PathBuf,
    certificate: PathBuf,
    public_key: PathBuf,
    /// The certificate as it was signed.
    pub(super) document: Value,
}

impl Place {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (model, certificate) = certified_model(folder.path(), |_| {});
        assert!(certificate.holds, "{:?}", certificate.proof.findings);
        let [private, public_key] = generate_key(&folder.path().join("key")).unwrap();
        let document: Value = serde_json::from_str(&certificate.to_json()).unwrap();
        let path = Certificate::beside(&model, Provider::Cpu);
        let signature = PrivateKey::read(&private).unwrap().sign(text_of(&document).as_bytes()).content;
        fs::write(format!("{}.sig", path.display()), signature).unwrap();
        Self { _folder: folder, model, certificate: path, public_key, document }
    }

    /// Asks for the certificate as a deployment does that knows the public key, or does not.
    pub(super) fn require(&self, key: Option<&Path>) -> Result<Certificate, ValidityError> {
        let (_, sha256) = digest(&self.model).unwrap();
        Certificate::require(&self.model, &sha256, &Options::default(), key)
    }

    /// Writes a document in place of the certificate.
    pub(super) fn write(&self, document: &Value) {
        fs::write(&self.certificate, text_of(document)).unwrap();
    }
}

/// Returns the text of a document, whose keys are sorted.
fn text_of(document: &Value) -> String {
    serde_json::to_string_pretty(document).unwrap() + "\n"
}

/// Returns values that may stand where another one does.
fn others(value: &Value) -> Vec<Value> {
    let mut others =
        vec![json!(null), json!(true), json!(false), json!(1), json!(0.5), json!("x"), json!([]), json!({})];
    match value {
        Value::Number(number) => {
            others.extend([json!(number.as_f64().unwrap() * 2.0), json!(u64::MAX), json!(u64::MAX / 3)])
        }
        Value::String(text) => others.extend([json!(format!("{text}x")), json!("cuda"), json!("int8")]),
        Value::Array(values) if values.is_empty() => others.push(json!([{"finding": "nothing"}])),
        Value::Array(values) => others.push(json!(values[1..])),
        _ => {}
    }
    // 1 and 1.0 are one number.
    let is_same = |other: &Value| other == value || other.as_f64().is_some() && other.as_f64() == value.as_f64();
    others.retain(|other| !is_same(other));
    others
}

#[test]
fn a_signed_certificate_is_refused_when_any_value_is_changed() {
    let place = Place::new();
    let key = Some(place.public_key.as_path());
    place.write(&place.document);
    place.require(key).unwrap();
    for pointer in pointers(&place.document) {
        for other in others(place.document.pointer(&pointer).unwrap()) {
            let mut changed = place.document.clone();
            *changed.pointer_mut(&pointer).unwrap() = other.clone();
            place.write(&changed);
            assert!(place.require(key).is_err(), "`{pointer}` was changed to {other}");
        }
    }
    check(300, &changed_json(vec![place.document.clone()]), |changed| {
        place.write(&changed);
        assert!(place.require(key).is_err() || changed == place.document);
    });
}

#[test]
fn a_certificate_without_a_signature_is_refused_when_a_value_is_changed_that_is_compared() {
    let place = Place::new();
    place.write(&place.document);
    place.require(None).unwrap();
    let mut accepted = Vec::new();
    for pointer in pointers(&place.document) {
        for other in others(place.document.pointer(&pointer).unwrap()) {
            let mut changed = place.document.clone();
            *changed.pointer_mut(&pointer).unwrap() = other.clone();
            place.write(&changed);
            if place.require(None).is_ok() {
                accepted.push(pointer.clone());
            }
        }
    }
    accepted.dedup();
    // The name of an image's file.
    let is_name = |pointer: &String| pointer.ends_with("/name");
    accepted.retain(|pointer| !is_name(pointer));
    let is_free = |pointer: &str| FREE.iter().any(|free| pointer.ends_with(free));
    let unexpected: Vec<_> = accepted.iter().filter(|pointer| !is_free(pointer)).collect();
    assert!(unexpected.is_empty(), "changes are accepted of {unexpected:#?}");
    let unused: Vec<_> = FREE.iter().filter(|free| !accepted.iter().any(|pointer| pointer.ends_with(*free))).collect();
    assert!(unused.is_empty(), "no change is accepted of {unused:?}");
}

#[test]
fn a_proof_that_is_made_again_differs_from_a_certificate_of_which_a_figure_is_changed() {
    let place = Place::new();
    place.write(&place.document);
    let (again, _) = Certificate::read(&place.certificate).unwrap();
    let mut noticed = 0;
    for pointer in pointers(&place.document) {
        let is_compared = |prefix: &&str| pointer.starts_with(*prefix);
        if !COMPARED_AGAIN.iter().any(is_compared) {
            continue;
        }
        for other in others(place.document.pointer(&pointer).unwrap()) {
            let mut changed = place.document.clone();
            *changed.pointer_mut(&pointer).unwrap() = other.clone();
            place.write(&changed);
            let Ok((certificate, _)) = Certificate::read(&place.certificate) else { continue };
            if certificate != again {
                assert!(!certificate.differences(&again).is_empty(), "`{pointer}` was changed to {other}");
                noticed += 1;
            }
        }
    }
    assert!(noticed > 100, "{noticed} changes were read");
}
