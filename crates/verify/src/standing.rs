//! Whether a certificate still stands: for a model's file as it is, and beside a proof that was made again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use seg_inference::provider::{Options, Provider};
use seg_onnx::{CERTIFICATE_KEY, Model, proto};
use thiserror::Error;

use crate::bounds::Precision;
use crate::certificate::{Certificate, CertificateError};
use crate::facts::{onnx_runtime, sha256};
use crate::proof::CaseReport;
use crate::signature::{SignatureError, verify_signature};

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
    /// Another of the provider's devices would compute the model.
    #[error(
        "certified was the device {certified}, and the device {found} would compute the model; choose the \
         `--openvino-device`, or the `--cuda-graph`, that was certified"
    )]
    Device {
        /// The certified one.
        certified: String,
        /// The other one.
        found: String,
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

impl Certificate {
    /// The certificate that covers a model's file, which was `opened` as bytes of this SHA-256 and is run as the options say, in the ONNX Runtime that is
    /// loaded; signed with the private key of `public_key`, where one is given.
    ///
    /// # Errors
    /// When there is none, or it is for another file, provider or ONNX Runtime.
    pub fn require(model: &Path, opened: &str, options: &Options, public_key: Option<&Path>) -> Result<Self, Refusal> {
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
        let id = metadata.into_iter().find(|(key, _)| key == CERTIFICATE_KEY).map(|(_, id)| id);
        for (what, found, certified) in [
            ("the model's file", sha256(&bytes), &certificate.model.sha256),
            ("the model's file as it was opened", opened.to_owned(), &certificate.model.sha256),
            ("the certificate that the model names", id.unwrap_or_default(), &certificate.id),
            ("the provider", provider.flag().to_owned(), &certificate.provider.flag().to_owned()),
            ("the device", named(options.device()), &named(certificate.device.clone())),
            ("the precision", precision, &certificate.precision.to_string()),
            ("ONNX Runtime", onnx_runtime(), &certificate.environment.onnx_runtime),
        ] {
            if found != *certified {
                return Err(Refusal::Stale { path, what, found, certified: certified.clone() });
            }
        }
        if certificate.holds && certificate.proof.holds() { Ok(certificate) } else { Err(Refusal::Against { path }) }
    }

    /// Makes sure that a proof of a model run as the options say, in this precision, is the certified one.
    ///
    /// # Errors
    /// When it would be another one.
    pub fn check(&self, options: &Options, precision: Precision) -> Result<(), Mismatch> {
        if options.provider != self.provider {
            return Err(Mismatch::Provider { certified: self.provider, found: options.provider });
        }
        let device = options.device();
        if device != self.device {
            return Err(Mismatch::Device { certified: named(self.device.clone()), found: named(device) });
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
        compare("the processor", &self.environment.processor, &again.environment.processor);
        compare("the GPUs", &self.environment.gpus.join(", "), &again.environment.gpus.join(", "));
        compare("this program", &self.environment.tool_sha256, &again.environment.tool_sha256);
        compare("the device", &named(self.device.clone()), &named(again.device.clone()));
        compare("the precision", &self.precision.to_string(), &again.precision.to_string());
        let rebuilt = |certificate: &Self| {
            if certificate.rebuilt { "compared with what the passes make" } else { "not compared" }
        };
        compare("the graph", rebuilt(self), rebuilt(again));
        let bounds = |certificate: &Self| {
            let Self { relative, per_pixel, times_trained, trained_relative, flipped, dice, limits, .. } = certificate;
            let times = times_trained.map_or("any number of".to_owned(), |times| times.to_string());
            let dice = dice.unwrap_or_default();
            format!(
                "{relative:e} of the scale and {per_pixel:e} for each pixel, {times} times training's \
                 {trained_relative:e}, {flipped} of the pixels and a Dice of {dice}, {limits:?}"
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

/// A device in words.
fn named(device: Option<String>) -> String {
    device.unwrap_or_else(|| "that is not named".into())
}
