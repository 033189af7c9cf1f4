//! Certification: from a model and its reference to a certificate.

use std::path::{Path, PathBuf};

use ndarray::Array4;
use ort::environment::Environment;
use seg_data::ReadError;
use seg_inference::{OpenError, Options, Provider, RunError, Session, TensorFile, parse_model};
use seg_onnx::{Model, passes};
use thiserror::Error;

use crate::bounds::{Bound, ModelPrecision};
use crate::certificate::record::{DataRecord, FileRecord};
use crate::certificate::validity::Mismatch;
use crate::certificate::{Certificate, CertificateError, identity};
use crate::diagnosis::Diagnosis;
use crate::diagnosis::bisect::{BisectError, bisect};
use crate::diagnosis::rebuild::{RebuildError, check_graph};
use crate::exact::ExactEvaluator;
use crate::finding::Finding;
use crate::inputs::{self, ProofInput, ProofInputError};
use crate::layers::half_range::HalfRangeCheck;
use crate::layers::intermediate::{IntermediateOutputs, IntermediateValues, comparable};
use crate::layers::{Layer, check_layers, farthest, layers};
use crate::paths::path_from;
use crate::proof::report::InputReport;
use crate::proof::{ModelUnderTest, Proof, ProofError, prove};
use crate::reference::Reference;
use crate::reference::weights::CheckpointError;

/// A request to certify a model.
#[derive(Clone, Copy, Debug)]
pub struct CertifyRequest<'a> {
    /// The folder that will hold the certificate.
    pub folder: &'a Path,
    /// The model's file.
    pub model: &'a Path,
    /// The bytes of the model's file, which need not exist yet.
    pub bytes: &'a [u8],
    /// The reference that the model is compared with.
    pub reference: &'a Reference,
    /// The reference's file.
    pub reference_file: &'a FileRecord,
    /// The certificate that is being proven again, if there is one.
    pub certified: Option<&'a Certificate>,
    /// The checkpoint that the reference's constants must equal, and its file.
    pub checkpoint: Option<(&'a Path, &'a TensorFile)>,
    /// A folder of images, or several folders and files, to be compared as well; may be empty.
    pub data: &'a [PathBuf],
    /// True to compare the long list of fixed inputs.
    pub thorough: bool,
    /// True to record the error of each intermediate value.
    pub layers: bool,
    /// True to search for the cause of a failure.
    pub bisect: bool,
}

