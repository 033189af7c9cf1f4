//! What was proven, of which files, by what and on what: for others to read and to check again.

use std::{
    collections::BTreeMap,
    env, fs, io,
    path::{Path, PathBuf},
    thread,
};

use seg_onnx::{CERTIFICATE_KEY, Model, ModelError, proto};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::{
    bisect::Diagnosis,
    bounds::{Bound, Precision, TRAINED},
    layers::Layer,
    proof::{CaseReport, Proof},
    reference::Reference,
    signature::{SignatureError, verify_signature},
};
use crate::provider::{Options, Provider};

/// The version of a certificate's own layout; a reader refuses every other one.
pub const CERTIFICATE_FORMAT: u32 = 1;

/// The result of a proof. Equal proofs give equal certificates: it holds no date and no duration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// [`CERTIFICATE_FORMAT`] of the writer.
    pub format: u32,
    /// The verdict: nothing speaks against the model.
    pub holds: bool,
    /// What the model's metadata names: the hash of its graph and its contract.
    pub id: String,
    /// The model's file.
    pub model: FileFacts,
    /// The reference's file.
    pub reference: FileFacts,
    /// The checkpoint whose tensors the reference's constants equal bit for bit, where one was given.
    pub weights: Option<FileFacts>,
    /// The hash of the weights' names, shapes and values.
    pub weights_sha256: String,
    /// The passes that made the model's graph of the reference's.
    pub passes: Vec<String>,
    /// Whether the model's graph was compared exactly with what these passes make of the reference's: not where it
    /// has fewer bits, nor where another version exported it.
    pub rebuilt: bool,
    /// The images, where there were any beside the fixed inputs.
    pub data: Option<DataFacts>,
    /// Whether the long list of fixed inputs was run.
    pub thorough: bool,
    /// What computes the model.
    pub provider: Provider,
    /// In which precision.
    pub precision: Precision,
    /// The number of nodes that each provider of ONNX Runtime computes.
    pub placement: BTreeMap<String, usize>,
    /// What proved it, and on what.
    pub environment: EnvironmentFacts,
    /// The largest error that passes, relative to their scale.
    pub relative: f64,
    /// How much more passes for each pixel of the longer side.
    pub per_pixel: f64,
    /// How many times the training framework's error passes.
    pub times_trained: Option<f64>,
    /// The largest error of the training framework that passes, relative to the scale.
    pub trained_relative: f64,
    /// Why these bounds.
    pub reason: String,
    /// What was found.
    pub proof: Proof,
    /// What was found inside of the model, where that was asked for.
    pub layers: Vec<Layer>,
    /// What is to blame, where that was asked for.
    pub diagnosis: Option<Diagnosis>,
}

/// A file that takes part in a proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileFacts {
    /// Its path: the name alone where it lies beside the certificate.
    pub path: String,
    /// The SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
    /// What wrote it, where it says so.
    pub tool: Option<String>,
}

/// The images of a proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataFacts {
    /// The folder, or the folders and files where there were several.
    pub inputs: Vec<String>,
    /// How many images.
    pub images: usize,
    /// The data set's fingerprint, or nothing where the folder is none.
    pub sha256: Option<String>,
}

/// What proved a model, and on what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentFacts {
    /// This program's version.
    pub tool: String,
    /// The SHA-256 of this program's file.
    pub tool_sha256: String,
    /// The build of ONNX Runtime.
    pub onnx_runtime: String,
    /// The system and the kind of processor.
    pub system: String,
    /// How many threads the processor runs at once.
    pub processors: usize,
}

/// Why a certificate cannot be read or made.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// The file cannot be read.
    #[error("cannot read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no certificate.
    #[error("`{path}` is not a certificate that this version writes")]
    Json {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The file was written by a version with another layout.
    #[error(
        "the certificate `{path}` has format {found}, this version reads {CERTIFICATE_FORMAT}; verify the model again"
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// The model has no identity.
    #[error("cannot tell which model `{path}` is")]
    Model {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<ModelError>,
    },
}

