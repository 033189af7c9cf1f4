//! A model that is served: its lanes, its contract, and what its certificate says.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Instant;

use ort::environment::Environment;
use seg_contract::Contract;
use seg_inference::{ModelFile, OpenError, Options as EngineOptions, RunsOn, SegmentSteps, Segmenter, Settings};
use seg_inference::{SettingsError, SharedThreads, read_contract};
use seg_verify::{Certificate, ValidityError};
use serde::Serialize;
use thiserror::Error;
use tracing::{info, warn};
#[cfg(test)]
use utoipa::ToSchema;

use crate::error::chain;
use crate::lanes::{Batching, Budget, Lanes};
use crate::metrics::Metrics;
use crate::options::Certified;

/// The reason for which a model cannot be served.
#[derive(Debug, Error)]
pub enum ServedModelError {
    /// The file cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The model cannot do what the settings ask for.
    #[error("cannot serve `{path}` with these settings")]
    Settings {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: SettingsError,
    },
    /// The model has no valid certificate.
    #[error(transparent)]
    Certificate(#[from] ValidityError),
    /// The file is being written.
    #[error("the model file `{path}` has changed while it was opened; it is opened again when it is whole")]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A thread cannot be started.
    #[error("cannot start the threads of the model `{path}`")]
    Thread {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

/// The verdict of a certificate on a model.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
#[serde(rename_all = "lowercase", tag = "verdict")]
pub(crate) enum Verdict {
    /// The certificate holds for this file, provider and ONNX Runtime.
    Holds {
        /// The number of criteria and images behind it, in a sentence.
        detail: String,
        /// True if it is signed with the key that the server was given.
        signed: bool,
    },
    /// There is a certificate, and it does not hold here.
    Fails {
        /// The reason.
        detail: String,
    },
    /// There is none.
    None {
        /// The way to make one.
        detail: String,
    },
    /// It is being checked.
    Checking,
}

/// The means by which models are opened, the same for all.
pub(crate) struct Opener {
    pub(crate) environment: Environment,
    pub(crate) engine: EngineOptions,
    pub(crate) settings: Settings,
    pub(crate) lanes: Vec<NonZeroUsize>,
    pub(crate) batching: Batching,
    pub(crate) certified: Option<Certified>,
    pub(crate) networks: Budget,
    pub(crate) metrics: Arc<Metrics>,
}

/// A model that is served.
pub(crate) struct Model {
    pub(crate) name: String,
    pub(crate) version: u64,
    pub(crate) file: ModelFile,
    pub(crate) runs_on: RunsOn,
    pub(crate) steps: SegmentSteps,
    pub(crate) lanes: Lanes,
    verdict: Arc<OnceLock<Verdict>>,
}

impl Model {
    /// Returns what the model expects and means.
    pub(crate) fn contract(&self) -> &Contract {
        &self.steps.contract
    }

    /// Returns what the model's certificate says.
    pub(crate) fn verdict(&self) -> Verdict {
        self.verdict.get().cloned().unwrap_or(Verdict::Checking)
    }
}

impl Opener {
    /// Opens a model on all lanes and checks its certificate if one is required.
    ///
    /// # Errors
    /// When the model cannot be opened, or has no certificate.
    pub(crate) fn open(&self, name: &str, version: u64, path: &Path) -> Result<Model, ServedModelError> {
        let start = Instant::now();
        // Before a session is made for it, and with the better message.
        let contract = read_contract(path)?;
        let refused = |source| ServedModelError::Settings { path: path.into(), source };
        self.settings.check(&contract, 1).map_err(refused)?;
        let options = self.engine.clone().for_settings(&self.settings);
        let shared_threads = Some(SharedThreads::of_lanes(&self.lanes));
        let open = |threads: NonZeroUsize| -> Result<Segmenter, ServedModelError> {
            let shared_threads = shared_threads.clone();
            let options = EngineOptions { threads: Some(threads), shared_threads, ..options.clone() };
            Segmenter::open(&self.environment, path, &options)?.with(self.settings.clone()).map_err(refused)
        };
        let segmenters = thread::scope(|scope| {
            let others: Vec<_> = self.lanes[1..].iter().map(|threads| scope.spawn(|| open(*threads))).collect();
            let first = open(self.lanes[0]);
            let others = others.into_iter().map(|other| other.join().expect("opening a model does not panic"));
            std::iter::once(first).chain(others.collect::<Vec<_>>()).collect::<Result<Vec<_>, _>>()
        })?;
        let files = segmenters[0].files();
        if segmenters.iter().any(|segmenter| segmenter.files() != files) {
            return Err(ServedModelError::Changed { path: path.into() });
        }
        let file = files.into_iter().next().ok_or_else(|| ServedModelError::Changed { path: path.into() })?;
        let session = &segmenters[0].as_ref()[0];
        session.notes().iter().for_each(|note| warn!(model = name, "{note}"));
        let (opened, options) = (file.sha256.clone(), session.options().clone());
        let (runs_on, steps) = (segmenters[0].runs_on(), segmenters[0].steps().clone());
        let verdict = Arc::new(OnceLock::new());
        match &self.certified {
            Some(Certified { public_key }) => {
                let certificate = Certificate::require(path, &opened, &options, public_key.as_deref())?;
                let _ = verdict.set(holds(&certificate, public_key.is_some()));
            }
            None => {
                // Nothing depends on it, so nothing waits for it.
                let (verdict, path) = (Arc::clone(&verdict), path.to_owned());
                thread::spawn(move || {
                    let found = Certificate::require(&path, &opened, &options, None);
                    let _ = verdict.set(match found {
                        Ok(certificate) => holds(&certificate, false),
                        Err(error @ ValidityError::Missing { .. }) => {
                            Verdict::None { detail: without_folder(&error, &path) }
                        }
                        Err(error) => Verdict::Fails { detail: without_folder(&error, &path) },
                    });
                });
            }
        }
        let lanes = Lanes::start(name, segmenters, self.batching, &self.networks, &self.metrics)
            .map_err(|source| ServedModelError::Thread { path: path.into(), source })?;
        info!(
            model = name,
            version,
            sha256 = %file.sha256,
            provider = %runs_on.provider,
            lanes = self.lanes.len(),
            took_ms = start.elapsed().as_millis() as u64,
            "the model is open"
        );
        Ok(Model { name: name.into(), version, file, runs_on, steps, lanes, verdict })
    }
}

/// Describes a certificate that holds.
fn holds(certificate: &Certificate, signed: bool) -> Verdict {
    let inputs = certificate.proof.inputs.len();
    let detail = format!(
        "proven on {inputs} inputs: this file computes the trained network with {}, {}",
        certificate.provider, certificate.precision
    );
    Verdict::Holds { detail, signed }
}

/// Writes an error without the folder of the model, which clients need not know.
fn without_folder(error: &ValidityError, model: &Path) -> String {
    let text = chain(error);
    let folder = model.parent().map(|folder| folder.display().to_string()).unwrap_or_default();
    if folder.is_empty() { text } else { text.replace(&format!("{folder}/"), "") }
}