/// An error that leaves no verdict on a model.
#[derive(Debug, Error)]
pub enum CertifyError {
    /// The model cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// No bound is fixed for the precision on this provider.
    #[error("there is no bound for {precision} on {provider}, so nothing can be proven of `{model}`")]
    NoBound {
        /// The model's file.
        model: PathBuf,
        /// The model's precision.
        precision: ModelPrecision,
        /// The provider that would run it.
        provider: Provider,
    },
    /// The proof would not be the certified one.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// The images cannot be loaded.
    #[error(transparent)]
    Input(#[from] ProofInputError),
    /// The images' files cannot be read.
    #[error(transparent)]
    Fingerprint(#[from] ReadError),
    /// The outputs cannot be compared.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// The checkpoint cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The model with intermediate outputs cannot be run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The expected graph of the file cannot be computed.
    #[error(transparent)]
    Rebuild(#[from] RebuildError),
    /// The search for the cause failed.
    #[error(transparent)]
    Bisect(#[from] BisectError),
    /// The certificate cannot be made.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// Lists the inputs of a proof: the fixed ones that the model takes, then the images.
///
/// Intermediate values are compared on the first one.
///
/// # Errors
/// When a folder of images holds none.
pub fn proof_inputs(model: &Model, thorough: bool, data: &[PathBuf]) -> Result<Vec<ProofInput>, ProofInputError> {
    let input = &model.contract.input;
    let mut inputs = ProofInput::fixed(thorough, input);
    if !data.is_empty() {
        inputs.extend(ProofInput::images(data, None, input.form)?);
    }
    Ok(inputs)
}

/// Compares a model with its reference and returns the certificate, which also records failures.
/// Calls `see` with the report on each input as soon as it is complete.
///
/// # Errors
/// When the comparison cannot be made. A defect of the model is not an error but a finding in the
/// certificate.
pub fn certify(
    environment: &Environment,
    request: CertifyRequest<'_>,
    options: &Options,
    evaluator: &mut ExactEvaluator,
    see: impl FnMut(&InputReport),
) -> Result<Certificate, CertifyError> {
    let CertifyRequest { model: path, bytes, folder, reference, .. } = request;
    let model = parse_model(path, bytes)?;
    let mut session = Session::start(environment, path, bytes, model.clone(), options)?;
    // A fallback may have chosen others than were asked for.
    let options = &session.options().clone();
    let (provider, precision) = (options.provider, ModelPrecision::from_graph(&model.graph, options.precision));
    if let Some(certified) = request.certified {
        certified.check(options, precision)?;
    }
    let unbounded = || CertifyError::NoBound { model: path.into(), precision, provider };
    let bound = &Bound::find(provider, precision).ok_or_else(unbounded)?;
    let tested = ModelUnderTest { reference, model: &model, bound };
    let inputs = proof_inputs(&model, request.thorough, request.data)?;
    let mut proof = prove(tested, evaluator, &mut session, &inputs, see)?;
    let rebuilt = check_graph(reference, &model, passes::PASSES)?;
    let is_rebuilt = rebuilt.is_some();
    proof.findings.extend(rebuilt.into_iter().flatten());
    // The output alone does not suffice: an error deep inside may nearly vanish before it.
    let inner = InnerRun { environment, path, tested, options };
    let (mut inside, mut most_off) = (Vec::new(), None);
    if let Some(input) = inputs.first() {
        let side;
        (inside, side) = inner.layers(input, evaluator)?;
        proof.findings.extend(check_layers(&inside, bound, side));
        most_off = farthest(&inside, bound, side);
    }
    let half_range = half_range(&model, precision, evaluator, &inputs)?;
    proof.findings.extend(half_range.findings());
    let mut weights = None;
    if let Some((path, checkpoint)) = request.checkpoint {
        proof.findings.extend(reference.check_weights(checkpoint)?);
        weights = Some(FileRecord::new(path, checkpoint.bytes(), folder, None));
    }
    let data = (!request.data.is_empty()).then(|| data_record(request.data, &inputs, folder)).transpose()?;
    let files = [FileRecord::new(path, bytes, folder, None), request.reference_file.clone()];
    let id = identity(path, &model)?;
    let placement = session.runs_on().nodes.clone();
    let mut certificate =
        Certificate::new(id, files, weights, reference, data, request.thorough, bound, placement, proof);
    certificate.element = model.contract.input.form.element;
    certificate.device = options.device();
    certificate.environment.plugin = options.plugin();
    certificate.rebuilt = is_rebuilt;
    certificate.inside = most_off;
    certificate.reach = half_range.largest();
    if request.layers {
        certificate.layers = inside;
    }
    if let (true, Some(input)) = (request.bisect, smallest_failing(&inputs, &certificate.proof)) {
        certificate.diagnosis = Some(inner.diagnose(input, &certificate.proof)?);
    }
    Ok(certificate)
}

/// A run of the model with its intermediate values as outputs.
struct InnerRun<'a> {
    environment: &'a Environment,
    path: &'a Path,
    tested: ModelUnderTest<'a>,
    options: &'a Options,
}

impl InnerRun<'_> {
    /// Returns an input as the model takes it, and the model's intermediate values for it.
    fn values(&self, input: &ProofInput) -> Result<(Array4<f32>, IntermediateValues), CertifyError> {
        let ModelUnderTest { reference, model, .. } = self.tested;
        let tensor = input.load(&model.contract)?.tensor;
        let (n, _, height, width) = tensor.dim();
        let names = comparable(&reference.model.graph, &model.graph, [n, height, width]);
        let mut outputs = IntermediateOutputs::open(self.environment, self.path, model, &names, self.options)?;
        let values = outputs.values(tensor.view())?;
        Ok((tensor, values))
    }

    /// Compares the intermediate values for an input; also returns its longer side.
    fn layers(&self, input: &ProofInput, evaluator: &ExactEvaluator) -> Result<(Vec<Layer>, usize), CertifyError> {
        let ModelUnderTest { reference, model, .. } = self.tested;
        let (tensor, values) = self.values(input)?;
        let framework = reference.framework_outputs.get(&input.name);
        let layers = layers(reference, model, tensor.view(), &values, framework, evaluator.magnitudes())
            .map_err(BisectError::from)?;
        Ok((layers, tensor.shape()[2].max(tensor.shape()[3])))
    }

    /// Searches for the cause of a failure on an input.
    fn diagnose(&self, input: &ProofInput, proof: &Proof) -> Result<Diagnosis, CertifyError> {
        let (tensor, values) = self.values(input)?;
        Ok(bisect(self.tested, passes::PASSES, proof, tensor.view(), &values)?)
    }
}

/// Checks the range of 16-bit floats. Values that only a rewrite made are measured on the first
/// image, or on the first input if there is no image.
fn half_range(
    model: &Model,
    precision: ModelPrecision,
    evaluator: &ExactEvaluator,
    inputs: &[ProofInput],
) -> Result<HalfRangeCheck, CertifyError> {
    let mut check = HalfRangeCheck::new(model, precision, evaluator.magnitudes());
    let input = inputs.iter().find(|input| input.is_image()).or(inputs.first());
    if let (true, Some(input)) = (check.has_unknown(), input) {
        check.measure_unknown(model, input.load(&model.contract)?.tensor.view()).map_err(BisectError::from)?;
    }
    Ok(check)
}

/// Returns the smallest input that fails.
///
/// If only the file fails, it is the first input. If nothing fails, or only because too little was
/// compared, it is `None`.
pub fn smallest_failing<'i>(inputs: &'i [ProofInput], proof: &Proof) -> Option<&'i ProofInput> {
    let failing = inputs.iter().zip(&proof.inputs).filter(|(_, report)| !report.findings.is_empty());
    // Inputs unlike any image come last: they may fail for reasons of their own.
    let smallest = failing.min_by_key(|(input, report)| (!input.is_ordinary(), report.shape.iter().product::<usize>()));
    let first = inputs.first().filter(|_| !proof.findings.iter().all(Finding::is_undecided));
    smallest.map(|(input, _)| input).or(first)
}

fn data_record(data: &[PathBuf], inputs: &[ProofInput], folder: &Path) -> Result<DataRecord, CertifyError> {
    let images = inputs.iter().filter(|input| input.is_image()).count();
    let sha256 = match inputs::dataset(data).map_err(ProofInputError::from)? {
        Some(dataset) => Some(dataset.fingerprint()?),
        None => None,
    };
    let inputs = data.iter().map(|path| path_from(folder, path)).collect();
    Ok(DataRecord { inputs, images, sha256 })
}
