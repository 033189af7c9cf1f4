//! `seg-runtime verify`: whether a model is the trained network, and a certificate that says so.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use seg_cli::{Shown, note, print, warn};
use seg_inference::{TensorFile, digest, read_model};
use seg_onnx::adopt::is_as_adopted;
use seg_verify::bounds::ModelPrecision;
use seg_verify::{
    Certificate, CertificatePath, CertifyRequest, ExactEvaluator, FileRecord, InputReport, PrivateKey, Reference,
    certify, folder_of, verify_signature,
};

use crate::args::Verify;
use crate::{adopted, engine};

/// The file in a run's folder that holds the weights.
const RUN_WEIGHTS: &str = "best.safetensors";

pub(crate) fn verify(args: &Verify) -> anyhow::Result<()> {
    match (&args.certificate, &args.model) {
        (Some(certificate), _) => again(args, certificate),
        (None, Some(model)) => first(args, model),
        (None, None) => bail!("neither a model nor a certificate is given"),
    }
}

/// The model, and the reference that it is compared with.
struct Files {
    model: PathBuf,
    reference: PathBuf,
    checkpoint: Option<PathBuf>,
    /// Folders and files of images.
    data: Vec<PathBuf>,
}

/// Verifies a model and leaves its certificate beside it, or where it is asked for.
fn first(args: &Verify, model: &Path) -> anyhow::Result<()> {
    let (reference, checkpoint) = against(model, args.against.as_deref());
    if args.against.is_none() && !reference.exists() {
        let bytes = fs::read(model).with_context(|| format!("cannot read the model `{}`", model.shown()))?;
        if is_as_adopted(&bytes).is_ok_and(|adopted| adopted.is_some()) {
            return adopted::verify(args, model, &bytes);
        }
    }
    let files = Files { model: model.into(), reference, checkpoint, data: args.data.iter().cloned().collect() };
    let key = args.sign.as_deref().map(PrivateKey::read).transpose()?;
    let place = |provider| {
        let path = args.out.clone().unwrap_or_else(|| Certificate::beside(model, provider));
        CertificatePath::new(&path, key.as_ref())
    };
    // Before anything is computed for it.
    if let Some(provider) = args.engine.ep.provider() {
        read_model(model)?;
        place(provider)?;
    }
    let folder = folder_of(args.out.as_deref().unwrap_or(model));
    let certificate = run(args, &files, &folder, args.thorough, args.layers, None)?;
    // Another provider may have been chosen.
    let place = place(certificate.provider)?;
    if place.says_more_than(&certificate) {
        note(&format!("kept         {}, as too little was asked to replace it", place.certificate().shown()));
    } else {
        place.write(&certificate, key.as_ref())?;
        note(&format!("certificate  {}", place.certificate().shown()));
        if key.is_some() {
            note(&format!("signature    {}", place.signature().shown()));
        }
    }
    verdict(model, &certificate)
}

/// Proves again what a certificate says.
fn again(args: &Verify, path: &Path) -> anyhow::Result<()> {
    let (certified, bytes) = Certificate::read(path)?;
    if let Some(key) = &args.public_key {
        let time = verify_signature(path, &bytes, key)?.map_or_else(String::new, |time| format!(", {time}"));
        note(&format!("signed by    {}{time}", key.shown()));
    }
    let folder = folder_of(path);
    let files = Files {
        model: certified.model.locate(&folder),
        reference: certified.reference.locate(&folder),
        checkpoint: certified.weights.as_ref().map(|weights| weights.locate(&folder)),
        data: match &args.data {
            Some(folder) => vec![folder.clone()],
            None => certified.data.iter().flat_map(|data| data.locate(&folder)).collect(),
        },
    };
    let is_pattern = |input: &Path| input.to_string_lossy().contains(['*', '?', '[']);
    if let Some(absent) = files.data.iter().find(|input| args.data.is_none() && !input.exists() && !is_pattern(input)) {
        bail!(
            "the certificate `{}` is of images in `{}`, which is not there; name the folder of its images with `--data DIR`",
            path.shown(),
            absent.shown()
        );
    }
    let another = || format!("cannot prove again what the certificate `{}` says", path.shown());
    let model = read_model(&files.model)?;
    // Before a library is fetched for it; a fallback may yet choose another one.
    if let Some(provider) = args.engine.ep.provider().filter(|_| !args.engine.tuning.allow_fallback) {
        let precision = ModelPrecision::from_graph(&model.graph, args.engine.precision);
        certified.check(&engine::options(&args.engine, provider)?, precision).with_context(another)?;
    }
    // A model that has changed is named as such by the new proof.
    let is_same = digest(&files.model).is_ok_and(|(_, sha256)| sha256 == certified.model.sha256);
    if certified.holds && is_same {
        certified.check_soundness(path, &model)?;
    }
    let now = run(args, &files, &folder, certified.thorough, !certified.layers.is_empty(), Some(&certified));
    let now = now.with_context(another)?;
    let differences = certified.differences(&now);
    for difference in &differences {
        warn(&format!("another      {difference}"));
    }
    verdict(&files.model, &now)?;
    if !certified.holds {
        bail!("the certificate `{}` says that the model failed; verify the model itself", path.shown());
    }
    let same = now.id == certified.id && now.model.sha256 == certified.model.sha256;
    if !same {
        bail!("the certificate `{}` is for another model", path.shown());
    }
    if let [first, others @ ..] = &certified.left_out(&now)[..] {
        let more = if others.is_empty() { String::new() } else { format!(" and {} more", others.len()) };
        bail!(
            "the certificate `{}` is for other inputs, {first}{more}; name the folder of its images with `--data DIR`",
            path.shown()
        );
    }
    let how = if differences.is_empty() { "to the last figure" } else { "with the differences above" };
    print(&format!("the certificate holds on this machine, {how}\n"))
}

