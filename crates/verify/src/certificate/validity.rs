//! The validity of a certificate: for a model's file as it is now, and beside a new proof.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::{fs, io};

use seg_contract::sha256;
use seg_inference::{OPTIMIZATION, Options, Provider, digest};
use seg_onnx::{CERTIFICATE_KEY, Model, proto};
use thiserror::Error;

use super::record::onnx_runtime;
use super::signature::{SignatureError, verify_signature};
use super::soundness::Contradiction;
use super::{Certificate, CertificateError};
use crate::bounds::ModelPrecision;
use crate::paths::folder_of;
use crate::proof::report::InputReport;

/// An error that says why a model is not covered by a valid certificate.
#[derive(Debug, Error)]
pub enum ValidityError {
    /// The model has no certificate.
    #[error("`{model}` has no certificate for `--ep {provider}`; make one with `seg verify --ep {provider} {model}`")]
    Missing {
        /// The model.
        model: PathBuf,
        /// The provider's flag.
        provider: &'static str,
        /// The reason why its certificate cannot be used.
        source: Box<CertificateError>,
    },
    /// The certificate says that the model fails.
    #[error("the certificate `{path}` says that the model failed")]
    Against {
        /// The certificate.
        path: PathBuf,
    },
    /// The certificate belongs to another file, environment or setting.
    #[error("the certificate `{path}` is stale: {what} is {found}, certified was {certified}; verify the model again")]
    Stale {
        /// The certificate.
        path: PathBuf,
        /// The thing that differs.
        what: &'static str,
        /// The value that was found.
        found: String,
        /// The value in the certificate.
        certified: String,
    },
    /// The certificate says what its own figures, its model or the bounds in force contradict.
    #[error(
        "the certificate `{path}` contradicts itself or its model, so it was changed or another version made it: \
         {first}{more}; verify the model itself with `seg verify`"
    )]
    Contradiction {
        /// The certificate.
        path: PathBuf,
        /// The first contradiction.
        first: Box<Contradiction>,
        /// The number of further ones, in words; empty if there is none.
        more: String,
    },
    /// The model's identity cannot be computed.
    #[error(transparent)]
    Model(#[from] CertificateError),
    /// The certificate is not signed with the key.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

/// A difference that would make a proof another one than the certified one.
#[derive(Debug, Error)]
pub enum Mismatch {
    /// Another provider would run the model.
    #[error("the certificate is for {certified}, but {found} would run the model; choose `--ep {}`", certified.flag())]
    Provider {
        /// The certified provider.
        certified: Provider,
        /// The provider that would run it.
        found: Provider,
    },
    /// Another device of the provider would run the model.
    #[error(
        "the certificate is for the device `{certified}`, but the device `{found}` would run the model; choose the \
         certified `--openvino-device`, `--cuda-graph` or `--ep-name`"
    )]
    Device {
        /// The certified device.
        certified: String,
        /// The device that would run it.
        found: String,
    },
    /// The model would be computed in another precision.
    #[error(
        "the certificate is for {certified}, but the model would be computed in {found}; choose the certified \
         `--precision`, or verify the model itself"
    )]
    Precision {
        /// The certified precision.
        certified: ModelPrecision,
        /// The precision that would be used.
        found: ModelPrecision,
    },
}

