//! The path of a certificate, with its page and its signature. Other files are never replaced.

use std::path::{Path, PathBuf};
use std::{fs, io};

use seg_data::{WriteError, check_writable, write_bytes};
use serde_json::Value;
use thiserror::Error;

use super::Certificate;
use super::page::{is_page, page};
use super::signature::{PrivateKey, is_signature, signature_path};

/// The path of a certificate, from which those of its page and its signature follow.
#[derive(Clone, Debug)]
pub struct CertificatePath {
    certificate: PathBuf,
}

/// An error in writing a certificate.
#[derive(Debug, Error)]
pub enum CertificatePathError {
    /// The name does not end in `.json`, so the page has no name of its own.
    #[error(
        "cannot write the certificate to `{path}`: its page takes its name from it; choose a name that ends in `.json`"
    )]
    Name {
        /// The file.
        path: PathBuf,
    },
    /// Another file exists at the path.
    #[error(
        "cannot write the {what} to `{path}`: another file is there and would be lost; choose another name with `--out`"
    )]
    Taken {
        /// The kind of file to be written.
        what: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// The file at the path cannot be read.
    #[error("cannot write the {what} to `{path}`: the file that is there cannot be read")]
    Unreadable {
        /// The kind of file to be written.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// No file can be written at the path.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl CertificatePath {
    /// Checks the path of a certificate that will be written, and signed if a key is given.
    ///
    /// # Errors
    /// When one of the files cannot be written, or would replace another.
    pub fn new(certificate: &Path, key: Option<&PrivateKey>) -> Result<Self, CertificatePathError> {
        if certificate.extension().is_none_or(|extension| extension != "json") {
            return Err(CertificatePathError::Name { path: certificate.into() });
        }
        let place = Self { certificate: certificate.into() };
        place.check_file("certificate", certificate, is_certificate)?;
        place.check_file("certificate's page", &place.page(), is_page)?;
        if key.is_some() {
            place.check_file("certificate's signature", &place.signature(), is_signature)?;
        }
        Ok(place)
    }

    fn check_file(
        &self,
        what: &'static str,
        path: &Path,
        is_one: fn(&[u8]) -> bool,
    ) -> Result<(), CertificatePathError> {
        check_writable(path)?;
        match fs::read(path) {
            Ok(bytes) if is_one(&bytes) => Ok(()),
            Ok(_) => Err(CertificatePathError::Taken { what, path: path.into() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(CertificatePathError::Unreadable { what, path: path.into(), source }),
        }
    }

    /// Returns the certificate's path.
    pub fn certificate(&self) -> &Path {
        &self.certificate
    }

    /// Returns the path of the page: `NAME.html` for `NAME.json`.
    pub fn page(&self) -> PathBuf {
        self.certificate.with_extension("html")
    }

    /// Returns the path of the signature: `NAME.json.sig` for `NAME.json`.
    pub fn signature(&self) -> PathBuf {
        signature_path(&self.certificate)
    }

    /// Returns true if `other` is undecided and the certificate at this path is not.
    pub fn says_more_than(&self, other: &Certificate) -> bool {
        other.proof.is_undecided()
            && Certificate::read(&self.certificate).is_ok_and(|(certificate, _)| !certificate.proof.is_undecided())
    }

    /// Writes a certificate, its page, and its signature if a key is given.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, certificate: &Certificate, key: Option<&PrivateKey>) -> Result<(), CertificatePathError> {
        let json = certificate.to_json();
        let signed = key.map(|key| key.sign(json.as_bytes()));
        write_bytes(&self.certificate, json.as_bytes())?;
        write_bytes(&self.page(), page(certificate, signed.as_ref().map(|signed| signed.time.as_str())).as_bytes())?;
        if let Some(signed) = signed {
            write_bytes(&self.signature(), signed.content.as_bytes())?;
        }
        Ok(())
    }
}

/// Returns true if bytes are a certificate of any version.
fn is_certificate(bytes: &[u8]) -> bool {
    let is_one = |json: Value| json["format"].is_u64() && json["id"].is_string() && json["proof"].is_object();
    serde_json::from_slice(bytes).is_ok_and(is_one)
}