/// Returns the reference and the checkpoint that `--against` names: a run's folder or weights, a
/// reference, or nothing.
fn against(model: &Path, against: Option<&Path>) -> (PathBuf, Option<PathBuf>) {
    let beside = || Reference::beside(model);
    match against {
        None => (beside(), None),
        Some(run) if run.is_dir() => (beside(), Some(run.join(RUN_WEIGHTS))),
        Some(weights) if weights.extension().is_some_and(|extension| extension == "safetensors") => {
            (beside(), Some(weights.into()))
        }
        Some(reference) => (reference.into(), None),
    }
}

fn run(
    args: &Verify,
    files: &Files,
    folder: &Path,
    thorough: bool,
    layers: bool,
    certified: Option<&Certificate>,
) -> anyhow::Result<Certificate> {
    let Files { model, reference: reference_path, checkpoint, data } = files;
    // Before a library is fetched for it.
    read_model(model)?;
    let bytes = fs::read(model).with_context(|| format!("cannot read the model `{}`", model.shown()))?;
    let reference_bytes = fs::read(reference_path).with_context(|| {
        format!("cannot read the reference `{}`; `seg export` writes it beside the model", reference_path.shown())
    })?;
    let reference = Reference::from_bytes(reference_path, &reference_bytes)?;
    let reference_file = FileRecord::new(reference_path, &reference_bytes, folder, Some(reference.tool.as_str()));
    let tensors = checkpoint.as_deref().map(TensorFile::open).transpose()?;
    let (environment, options) = engine::start(&args.engine, &[model])?;
    let mut evaluator = ExactEvaluator::new(&reference.model.graph);
    let request = CertifyRequest {
        folder,
        model,
        bytes: &bytes,
        reference: &reference,
        reference_file: &reference_file,
        certified,
        checkpoint: checkpoint.as_deref().zip(tensors.as_ref()),
        data,
        thorough,
        layers,
        bisect: args.bisect,
    };
    Ok(certify(&environment, request, &options, &mut evaluator, |case| note(&line(case)))?)
}

/// Formats the report on an input as a line.
fn line(case: &InputReport) -> String {
    let mut line = format!("{:24} {} of {} pixels flipped", case.name, case.mask.flipped, case.mask.pixels);
    if case.beyond_float32 {
        line += ", beyond float32";
    } else if let Some(relative) = case.relative() {
        line += &format!(", off by {relative:.1e} of the scale");
    }
    if let Some(amplification) = case.amplification {
        line += &format!(", which the network's {amplification:.1}-fold amplification of rounding enlarges");
    }
    if let Some(times) = case.times_trained {
        line += &format!(", {times:.2} times the training framework");
    }
    for finding in &case.findings {
        line += &format!("\n    {finding}");
    }
    line
}

fn verdict(model: &Path, certificate: &Certificate) -> anyhow::Result<()> {
    for finding in &certificate.proof.findings {
        warn(&format!("    {finding}"));
    }
    for unknown in certificate.unknown() {
        warn(&format!("    {unknown}"));
    }
    if let Some(diagnosis) = &certificate.diagnosis {
        warn(&format!("to blame     {diagnosis}"));
    }
    if !certificate.layers.is_empty() {
        note("value                                         operator          of scale  median ULP  largest magnitude");
        for layer in &certificate.layers {
            note(&format!(
                "{:45} {:16} {:9.1e}  {:10.2}  {:17.1e}",
                layer.value,
                layer.operator,
                layer.errors.relative(),
                layer.errors.median_ulp,
                layer.magnitude
            ));
        }
    }
    let findings = seg_report::count(certificate.proof.findings().count(), "finding");
    let (model, Certificate { provider, precision, .. }) = (model.shown(), certificate);
    if certificate.proof.is_undecided() {
        bail!("`{model}` is not proven on {provider} in {precision}: too little was asked of it");
    }
    if !certificate.holds {
        bail!("`{model}` is not the trained network on {provider} in {precision}: {findings}");
    }
    print(&format!("`{model}` is the trained network on {provider} in {precision}\n"))
}
