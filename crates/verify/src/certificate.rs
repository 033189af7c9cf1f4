//! What was proven, of which files, by what and on what: for others to read and to check again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use seg_contract::Element;
use seg_inference::provider::Provider;
use seg_onnx::{Model, ModelError};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::bisect::Diagnosis;
use crate::bounds::{ANY_ANSWER, Bound, Limits, PER_PIXEL, Precision, TRAINED};
use crate::facts::{self, DataFacts, EnvironmentFacts, FileFacts};
use crate::layers::{Extreme, Layer};
use crate::proof::Proof;
use crate::reference::Reference;

/// The version of a certificate's own layout; a reader refuses every other one.
pub const CERTIFICATE_FORMAT: u32 = 2;

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
    /// What the model takes: where that is bytes, every answer is that to images which were rounded to bytes.
    #[serde(default)]
    pub element: Element,
    /// The images, where there were any beside the fixed inputs.
    pub data: Option<DataFacts>,
    /// Whether the long list of fixed inputs was run.
    pub thorough: bool,
    /// What computes the model.
    pub provider: Provider,
    /// What of it computes, where that can be chosen: OpenVINO's device, and CUDA's kernels as one graph.
    #[serde(default)]
    pub device: Option<String>,
    /// In which precision.
    pub precision: Precision,
    /// The number of nodes that each provider of ONNX Runtime computes.
    pub placement: BTreeMap<String, usize>,
    /// What proved it, and on what.
    pub environment: EnvironmentFacts,
    /// The largest error that passes, relative to their scale.
    pub relative: f64,
    /// How much more passes for each pixel of the longer side, of the training framework as well.
    pub per_pixel: f64,
    /// How many times the training framework's error passes.
    pub times_trained: Option<f64>,
    /// The largest share of an image's pixels that may have another class.
    pub flipped: f64,
    /// The least Dice of each class over all images, where that is asked.
    pub dice: Option<f64>,
    /// The largest error of the training framework that passes, relative to the scale.
    pub trained_relative: f64,
    /// What these bounds rest on.
    pub limits: Limits,
    /// Why these bounds.
    pub reason: String,
    /// What was found.
    pub proof: Proof,
    /// The value inside of the model that is farthest off.
    pub inside: Option<Extreme>,
    /// The largest value that it computes in 16-bit floats.
    pub reach: Option<Extreme>,
    /// What was found inside of the model, where that was asked for.
    pub layers: Vec<Layer>,
    /// What is to blame, where that was asked for.
    pub diagnosis: Option<Diagnosis>,
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
            element: Element::default(),
            data,
            thorough,
            provider: bound.provider,
            device: None,
            precision: bound.precision,
            placement,
            environment: EnvironmentFacts::now(bound.provider),
            relative: bound.relative,
            per_pixel: PER_PIXEL,
            times_trained: bound.times_trained,
            flipped: bound.flipped,
            dice: bound.dice,
            trained_relative: TRAINED,
            limits: Limits::IN_FORCE,
            reason: bound.reason.into(),
            proof,
            inside: None,
            reach: None,
            layers: Vec::new(),
            diagnosis: None,
        }
    }

    /// The classes of which the images say nothing, a sentence each.
    pub fn unknown(&self) -> impl Iterator<Item = String> {
        let rests_on_images = self.relative >= ANY_ANSWER;
        self.proof.classes.iter().filter_map(move |class| class.unknown(rests_on_images))
    }

    /// The file beside a model in which its certificate for a provider is kept: `amsunet.cpu.certificate.json` of `amsunet.onnx`.
    pub fn beside(model: &Path, provider: Provider) -> PathBuf {
        facts::beside(model, &format!("{}.certificate.json", provider.flag()))
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
}

/// What a model's file names its certificate by.
///
/// # Errors
/// When the graph cannot be written.
pub(super) fn identity(path: &Path, model: &Model) -> Result<String, CertificateError> {
    model.id().map_err(|source| CertificateError::Model { path: path.into(), source: Box::new(source) })
}
