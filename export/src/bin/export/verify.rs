//! Exports a model together with the proof that it is the trained network.

use std::path::PathBuf;

use anyhow::bail;
use burn::tensor::Device;
use ort::environment::Environment;
use seg_cli::{Shown, note, warn};
use seg_data::write_bytes;
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

/// Writes the model, its reference and its certificate, or nothing where the model is not the
/// trained network.
pub(crate) fn export(
    args: &Args,
    checkpoint: &Checkpoint,
    export: &Export,
    environment: &Environment,
) -> anyhow::Result<()> {
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
    write_bytes(args.out(), &export.bytes)?;
    write_bytes(&reference_path, &reference_bytes)?;
    let path = Certificate::beside(args.out(), certificate.provider);
    CertificatePath::new(&path, None)?.write(&certificate, None)?;
    let cases = &certificate.proof.inputs;
    let comparable = cases.iter().filter(|case| !case.beyond_float32);
    let worst = comparable.filter_map(InputReport::relative).fold(0.0, f64::max);
    let count = cases.len();
    note(&format!("proven      {count} inputs, off by at most {worst:.1e} of the scale: {}", path.shown()));
    note(&format!("reference   {}", reference_path.shown()));
    Ok(())
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
