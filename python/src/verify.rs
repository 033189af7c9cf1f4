//! `verify`: the proof that a model is the trained network.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use pyo3::prelude::*;
use seg_inference::{Options, read_model};
use seg_verify::{CertifyRequest, ExactEvaluator, FileRecord, Reference, certify, folder_of};

use crate::error::any_error;
use crate::{json, library, options};

/// Proves a model and returns its certificate.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "Python names them")]
pub(crate) fn _verify(
    py: Python<'_>,
    model: PathBuf,
    reference: Option<PathBuf>,
    data: Option<PathBuf>,
    thorough: bool,
    provider: &str,
    precision: &str,
    threads: Option<usize>,
    library: Option<PathBuf>,
) -> PyResult<Py<PyAny>> {
    let engine = Options {
        provider: options::provider(provider)?,
        precision: options::precision(precision)?,
        threads: threads.map(|threads| options::count("threads", threads)).transpose()?,
        ..Options::default()
    };
    let installed = library::installed(py)?;
    let certificate = py.detach(|| {
        // Before a library is fetched for it.
        read_model(&model)?;
        let environment = library::start(engine.provider, library, installed)?;
        let reference = reference.unwrap_or_else(|| Reference::beside(&model));
        prove(&environment, &model, &reference, data.as_deref(), thorough, &engine)
    });
    json::to_python(py, &certificate.map_err(|error| any_error(&error))?)
}

fn prove(
    environment: &ort::environment::Environment,
    model: &Path,
    reference_path: &Path,
    data: Option<&Path>,
    thorough: bool,
    engine: &Options,
) -> anyhow::Result<String> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("cannot read `{}`", path.display()));
    let (bytes, reference_bytes) = (read(model)?, read(reference_path)?);
    let reference = Reference::from_bytes(reference_path, &reference_bytes)?;
    let folder = folder_of(model);
    let reference_file = FileRecord::new(reference_path, &reference_bytes, &folder, Some(reference.tool.as_str()));
    let mut evaluator = ExactEvaluator::new(&reference.model.graph);
    let data: Vec<_> = data.map(Path::to_owned).into_iter().collect();
    let request = CertifyRequest {
        folder: &folder,
        model,
        bytes: &bytes,
        reference: &reference,
        reference_file: &reference_file,
        certified: None,
        checkpoint: None,
        data: &data,
        thorough,
        layers: false,
        bisect: false,
    };
    Ok(certify(environment, request, engine, &mut evaluator, |_| ())?.to_json())
}
