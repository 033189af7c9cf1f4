//! From two files to a certificate.

use std::path::{Path, PathBuf};

use ort::environment::Environment;
use seg_data::ReadError;
use seg_inference::session::{OpenError, RunError, Session, parse};
use seg_inference::tensors::TensorFile;
use seg_inference::{Options, Provider};
use seg_onnx::{Model, passes};
use thiserror::Error;

use crate::bisect::{BisectError, bisect};
use crate::bounds::{Bound, Precision};
use crate::case::{self, Case, CaseError};
use crate::certificate::{Certificate, CertificateError, identity};
use crate::facts::{DataFacts, FileFacts, path_from};
use crate::finding::Finding;
use crate::layers::{check_layers, farthest, layers};
use crate::overflow::Halves;
use crate::probe::{Probe, comparable};
use crate::proof::{CaseReport, Proof, ProofError, Subject, prove};
use crate::rebuilt::{RebuildError, check_graph};
use crate::reference::{CheckpointError, Reference};
use crate::standing::Mismatch;
use crate::yardstick::Yardstick;

/// What is to be certified, and how.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The folder in which the certificate is to lie.
    pub folder: &'a Path,
    /// The model's file.
    pub model: &'a Path,
    /// Its bytes; the file itself need not exist yet.
    pub bytes: &'a [u8],
    /// What it is held against.
    pub reference: &'a Reference,
    /// The reference's file.
    pub reference_file: &'a FileFacts,
    /// The certificate that is proven again, where one is.
    pub certified: Option<&'a Certificate>,
    /// The checkpoint that the reference's constants must equal, and its file.
    pub checkpoint: Option<(&'a Path, &'a TensorFile)>,
    /// A folder of real images to be run as well, or several folders and files; nothing where there are none.
    pub data: &'a [PathBuf],
    /// Whether to run the long list of fixed inputs.
    pub thorough: bool,
    /// Whether to write down how far each value inside of the model is.
    pub layers: bool,
    /// Whether to look for what is to blame, where something speaks against the model.
    pub bisect: bool,
}

