//! Where a certificate lies, with its page and its signature. Nothing is replaced there but what they were before.

use std::path::{Path, PathBuf};
use std::{fs, io};

use seg_data::{WriteError, check_writable, write_bytes};
use serde_json::Value;
use thiserror::Error;

use crate::certificate::Certificate;
use crate::page::{is_page, page};
use crate::signature::{PrivateKey, is_signature, signature_path};

/// The file of a certificate, and by its name those of its page and its signature.
#[derive(Clone, Debug)]
pub struct Place {
    certificate: PathBuf,
}

/// Why a certificate cannot be written.
#[derive(Debug, Error)]
pub enum PlaceError {
    /// The page could not be called after it.
    #[error(
        "cannot write the certificate to `{path}`: its page is called after it; choose a name that ends in `.json`"
    )]
    Name {
        /// The file.
        path: PathBuf,
    },
    /// Something else lies there.
    #[error(
        "cannot write the {what} to `{path}`: what is there is none and would be lost; choose another name by `--out`"
    )]
    Taken {
        /// What was to be written.
        what: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// What lies there cannot be told.
    #[error("cannot write the {what} to `{path}`: what is there cannot be read")]
    Unreadable {
        /// What was to be written.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No file can be written there.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl Place {
    /// The place of a certificate that is to be written, and signed where a key is given.
    ///
    /// # Errors
    /// When one of its files could not be written, or would replace something else.
    pub fn check(certificate: &Path, key: Option<&PrivateKey>) -> Result<Self, PlaceError> {
        if certificate.extension().is_none_or(|extension| extension != "json") {
            return Err(PlaceError::Name { path: certificate.into() });
        }
        let place = Self { certificate: certificate.into() };
        place.check_file("certificate", certificate, is_certificate)?;
        place.check_file("certificate's page", &place.page(), is_page)?;
        if key.is_some() {
            place.check_file("certificate's signature", &place.signature(), is_signature)?;
        }
        Ok(place)
    }

    fn check_file(&self, what: &'static str, path: &Path, is_one: fn(&[u8]) -> bool) -> Result<(), PlaceError> {
        check_writable(path)?;
        match fs::read(path) {
            Ok(bytes) if is_one(&bytes) => Ok(()),
            Ok(_) => Err(PlaceError::Taken { what, path: path.into() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(PlaceError::Unreadable { what, path: path.into(), source }),
        }
    }

    /// The certificate's file.
    pub fn certificate(&self) -> &Path {
        &self.certificate
    }

    /// The file of its page: `NAME.html` of `NAME.json`.
    pub fn page(&self) -> PathBuf {
        self.certificate.with_extension("html")
    }

    /// The file of its signature: `NAME.json.sig` of `NAME.json`.
    pub fn signature(&self) -> PathBuf {
        signature_path(&self.certificate)
    }

    /// Whether the certificate that is there says more than another one: that one is undecided, and this one is not.
    pub fn says_more_than(&self, other: &Certificate) -> bool {
        other.proof.is_undecided()
            && Certificate::read(&self.certificate).is_ok_and(|(certificate, _)| !certificate.proof.is_undecided())
    }

    /// Writes a certificate, its page, and its signature where a key is given.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, certificate: &Certificate, key: Option<&PrivateKey>) -> Result<(), PlaceError> {
        let json = certificate.to_json();
        let signature = key.map(|key| key.sign(json.as_bytes()));
        write_bytes(&self.certificate, json.as_bytes())?;
        write_bytes(&self.page(), page(certificate).as_bytes())?;
        if let Some(signature) = signature {
            write_bytes(&self.signature(), signature.as_bytes())?;
        }
        Ok(())
    }
}

/// Whether bytes are a certificate, of whatever version.
fn is_certificate(bytes: &[u8]) -> bool {
    let is_one = |json: Value| json["format"].is_u64() && json["id"].is_string() && json["proof"].is_object();
    serde_json::from_slice(bytes).is_ok_and(is_one)
}