/// Why a model is not covered by a certificate.
#[derive(Debug, Error)]
pub enum Refusal {
    /// There is none.
    #[error(
        "`{model}` has no certificate for `--ep {provider}`; make one with `seg-runtime verify --ep {provider} {model}`"
    )]
    Missing {
        /// The model.
        model: PathBuf,
        /// The provider by its flag.
        provider: &'static str,
        /// Why its certificate cannot be used.
        source: Box<CertificateError>,
    },
    /// It speaks against the model.
    #[error("the certificate `{path}` says that the model does not hold")]
    Against {
        /// The certificate.
        path: PathBuf,
    },
    /// It is for something else.
    #[error("the certificate `{path}` is stale: {what} is {found}, certified was {certified}; verify the model again")]
    Stale {
        /// The certificate.
        path: PathBuf,
        /// What is another one.
        what: &'static str,
        /// What there is.
        found: String,
        /// What the certificate names.
        certified: String,
    },
    /// The model cannot be told.
    #[error(transparent)]
    Model(#[from] CertificateError),
    /// It is not signed by the key.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

/// Why a proof would not be the one that a certificate is of.
#[derive(Debug, Error)]
pub enum Mismatch {
    /// Another provider would compute the model.
    #[error("certified was {certified}, and {found} would compute the model; choose `--ep {}`", certified.flag())]
    Provider {
        /// The certified one.
        certified: Provider,
        /// The other one.
        found: Provider,
    },
    /// It would be computed in another precision.
    #[error(
        "certified was {certified}, and the model would be computed in {found}; choose the `--precision` that was \
         certified, or verify the model itself"
    )]
    Precision {
        /// The certified one.
        certified: Precision,
        /// The other one.
        found: Precision,
    },
}