impl Certificate {
    /// Reads and checks the certificate of a model's file. `opened` is the SHA-256 of the bytes
    /// that a session opened, `options` say how it runs them. If `public_key` is given, the
    /// certificate must be signed with its private key.
    ///
    /// With or without a key, everything is checked that can be without running the model:
    /// whether the certificate is for this file, provider and ONNX Runtime, and whether its figures
    /// bear out its verdict by the bounds in force.
    ///
    /// # Errors
    /// When there is no certificate, it is for another file, provider or ONNX Runtime, or it says
    /// what something else contradicts.
    pub fn require(
        model: &Path,
        opened: &str,
        options: &Options,
        public_key: Option<&Path>,
    ) -> Result<Self, ValidityError> {
        let provider = options.provider;
        let path = Self::beside(model, provider);
        let missing = |source| ValidityError::Missing {
            model: model.into(),
            provider: provider.flag(),
            source: Box::new(source),
        };
        let (certificate, text) = Self::read(&path).map_err(missing)?;
        if let Some(key) = public_key {
            verify_signature(&path, &text, key)?;
        }
        let bytes = fs::read(model).map_err(|source| CertificateError::Read { path: model.into(), source })?;
        let unreadable = |source| CertificateError::Model { path: model.into(), source: Box::new(source) };
        let metadata = proto::read_metadata(&bytes).map_err(|error| unreadable(error.into()))?;
        let content = Model::from_bytes(&bytes).map_err(unreadable)?;
        let precision = ModelPrecision::from_graph(&content.graph, options.precision).to_string();
        // Deployments may leave the reference behind.
        let reference = certificate.reference.locate(&folder_of(&path));
        let reference_sha256 = match digest(&reference) {
            Ok((_, sha256)) => sha256,
            Err(error) if error.kind() == io::ErrorKind::NotFound => certificate.reference.sha256.clone(),
            Err(source) => return Err(CertificateError::Read { path: reference, source }.into()),
        };
        let id = metadata.into_iter().find(|(key, _)| key == CERTIFICATE_KEY).map(|(_, id)| id);
        for (what, found, certified) in [
            ("the model's file", sha256(&bytes), &certificate.model.sha256),
            ("the model's file as it was opened", opened.to_owned(), &certificate.model.sha256),
            ("the certificate that the model names", id.unwrap_or_default(), &certificate.id),
            ("the provider", provider.flag().to_owned(), &certificate.provider.flag().to_owned()),
            ("the device", named(options.device()), &named(certificate.device.clone())),
            ("the precision", precision, &certificate.precision.to_string()),
            ("ONNX Runtime", onnx_runtime(), &certificate.environment.onnx_runtime),
            ("ONNX Runtime's level of optimisation", OPTIMIZATION.to_owned(), &certificate.environment.optimization),
            ("the plug-in", named(options.plugin()), &named(certificate.environment.plugin.clone())),
            ("the reference's file", reference_sha256, &certificate.reference.sha256),
        ] {
            if found != *certified {
                return Err(ValidityError::Stale { path, what, found, certified: certified.clone() });
            }
        }
        if !certificate.holds || !certificate.proof.holds() {
            return Err(ValidityError::Against { path });
        }
        certificate.check_soundness(&path, &content)?;
        Ok(certificate)
    }

