//! A small model with its certificate, as a deployment has them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};
use seg_contract::SizePolicy;
use seg_inference::{Options, Provider};
use seg_onnx::Model;
use seg_tests::runtime::environment;
use seg_verify::{Certificate, CertifyRequest, ExactEvaluator, FileRecord, Reference, certify};

use crate::{framework, threshold};

/// Writes a model with a fault, compares it with the model that has none on fixed inputs and an
/// image, and writes the certificate beside it.
pub(crate) fn certified_model(folder: &Path, fault: impl FnOnce(&mut Model)) -> (PathBuf, Certificate) {
    fs::create_dir_all(folder).unwrap();
    let model = threshold::write(folder, SizePolicy::Native);
    let sound = Model::from_bytes(&fs::read(&model).unwrap()).unwrap();
    let mut faulty = sound.clone();
    fault(&mut faulty);
    let bytes = faulty.to_bytes().unwrap();
    fs::write(&model, &bytes).unwrap();
    let image = folder.join("image.png");
    RgbImage::from_fn(20, 20, |x, y| Rgb([(7 * x + y) as u8, 90, 90])).save(&image).unwrap();
    let mut reference = Reference {
        model: sound.clone(),
        parameters: BTreeMap::new(),
        passes: Vec::new(),
        tool: "a test".into(),
        framework_outputs: BTreeMap::new(),
    };
    framework::record(&mut reference, &sound);
    let reference_path = Reference::beside(&model);
    let reference_bytes = reference.to_bytes().unwrap();
    let request = CertifyRequest {
        folder,
        model: &model,
        bytes: &bytes,
        reference: &reference,
        reference_file: &FileRecord::new(&reference_path, &reference_bytes, folder, None),
        certified: None,
        checkpoint: None,
        data: &[image],
        thorough: false,
        layers: true,
        bisect: true,
    };
    let mut evaluator = ExactEvaluator::new(&reference.model.graph);
    let certificate = certify(environment(), request, &Options::default(), &mut evaluator, |_| {}).unwrap();
    fs::write(Certificate::beside(&model, Provider::Cpu), certificate.to_json()).unwrap();
    (model, certificate)
}