impl EnvironmentFacts {
    /// This program, on this machine, with the ONNX Runtime that is loaded.
    pub fn now() -> Self {
        let own = env::current_exe().and_then(fs::read);
        Self {
            tool: format!("{} {}", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")),
            tool_sha256: own.map_or_else(|_| "unknown".into(), |bytes| sha256(&bytes)),
            onnx_runtime: onnx_runtime(),
            system: format!("{} {}", env::consts::OS, env::consts::ARCH),
            processors: thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

/// The loaded build of ONNX Runtime: its branch and its commit.
fn onnx_runtime() -> String {
    let info = ort::info();
    info.split(", ").take_while(|part| !part.starts_with("cmake")).collect::<Vec<_>>().join(", ")
}

impl FileFacts {
    /// A file whose bytes are given, called by its name alone where it lies in `folder`.
    pub fn of(path: &Path, bytes: &[u8], folder: &Path, tool: Option<&str>) -> Self {
        let same = |other: &Path| match (fs::canonicalize(other), fs::canonicalize(folder)) {
            (Ok(other), Ok(folder)) => other == folder,
            _ => other == folder,
        };
        let parent = folder_of(path);
        let name = path.file_name().filter(|_| same(&parent)).map_or(path.as_os_str(), |name| name);
        Self { path: name.to_string_lossy().into_owned(), sha256: sha256(bytes), tool: tool.map(str::to_owned) }
    }

    /// The file of a certificate that lies in `folder`.
    pub fn locate(&self, folder: &Path) -> PathBuf {
        let beside = folder.join(&self.path);
        if beside.exists() { beside } else { PathBuf::from(&self.path) }
    }
}

/// The folder that a file lies in.
pub fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

impl Certificate {
    /// The certificate of a proof.
    #[expect(clippy::too_many_arguments, reason = "these are what a certificate is about")]
    pub fn new(
        id: String,
        [model, reference]: [FileFacts; 2],
        weights: Option<FileFacts>,
        of: &Reference,
        data: Option<DataFacts>,
        thorough: bool,
        bound: &Bound,
        placement: BTreeMap<String, usize>,
        proof: Proof,
    ) -> Self {
        Self {
            format: CERTIFICATE_FORMAT,
            holds: proof.holds(),
            id,
            model,
            reference,
            weights,
            weights_sha256: of.model.contract.provenance.weights_sha256.clone(),
            passes: of.passes.clone(),
            rebuilt: false,
            data,
            thorough,
            provider: bound.provider,
            precision: bound.precision,
            placement,
            environment: EnvironmentFacts::now(),
            relative: bound.relative,
            per_pixel: bound.per_pixel,
            times_trained: bound.times_trained,
            trained_relative: TRAINED,
            reason: bound.reason.into(),
            proof,
            layers: Vec::new(),
            diagnosis: None,
        }
    }

    /// The file beside a model in which its certificate for a provider is kept: `amsunet.cpu.certificate.json` of `amsunet.onnx`.
    pub fn beside(model: &Path, provider: Provider) -> PathBuf {
        model.with_extension(format!("{}.certificate.json", provider.flag()))
    }

    /// The certificate as JSON; equal certificates give equal text.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a certificate has only string keys") + "\n"
    }

    /// Reads a certificate, and the bytes of its file.
    ///
    /// # Errors
    /// When the file is none.
    pub fn read(path: &Path) -> Result<(Self, Vec<u8>), CertificateError> {
        /// Read first, so that another layout is named as such.
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let bytes = fs::read(path).map_err(|source| CertificateError::Read { path: path.into(), source })?;
        let refused = |source| CertificateError::Json { path: path.into(), source };
        let Format { format } = serde_json::from_slice(&bytes).map_err(refused)?;
        if format != CERTIFICATE_FORMAT {
            return Err(CertificateError::Format { path: path.into(), found: format });
        }
        Ok((serde_json::from_slice(&bytes).map_err(refused)?, bytes))
    }

    /// The certificate that covers a model's file as it is, run as the options say, in the ONNX Runtime that is loaded; signed with the private key of
    /// `public_key`, where one is given.
    ///
    /// # Errors
    /// When there is none, or it is for another file, provider or ONNX Runtime.
    pub fn require(model: &Path, options: &Options, public_key: Option<&Path>) -> Result<Self, Refusal> {
        let provider = options.provider;
        let path = Self::beside(model, provider);
        let missing =
            |source| Refusal::Missing { model: model.into(), provider: provider.flag(), source: Box::new(source) };
        let (certificate, text) = Self::read(&path).map_err(missing)?;
        if let Some(key) = public_key {
            verify_signature(&path, &text, key)?;
        }
        let bytes = fs::read(model).map_err(|source| CertificateError::Read { path: model.into(), source })?;
        let unreadable = |source| CertificateError::Model { path: model.into(), source: Box::new(source) };
        let metadata = proto::read_metadata(&bytes).map_err(|error| unreadable(error.into()))?;
        let graph = Model::from_bytes(&bytes).map_err(unreadable)?.graph;
        let precision = Precision::of(&graph, options.precision).to_string();
        let named = metadata.into_iter().find(|(key, _)| key == CERTIFICATE_KEY).map(|(_, id)| id);
        for (what, found, certified) in [
            ("the model's file", sha256(&bytes), &certificate.model.sha256),
            ("the certificate that the model names", named.unwrap_or_default(), &certificate.id),
            ("the provider", provider.flag().to_owned(), &certificate.provider.flag().to_owned()),
            ("the precision", precision, &certificate.precision.to_string()),
            ("ONNX Runtime", onnx_runtime(), &certificate.environment.onnx_runtime),
        ] {
            if found != *certified {
                return Err(Refusal::Stale { path, what, found, certified: certified.clone() });
            }
        }
        if certificate.holds { Ok(certificate) } else { Err(Refusal::Against { path }) }
    }

    /// Makes sure that a proof by this provider in this precision is the certified one.
    ///
    /// # Errors
    /// When it would be another one.
    pub fn check(&self, provider: Provider, precision: Precision) -> Result<(), Mismatch> {
        if provider != self.provider {
            return Err(Mismatch::Provider { certified: self.provider, found: provider });
        }
        if precision != self.precision {
            return Err(Mismatch::Precision { certified: self.precision, found: precision });
        }
        Ok(())
    }

    /// The certified inputs that a proof did not ask again, by name: those that it lacks, and those that are other
    /// numbers now.
    pub fn left_out(&self, again: &Self) -> Vec<&str> {
        let asked = |case: &CaseReport| {
            let is_same = |now: &CaseReport| (&now.name, &now.input_sha256) == (&case.name, &case.input_sha256);
            again.proof.cases.iter().any(is_same)
        };
        self.proof.cases.iter().filter(|case| !asked(case)).map(|case| case.name.as_str()).collect()
    }

    /// What is another one when the same is proven again.
    pub fn differences(&self, again: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        let mut compare = |what: &str, before: &str, now: &str| {
            if before != now {
                differences.push(format!("{what}: {now}, certified was {before}"));
            }
        };
        compare("the model's file", &self.model.sha256, &again.model.sha256);
        compare("the reference's file", &self.reference.sha256, &again.reference.sha256);
        let data =
            |certificate: &Self| certificate.data.as_ref().and_then(|data| data.sha256.clone()).unwrap_or_default();
        compare("the images", &data(self), &data(again));
        compare("ONNX Runtime", &self.environment.onnx_runtime, &again.environment.onnx_runtime);
        compare("the system", &self.environment.system, &again.environment.system);
        compare("this program", &self.environment.tool_sha256, &again.environment.tool_sha256);
        compare("the precision", &self.precision.to_string(), &again.precision.to_string());
        let rebuilt = |certificate: &Self| {
            if certificate.rebuilt { "compared with what the passes make" } else { "not compared" }
        };
        compare("the graph", rebuilt(self), rebuilt(again));
        let bounds = |certificate: &Self| {
            let Self { relative, per_pixel, times_trained, trained_relative, .. } = certificate;
            let times = times_trained.map_or("any number of".to_owned(), |times| times.to_string());
            format!(
                "{relative:e} of the scale and {per_pixel:e} for each pixel, {times} times training's \
                 {trained_relative:e}"
            )
        };
        compare("the bounds", &bounds(self), &bounds(again));
        let placement = |certificate: &Self| {
            let nodes = certificate.placement.iter().map(|(provider, nodes)| format!("{nodes} on {provider}"));
            nodes.collect::<Vec<_>>().join(", ")
        };
        compare("the nodes", &placement(self), &placement(again));
        let named = |certificate: &Self| -> BTreeMap<String, CaseReport> {
            certificate.proof.cases.iter().map(|case| (case.name.clone(), case.clone())).collect()
        };
        let (certified, mut proven) = (named(self), named(again));
        for (name, before) in &certified {
            let Some(now) = proven.remove(name) else {
                differences.push(format!("the input {name}: not asked, but certified"));
                continue;
            };
            if before.input_sha256 != now.input_sha256 {
                differences.push(format!("the input {name}: other numbers than were certified"));
            } else if *before != now {
                let error =
                    |case: &CaseReport| format!("off by {:.2e} of the scale", case.relative().unwrap_or_default());
                differences.push(format!("the figures of {name}: {}, certified was {}", error(&now), error(before)));
            }
        }
        differences.extend(proven.into_keys().map(|name| format!("the input {name}: asked, but not certified")));
        differences
    }
}

/// What a model's file names its certificate by.
///
/// # Errors
/// When the graph cannot be written.
pub(super) fn identity(path: &Path, model: &Model) -> Result<String, CertificateError> {
    model.id().map_err(|source| CertificateError::Model { path: path.into(), source: Box::new(source) })
}

/// The SHA-256 of bytes, in hexadecimal.
fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