    /// Checks that a certificate that holds says nothing that its model, the bounds in force or its
    /// own figures [contradict](Self::contradictions); `path` is its name in errors.
    ///
    /// # Errors
    /// When it does, or the model's identity cannot be computed.
    pub fn check_soundness(&self, path: &Path, model: &Model) -> Result<(), ValidityError> {
        let mut contradictions = self.contradictions(model)?.into_iter();
        let Some(first) = contradictions.next() else { return Ok(()) };
        let more = match contradictions.len() {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        Err(ValidityError::Contradiction { path: path.into(), first: first.into(), more })
    }

    /// Checks that a proof with these options and in this precision would be the certified one.
    ///
    /// # Errors
    /// When it would be another one.
    pub fn check(&self, options: &Options, precision: ModelPrecision) -> Result<(), Mismatch> {
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

    /// Lists the certified inputs that another proof lacks, or has with other numbers.
    pub fn left_out(&self, again: &Self) -> Vec<&str> {
        let missing = self.proof.inputs.iter().filter(|input| !again.has_input(input));
        missing.map(|input| input.name.as_str()).collect()
    }

    /// Returns true if an input of the same name and numbers was compared.
    fn has_input(&self, input: &InputReport) -> bool {
        let same = |own: &InputReport| (&own.name, &own.input_sha256) == (&input.name, &input.input_sha256);
        self.proof.inputs.iter().any(same)
    }

    /// Lists the differences between the certified proof and another one of the same model.
    pub fn differences(&self, again: &Self) -> Vec<String> {
        let of = Self::compared_facts;
        let facts = of(self).into_iter().zip(of(again));
        let mut differences: Vec<_> = facts
            .filter(|((_, before), (_, now))| before != now)
            .map(|((what, before), (_, now))| format!("{what}: {now}, certified was {before}"))
            .collect();
        differences.extend(self.input_differences(again));
        differences
    }

    /// Lists the facts that must be equal in two proofs of one model, each with its name.
    fn compared_facts(&self) -> [(&'static str, String); 28] {
        let data = self.data.as_ref().and_then(|data| data.sha256.clone()).unwrap_or_default();
        let rebuilt = if self.rebuilt { "compared with what the passes make" } else { "not compared" };
        let environment = &self.environment;
        let images = self.data.as_ref().map_or(0, |data| data.images);
        [
            ("the identity", self.id.clone()),
            ("the verdict", if self.holds { "holds" } else { "fails" }.to_owned()),
            ("the provider", self.provider.to_string()),
            ("the weights' hash", self.weights_sha256.clone()),
            ("the passes", self.passes.join(", ")),
            ("the element type", format!("{:?}", self.element)),
            ("the list of inputs", if self.thorough { "the long one" } else { "the short one" }.to_owned()),
            ("the number of images", images.to_string()),
            ("the reason for the bounds", self.reason.clone()),
            ("the findings", joined(&self.proof.findings)),
            ("the classes", joined(&self.proof.classes)),
            ("the largest error inside", joined(self.inside.as_slice())),
            ("the largest value in 16 bits", joined(self.reach.as_slice())),
            ("the model's file", self.model.sha256.clone()),
            ("the reference's file", self.reference.sha256.clone()),
            ("the images", data),
            ("ONNX Runtime", environment.onnx_runtime.clone()),
            ("ONNX Runtime's level of optimisation", environment.optimization.clone()),
            ("the plug-in", named(environment.plugin.clone())),
            ("the system", environment.system.clone()),
            ("the processor", environment.processor.clone()),
            ("the GPUs", environment.gpus.join(", ")),
            ("this program", environment.tool_sha256.clone()),
            ("the device", named(self.device.clone())),
            ("the precision", self.precision.to_string()),
            ("the graph", rebuilt.to_owned()),
            ("the bounds", self.bounds()),
            ("the nodes", self.nodes()),
        ]
    }

    /// Describes the bounds.
    fn bounds(&self) -> String {
        let Self { relative, per_pixel, times_trained, trained_relative, flipped, dice, limits, .. } = self;
        let times = times_trained.map_or("any number of".to_owned(), |times| times.to_string());
        let dice = dice.unwrap_or_default();
        format!(
            "{relative:e} of the scale and {per_pixel:e} for each pixel, {times} times training's \
             {trained_relative:e}, {flipped} of the pixels and a Dice of {dice}, {limits:?}"
        )
    }

    /// Describes the number of nodes on each provider.
    fn nodes(&self) -> String {
        let nodes = self.placement.iter().map(|(provider, nodes)| format!("{nodes} on {provider}"));
        nodes.collect::<Vec<_>>().join(", ")
    }

    /// Lists the differences between the inputs of two proofs, by name.
    fn input_differences(&self, again: &Self) -> Vec<String> {
        let (certified, mut proven) = (self.inputs_by_name(), again.inputs_by_name());
        let mut differences = Vec::new();
        for (name, before) in &certified {
            let Some(now) = proven.remove(name) else {
                differences.push(format!("the input {name}: not asked, but certified"));
                continue;
            };
            if before.input_sha256 != now.input_sha256 {
                differences.push(format!("the input {name}: other numbers than were certified"));
            } else if *before != now {
                let [now, before] = [now, *before].map(figures);
                differences.push(format!("the figures of {name}: {now}, certified was {before}"));
            }
        }
        differences.extend(proven.into_keys().map(|name| format!("the input {name}: asked, but not certified")));
        differences
    }

    fn inputs_by_name(&self) -> BTreeMap<&str, &InputReport> {
        self.proof.inputs.iter().map(|input| (input.name.as_str(), input)).collect()
    }
}

/// Describes an input's error, and the bound of its ratio to training's.
fn figures(input: &InputReport) -> String {
    let off = input.relative().unwrap_or_default();
    let allowed = input.times_allowed.map_or("any number".to_owned(), |times| format!("at most {times}"));
    format!("off by {off:.2e} of the scale, {allowed} times training's")
}

/// Lists things in words; "none" for no thing.
fn joined<T: Display>(things: &[T]) -> String {
    match things {
        [] => "none".into(),
        things => things.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
    }
}

/// Describes a device or a plug-in in words.
fn named(device: Option<String>) -> String {
    device.unwrap_or_else(|| "default".into())
}
