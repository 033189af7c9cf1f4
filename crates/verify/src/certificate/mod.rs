//! Certificates: the model and the files of a proof, the environment, the bounds and the results.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use seg_contract::Element;
use seg_inference::Provider;
use seg_onnx::{Model, ModelError};
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub(crate) mod criteria;
pub(crate) mod page;
pub(crate) mod path;
pub(crate) mod record;
pub(crate) mod signature;
pub(crate) mod soundness;
pub(crate) mod validity;

use record::{DataRecord, EnvironmentRecord, FileRecord};

use crate::bounds::{ANY_ANSWER, Bound, FRAMEWORK_ERROR, Limits, ModelPrecision, PER_PIXEL};
use crate::diagnosis::Diagnosis;
use crate::inputs::ProofInputError;
use crate::layers::{Extreme, Layer};
use crate::paths;
use crate::proof::Proof;
use crate::reference::Reference;

/// The version of a certificate's layout; a reader refuses any other.
pub const CERTIFICATE_FORMAT: u32 = 2;

/// The result of a proof, for others to read and to check again. It holds no date and no duration,
/// so that equal proofs give equal certificates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// The writer's [`CERTIFICATE_FORMAT`].
    pub format: u32,
    /// The verdict: true if there are no findings.
    pub holds: bool,
    /// The identity that the model's metadata name: the hash of its graph and its contract.
    pub id: String,
    /// The model's file.
    pub model: FileRecord,
    /// The reference's file.
    pub reference: FileRecord,
    /// The checkpoint whose tensors equal the reference's constants bit for bit, if one was given.
    pub weights: Option<FileRecord>,
    /// The hash of the weights' names, shapes and values.
    pub weights_sha256: String,
    /// The passes that rewrote the reference's graph into the model's.
    pub passes: Vec<String>,
    /// True if the model's graph was compared exactly with the expected one. It is not if the model
    /// has reduced precision or if another version exported it.
    pub rebuilt: bool,
    /// The element type of the model's input. For bytes, all outputs are those for images rounded
    /// to bytes.
    #[serde(default)]
    pub element: Element,
    /// The images, if there were any besides the fixed inputs.
    pub data: Option<DataRecord>,
    /// True if the long list of fixed inputs was compared.
    pub thorough: bool,
    /// The provider that runs the model.
    pub provider: Provider,
    /// The part of the provider that runs it, if that can be chosen: OpenVINO's device, or CUDA's
    /// kernels as one graph.
    #[serde(default)]
    pub device: Option<String>,
    /// The precision in which the model computes.
    pub precision: ModelPrecision,
    /// The number of nodes that each provider of ONNX Runtime computes.
    pub placement: BTreeMap<String, usize>,
    /// The program, libraries and machine of the proof.
    pub environment: EnvironmentRecord,
    /// The largest error that passes, relative to the scale.
    pub relative: f64,
    /// The error that is allowed in addition for each pixel of the longer side, to the training
    /// framework as well.
    pub per_pixel: f64,
    /// The largest ratio to the training framework's error that passes.
    pub times_trained: Option<f64>,
    /// The largest share of an image's pixels that may have another class.
    pub flipped: f64,
    /// The least Dice of each class over all images, if it is judged.
    pub dice: Option<f64>,
    /// The largest error of the training framework that passes, relative to the scale.
    pub trained_relative: f64,
    /// The limits that these bounds rest on.
    pub limits: Limits,
    /// The reason for these bounds.
    pub reason: String,
    /// The results.
    pub proof: Proof,
    /// The intermediate value that is farthest off.
    pub inside: Option<Extreme>,
    /// The largest value that is computed in 16-bit floats.
    pub reach: Option<Extreme>,
    /// The error of each intermediate value, if that was requested.
    pub layers: Vec<Layer>,
    /// The cause of the failure, if that was requested.
    pub diagnosis: Option<Diagnosis>,
}

/// The version of a certificate, which is read first so that another layout is named as such.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// An error in reading or making a certificate.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// The file cannot be read.
    #[error("cannot read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file is not a certificate.
    #[error("`{path}` is not a certificate that this version writes")]
    Json {
        /// The file.
        path: PathBuf,
        /// The cause.
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
    /// A fixed input of a proof cannot be computed.
    #[error("cannot compute the input `{input}`")]
    Input {
        /// The input.
        input: String,
        /// The cause.
        source: Box<ProofInputError>,
    },
    /// The model's identity cannot be computed.
    #[error("cannot compute the identity of the model `{path}`")]
    Model {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: Box<ModelError>,
    },
}

impl Certificate {
    /// Creates the certificate of a proof.
    #[expect(clippy::too_many_arguments, reason = "these are what a certificate is about")]
    pub fn new(
        id: String,
        [model, reference]: [FileRecord; 2],
        weights: Option<FileRecord>,
        of: &Reference,
        data: Option<DataRecord>,
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
            environment: EnvironmentRecord::current(bound.provider),
            relative: bound.relative,
            per_pixel: PER_PIXEL,
            times_trained: bound.times_trained,
            flipped: bound.flipped,
            dice: bound.dice,
            trained_relative: FRAMEWORK_ERROR,
            limits: Limits::IN_FORCE,
            reason: bound.reason.into(),
            proof,
            inside: None,
            reach: None,
            layers: Vec::new(),
            diagnosis: None,
        }
    }

    /// Returns a sentence for each class about which the images say nothing.
    pub fn unknown(&self) -> impl Iterator<Item = String> {
        let rests_on_images = self.relative >= ANY_ANSWER;
        self.proof.classes.iter().filter_map(move |class| class.unknown(rests_on_images))
    }

    /// Returns the path of a model's certificate for a provider: `amsunet.cpu.certificate.json`
    /// beside `amsunet.onnx`.
    pub fn beside(model: &Path, provider: Provider) -> PathBuf {
        paths::beside(model, &format!("{}.certificate.json", provider.flag()))
    }

    /// Returns the certificate as JSON; equal certificates give equal text.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a certificate has only string keys") + "\n"
    }

    /// Reads a certificate, and returns the bytes of its file too.
    ///
    /// # Errors
    /// When the file is not a certificate of this version.
    pub fn read(path: &Path) -> Result<(Self, Vec<u8>), CertificateError> {
        let bytes = fs::read(path).map_err(|source| CertificateError::Read { path: path.into(), source })?;
        let refused = |source| CertificateError::Json { path: path.into(), source };
        let Format { format } = serde_json::from_slice(&bytes).map_err(refused)?;
        if format != CERTIFICATE_FORMAT {
            return Err(CertificateError::Format { path: path.into(), found: format });
        }
        Ok((serde_json::from_slice(&bytes).map_err(refused)?, bytes))
    }
}

/// Returns the identity by which a model's file names its certificate.
///
/// # Errors
/// When the graph cannot be written.
pub(crate) fn identity(path: &Path, model: &Model) -> Result<String, CertificateError> {
    model.id().map_err(|source| CertificateError::Model { path: path.into(), source: Box::new(source) })
}
