//! Proves that a model is the trained network before it is written.

use std::path::PathBuf;

use anyhow::bail;
use burn::tensor::Device;
use ort::environment::Environment;
use seg_cli::{Shown, note, warn};
use seg_data::FileSet;
use seg_export::calibration::some_of;
use seg_export::{Export, verify_inputs};
use seg_inference::image_files;
use seg_nets::checkpoint::Checkpoint;
use seg_verify::bounds::ModelPrecision;
use seg_verify::{
    Certificate, CertificatePath, CertifyRequest, ExactEvaluator, FileRecord, InputReport, Reference, certify,
    folder_of, proof_inputs,
};

use crate::args::Args;
use crate::progress::{self, Progress};

/// The most bytes of exact answers to images that are kept until they are asked for again; others
/// are computed twice.
const ANSWERS_BYTES_MAX: usize = 1 << 30;

/// The proof that a model is the trained network, ready to be written beside the model.
pub(crate) struct ModelProof {
    reference: PathBuf,
    reference_bytes: Vec<u8>,
    certificate: Certificate,
    certificate_path: PathBuf,
}

impl ModelProof {
    /// Adds the reference to the files that are written.
    pub(crate) fn add_reference(&self, files: &mut FileSet) -> anyhow::Result<()> {
        Ok(files.add(&self.reference, &self.reference_bytes)?)
    }

    /// Returns the certificate.
    pub(crate) fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Writes the certificate and its page.
    pub(crate) fn write_certificate(&self) -> anyhow::Result<()> {
        Ok(CertificatePath::new(&self.certificate_path, None)?.write(&self.certificate, None)?)
    }

    /// Says what was proven, and where the proof is.
    pub(crate) fn tell(&self) {
        let cases = &self.certificate.proof.inputs;
        let comparable = cases.iter().filter(|case| !case.beyond_float32);
        let worst = comparable.filter_map(InputReport::relative).fold(0.0, f64::max);
        let (count, path) = (cases.len(), self.certificate_path.shown());
        note(&format!("proven      {count} inputs, off by at most {worst:.1e} of the scale: {path}"));
        note(&format!("reference   {}", self.reference.shown()));
    }
}

/// Proves the model.
///
/// # Errors
/// When it is not the trained network, or that cannot be told.
pub(crate) fn prove(
    args: &Args,
    checkpoint: &Checkpoint,
    export: &Export,
    environment: &Environment,
) -> anyhow::Result<ModelProof> {
    let data = images(args)?;
    let net = checkpoint.weights.to_network(&Device::flex())?;
    let mut reference = verify_inputs::reference(export);
    let cases = proof_inputs(&export.model, false, &data)?;
    let progress = Progress::new(&cases);
    let mut evaluator = ExactEvaluator::new(&reference.model.graph)
        .with_image_cache(ANSWERS_BYTES_MAX)
        .with_progress(move |case| progress.tell(case));
    reference.framework_outputs = verify_inputs::trained(&net, &reference, &cases, &mut evaluator)?;

    let reference_path = Reference::beside(args.out());
    let reference_bytes = reference.to_bytes()?;
    let folder = folder_of(args.out());
    let reference_file = FileRecord::new(&reference_path, &reference_bytes, &folder, Some(reference.tool.as_str()));
    let request = CertifyRequest {
        model: args.out(),
        bytes: &export.bytes,
        folder: &folder,
        reference: &reference,
        reference_file: &reference_file,
        certified: None,
        checkpoint: None,
        data: &data,
        thorough: false,
        layers: false,
        bisect: true,
    };
    let certificate = certify(environment, request, &seg_inference::Options::default(), &mut evaluator, see)?;
    // With it goes the line of progress.
    drop(evaluator);
    for unknown in certificate.unknown() {
        warn(&format!("warning: {unknown}"));
    }
    if !certificate.holds {
        for finding in &certificate.proof.findings {
            warn(&format!("file: {finding}"));
        }
        let blame = certificate.diagnosis.map_or_else(String::new, |diagnosis| format!("; to blame is {diagnosis}"));
        let remedy = match (certificate.precision, data.is_empty()) {
            (ModelPrecision::Float16 | ModelPrecision::Int8, true) => {
                "; few bits may fit images and not noise: prove it on images with `--verify DIR`"
            }
            (ModelPrecision::Int8, false) if !certificate.proof.is_undecided() => {
                "; calibrate on more images like these, or let less of the network be int8 with a smaller `--max-dice-loss`"
            }
            _ => "",
        };
        let is = if certificate.proof.is_undecided() { "is not proven to be" } else { "would not be" };
        bail!("`{}` is not written: it {is} the trained network{blame}{remedy}", args.out().shown());
    }
    let certificate_path = Certificate::beside(args.out(), certificate.provider);
    Ok(ModelProof { reference: reference_path, reference_bytes, certificate, certificate_path })
}

/// Lists the images that the model is proven on: those of `--verify`, or else some of those that
/// its precision was chosen on.
fn images(args: &Args) -> anyhow::Result<Vec<PathBuf>> {
    if let Some(Some(folder)) = &args.proof.verify {
        return Ok(vec![folder.clone()]);
    }
    if args.calibrate.is_empty() {
        return Ok(Vec::new());
    }
    // The exact answer to each takes a while.
    Ok(some_of(&image_files(&args.calibrate)?).cloned().collect())
}

/// Says what speaks against a case; those that hold need no words.
fn see(case: &InputReport) {
    if !case.findings.is_empty() {
        progress::clear();
    }
    for finding in &case.findings {
        warn(&format!("{}: {finding}", case.name));
    }
}