/// Why there is no certificate, neither for the model nor against it.
#[derive(Debug, Error)]
pub enum CertifyError {
    /// The model cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// No bound was ever fixed.
    #[error("there is no bound for {precision} on {provider}, so nothing can be proven of `{model}`")]
    NoBound {
        /// The model.
        model: PathBuf,
        /// Its precision.
        precision: Precision,
        /// What was to compute it.
        provider: Provider,
    },
    /// It would be another proof than the certified one.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// The images cannot be had.
    #[error(transparent)]
    Case(#[from] CaseError),
    /// The images' files cannot be read.
    #[error(transparent)]
    Fingerprint(#[from] ReadError),
    /// There is nothing to compare.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// The checkpoint cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The model that shows its values cannot be run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The graph that the file should hold cannot be had.
    #[error(transparent)]
    Rebuild(#[from] RebuildError),
    /// What is to blame cannot be looked for.
    #[error(transparent)]
    Bisect(#[from] BisectError),
    /// The certificate cannot be made.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// All cases of an order: the fixed ones that the model takes, the first of them that for the values inside, and the images.
///
/// # Errors
/// When a folder of images holds none.
pub fn cases(model: &Model, thorough: bool, data: &[PathBuf]) -> Result<Vec<Case>, CaseError> {
    let input = &model.contract.input;
    let mut cases = Case::fixed(thorough, input);
    if !data.is_empty() {
        cases.extend(Case::images(data, None, input.form)?);
    }
    Ok(cases)
}

/// Compares a model with what it is held against, and writes down what came of it; shows each case as soon as it is known.
///
/// # Errors
/// When the comparison cannot be made. What speaks against the model stands in the certificate.
pub fn certify(
    environment: &Environment,
    order: Order<'_>,
    options: &Options,
    yardstick: &mut Yardstick,
    see: impl FnMut(&CaseReport),
) -> Result<Certificate, CertifyError> {
    let Order { model: path, bytes, folder, reference, .. } = order;
    let model = parse(path, bytes)?;
    let mut session = Session::start(environment, path, bytes, model.clone(), options)?;
    // A fallback may have chosen others than were asked for.
    let options = &session.options().clone();
    let (provider, precision) = (options.provider, Precision::of(&model.graph, options.precision));
    if let Some(certified) = order.certified {
        certified.check(options, precision)?;
    }
    let unbounded = || CertifyError::NoBound { model: path.into(), precision, provider };
    let bound = Bound::find(provider, precision).ok_or_else(unbounded)?;
    let subject = Subject { reference, model: &model, bound };
    let cases = cases(&model, order.thorough, order.data)?;
    let mut proof = prove(subject, yardstick, &mut session, &cases, see)?;
    let rebuilt = check_graph(reference, &model, passes::PASSES)?;
    let is_rebuilt = rebuilt.is_some();
    proof.findings.extend(rebuilt.into_iter().flatten());
    let probe = |case: &Case| -> Result<_, CertifyError> {
        let input = case.load(&model.contract)?.tensor;
        let (n, _, height, width) = input.dim();
        let names = comparable(&reference.model.graph, &model.graph, [n, height, width]);
        let mut probe = Probe::open(environment, path, &model, &names, options)?;
        let values = probe.values(input.view())?;
        Ok((input, values))
    };
    // Inside as well: what a deep value gets wrong may all but vanish on the way to the output.
    let (mut inside, mut most_off) = (Vec::new(), None);
    if let Some(case) = cases.first() {
        let (input, values) = probe(case)?;
        let trained = reference.trained.get(&case.name);
        inside = layers(reference, &model, input.view(), &values, trained, yardstick.magnitudes())
            .map_err(BisectError::from)?;
        let side = input.shape()[2].max(input.shape()[3]);
        proof.findings.extend(check_layers(&inside, bound, side));
        most_off = farthest(&inside, bound, side);
    }
    let mut halves = Halves::of(&model, precision, yardstick.magnitudes());
    if let (true, Some(case)) = (halves.has_unknown(), cases.iter().find(|case| case.is_image()).or(cases.first())) {
        halves.look(&model, case.load(&model.contract)?.tensor.view()).map_err(BisectError::from)?;
    }
    proof.findings.extend(halves.findings());
    let mut weights = None;
    if let Some((path, checkpoint)) = order.checkpoint {
        proof.findings.extend(reference.check_weights(checkpoint)?);
        weights = Some(FileFacts::of(path, checkpoint.bytes(), folder, None));
    }
    let data = (!order.data.is_empty()).then(|| data_facts(order.data, &cases, folder)).transpose()?;
    let files = [FileFacts::of(path, bytes, folder, None), order.reference_file.clone()];
    let id = identity(path, &model)?;
    let placement = session.runs_on().nodes.clone();
    let mut certificate =
        Certificate::new(id, files, weights, reference, data, order.thorough, bound, placement, proof);
    certificate.element = model.contract.input.form.element;
    certificate.device = options.device();
    certificate.rebuilt = is_rebuilt;
    certificate.inside = most_off;
    certificate.reach = halves.largest();
    if order.layers {
        certificate.layers = inside;
    }
    if let (true, Some(case)) = (order.bisect, smallest_failing(&cases, &certificate.proof)) {
        let (input, values) = probe(case)?;
        certificate.diagnosis = Some(bisect(subject, passes::PASSES, &certificate.proof, input.view(), &values)?);
    }
    Ok(certificate)
}

/// The smallest case that speaks against a model; the first case where only its file does; none where nothing does but
/// that too little was asked.
pub fn smallest_failing<'c>(cases: &'c [Case], proof: &Proof) -> Option<&'c Case> {
    let failing = cases.iter().zip(&proof.cases).filter(|(_, report)| !report.findings.is_empty());
    // Inputs far outside of what images have come last: they may fail for reasons of their own.
    let smallest = failing.min_by_key(|(case, report)| (!case.is_ordinary(), report.shape.iter().product::<usize>()));
    let first = cases.first().filter(|_| !proof.findings.iter().all(Finding::is_undecided));
    smallest.map(|(case, _)| case).or(first)
}

fn data_facts(inputs: &[PathBuf], cases: &[Case], folder: &Path) -> Result<DataFacts, CertifyError> {
    let images = cases.iter().filter(|case| case.is_image()).count();
    let sha256 = match case::dataset(inputs).map_err(CaseError::from)? {
        Some(dataset) => Some(dataset.fingerprint()?),
        None => None,
    };
    let inputs = inputs.iter().map(|input| path_from(folder, input)).collect();
    Ok(DataFacts { inputs, images, sha256 })
}
