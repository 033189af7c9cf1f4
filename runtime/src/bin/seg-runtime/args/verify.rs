//! The flags that concern proofs and certificates.

use std::path::PathBuf;

use clap::Args;

use super::Engine;

/// Prove that a model is the trained network, or check a certificate.
///
/// Runs a fixed list of inputs, and the images of `--data`, through the model. Compares the outputs
/// with the exact ones and with those of the training framework, which the reference beside the
/// model holds. Writes a certificate beside the model, `NAME.PROVIDER.certificate.json`, and a page
/// that shows it.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The model file
    #[arg(value_name = "MODEL", required_unless_present = "certificate")]
    pub(crate) model: Option<PathBuf>,
    /// A run or its weights, which must equal the reference's bit for bit; or a reference other
    /// than NAME.reference.onnx beside the model
    #[arg(long, value_name = "RUN|REFERENCE", conflicts_with = "certificate")]
    pub(crate) against: Option<PathBuf>,
    /// A data set or a folder of images to run as well; an int8 model is proven on images only
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Run the long list of inputs, up to 1024x1024
    #[arg(long, conflicts_with = "certificate")]
    pub(crate) thorough: bool,
    /// Report each value inside the model as well
    #[arg(long, conflicts_with = "certificate")]
    pub(crate) layers: bool,
    /// If the proof fails, find where the error begins and what causes it
    #[arg(long)]
    pub(crate) bisect: bool,
    /// Another file for the certificate, NAME.json; its page is NAME.html
    #[arg(long, value_name = "FILE", conflicts_with = "certificate")]
    pub(crate) out: Option<PathBuf>,
    /// Sign the certificate with an Ed25519 private key in PEM
    #[arg(long, value_name = "KEY", conflicts_with = "certificate")]
    pub(crate) sign: Option<PathBuf>,
    /// Repeat the proof of this certificate and report if it holds on this machine
    #[arg(long, value_name = "FILE", conflicts_with = "model")]
    pub(crate) certificate: Option<PathBuf>,
    /// Accept the certificate only if it is signed with this key's private key
    #[arg(long, value_name = "KEY", requires = "certificate")]
    pub(crate) public_key: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) engine: Engine,
}

/// Make an Ed25519 key to sign certificates with.
///
/// Writes the private key NAME.pem and the public key NAME.pub.pem.
#[derive(Debug, Args)]
pub(crate) struct Keygen {
    /// The name of the files, to which `.pem` and `.pub.pem` are added
    #[arg(long, value_name = "NAME", default_value = "seg")]
    pub(crate) out: PathBuf,
}

/// The certificate that a model must have.
#[derive(Debug, Args)]
#[command(next_help_heading = "Certificate")]
pub(crate) struct Certified {
    /// Refuse a model without a certificate beside it for this file, provider and ONNX Runtime
    #[arg(long)]
    pub(crate) require_certificate: bool,
    /// Accept the certificate only if it is signed with this key's private key
    #[arg(long, value_name = "KEY", requires = "require_certificate")]
    pub(crate) public_key: Option<PathBuf>,
}
