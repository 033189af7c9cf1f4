//! Signatures of certificates: Ed25519, in hexadecimal, in a file beside the certificate.
//!
//! The file's first line signs the certificate's bytes. The second is the time of signing by the
//! signer's clock, and the third signs the first two. Files of one line have no time.
//!
//! Keys are PEM files as OpenSSL writes and reads them (`openssl genpkey -algorithm ed25519`).

use std::path::{Path, PathBuf};
use std::{fs, io};

use ed25519_dalek::pkcs8::spki;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{self, DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use seg_data::{WriteError, write_bytes};
use thiserror::Error;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::paths::appended;

/// An error in making or reading a key.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The system gives no random numbers.
    #[error("cannot make a key: the system gives no random numbers: {0}")]
    Random(getrandom::Error),
    /// The file cannot be read.
    #[error("cannot read the key `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file of a private key cannot be written.
    #[error("cannot write the key `{path}`")]
    Save {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file is not a private key.
    #[error("`{path}` is not an Ed25519 private key in PEM; make one with `seg keygen`")]
    Private {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: pkcs8::Error,
    },
    /// The file is not a public key.
    #[error("`{path}` is not an Ed25519 public key in PEM; `seg keygen` writes one beside each private key")]
    Public {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: spki::Error,
    },
    /// The key has no PEM form.
    #[error("cannot write the key `{path}` as PEM")]
    Encode {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: spki::Error,
    },
    /// The file exists.
    #[error("`{path}` exists: a key is never replaced; choose another name")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// An error that makes a signature unacceptable.
#[derive(Debug, Error)]
pub enum SignatureError {
    /// The key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The signature cannot be read.
    #[error("`{path}` cannot be read: the certificate is not signed")]
    Missing {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The signature belongs to another key or to another text.
    #[error("the signature `{path}` is not that of this certificate by this key")]
    Wrong {
        /// The file.
        path: PathBuf,
    },
}

/// A private key that signs certificates.
#[derive(Debug)]
pub struct PrivateKey(SigningKey);

impl PrivateKey {
    /// Reads a private key in PEM.
    ///
    /// # Errors
    /// When the file is not an Ed25519 private key.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let key = SigningKey::from_pkcs8_pem(&read_key(path)?);
        key.map(Self).map_err(|source| KeyError::Private { path: path.into(), source })
    }

    /// Signs the bytes of a certificate, with the time by this machine's clock.
    pub fn sign(&self, bytes: &[u8]) -> Signed {
        let time = now();
        let dated = format!("{:x}\n{TIME}{time}\n", self.0.sign(bytes));
        let content = format!("{dated}{:x}\n", self.0.sign(dated.as_bytes()));
        Signed { time, content }
    }
}

/// The beginning of the line that holds the time of signing.
const TIME: &str = "signed ";

/// Returns the time by this machine's clock, in UTC and whole seconds: `2026-01-31T12:00:00Z`.
fn now() -> String {
    let now = OffsetDateTime::now_utc().replace_nanosecond(0).expect("0 is a nanosecond");
    now.format(&Rfc3339).expect("a year of this age has four digits")
}

/// A signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The time of signing in UTC and whole seconds: `2026-01-31T12:00:00Z`.
    pub time: String,
    /// The content of the signature's file.
    pub content: String,
}

/// Writes a new private key that only its owner can read, `NAME.pem`, and its public key,
/// `NAME.pub.pem`. Returns both paths.
///
/// # Errors
/// When a file exists or cannot be written.
pub fn generate_key(name: &Path) -> Result<[PathBuf; 2], KeyError> {
    let [private, public] = [".pem", ".pub.pem"].map(|end| appended(name, end));
    for path in [&private, &public] {
        if path.exists() {
            return Err(KeyError::Exists { path: path.clone() });
        }
    }
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(KeyError::Random)?;
    let key = SigningKey::from_bytes(&secret);
    let encode = |path: &Path, source| KeyError::Encode { path: path.into(), source };
    let text = key.to_pkcs8_pem(LineEnding::LF).map_err(|error| encode(&private, spki_error(error)))?;
    write_private(&private, text.as_bytes())?;
    let text = key.verifying_key().to_public_key_pem(LineEnding::LF).map_err(|error| encode(&public, error))?;
    write_bytes(&public, text.as_bytes())?;
    Ok([private, public])
}

fn spki_error(error: pkcs8::Error) -> spki::Error {
    match error {
        pkcs8::Error::PublicKey(error) => error,
        _ => spki::Error::KeyMalformed,
    }
}

/// Writes a file that only its owner can read, from its first byte on.
fn write_private(path: &Path, bytes: &[u8]) -> Result<(), KeyError> {
    use std::io::Write;
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let write = || options.open(path)?.write_all(bytes);
    write().map_err(|source| KeyError::Save { path: path.into(), source })
}

/// Returns the path of a certificate's signature: `NAME.json.sig` for `NAME.json`.
pub(crate) fn signature_path(certificate: &Path) -> PathBuf {
    appended(certificate, ".sig")
}

/// Checks that the bytes of a certificate are signed with the private key that belongs to `key`.
/// Returns the time of signing by the signer's clock, if the file holds one.
///
/// # Errors
/// When the signature is missing, or belongs to another key, another text or another time.
pub fn verify_signature(certificate: &Path, bytes: &[u8], key: &Path) -> Result<Option<String>, SignatureError> {
    let public = VerifyingKey::from_public_key_pem(&read_key(key)?)
        .map_err(|source| KeyError::Public { path: key.into(), source })?;
    let path = signature_path(certificate);
    let text = fs::read_to_string(&path).map_err(|source| SignatureError::Missing { path: path.clone(), source })?;
    check(&text, bytes, &public).ok_or(SignatureError::Wrong { path })
}

/// Returns the time in a signature's file, if it has one, or `None` if a signature is wrong.
fn check(text: &str, bytes: &[u8], public: &VerifyingKey) -> Option<Option<String>> {
    let verify = |line: &str, signed: &[u8]| public.verify_strict(signed, &parse(line)?).ok();
    match text.lines().collect::<Vec<_>>()[..] {
        [signature] => verify(signature, bytes).map(|()| None),
        [signature, time, of_time] => {
            verify(signature, bytes)?;
            verify(of_time, format!("{signature}\n{time}\n").as_bytes())?;
            Some(Some(time.strip_prefix(TIME)?.to_owned()))
        }
        _ => None,
    }
}

/// Returns true if bytes are a signature of any key.
pub(crate) fn is_signature(bytes: &[u8]) -> bool {
    String::from_utf8_lossy(bytes).lines().next().is_some_and(|line| parse(line).is_some())
}

fn parse(text: &str) -> Option<Signature> {
    let digits: Vec<_> = text.trim().chars().map(|digit| digit.to_digit(16)).collect::<Option<_>>()?;
    let bytes: Vec<_> = digits.chunks_exact(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect();
    Some(Signature::from_bytes(&bytes.try_into().ok()?))
}

fn read_key(path: &Path) -> Result<String, KeyError> {
    fs::read_to_string(path).map_err(|source| KeyError::Read { path: path.into(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_of_whole_seconds_in_utc() {
        let now = now();
        let example = "2026-01-31T12:00:00Z";
        assert_eq!(now.len(), example.len(), "{now}");
        assert!(now.ends_with('Z') && now.as_str() > example, "{now}");
    }

    #[test]
    fn only_the_keys_own_signature_of_the_same_bytes_is_accepted() {
        let folder = tempfile::tempdir().unwrap();
        let [private, public] = generate_key(&folder.path().join("one")).unwrap();
        let [_, other] = generate_key(&folder.path().join("two")).unwrap();
        let certificate = folder.path().join("c.json");
        let signature = signature_path(&certificate);
        let signed = PrivateKey::read(&private).unwrap().sign(b"holds");
        fs::write(&signature, &signed.content).unwrap();
        let check =
            |bytes: &[u8], key: &Path| verify_signature(&certificate, bytes, key).map_err(|error| error.to_string());
        assert_eq!(check(b"holds", &public), Ok(Some(signed.time.clone())));
        for (name, bytes, key, part) in [
            ("another text", b"hold5", &public, "not that of this certificate"),
            ("another key", b"holds", &other, "not that of this certificate"),
            ("a private key", b"holds", &private, "not an Ed25519 public key"),
        ] {
            let message = check(bytes, key).unwrap_err();
            assert!(message.contains(part), "{name}: {message}");
        }
        let dated = fs::read_to_string(&signature).unwrap();
        let first = dated.lines().next().unwrap();
        fs::write(&signature, format!("{first}\n")).unwrap();
        assert_eq!(check(b"holds", &public), Ok(None), "a signature without a time");
        for (name, text) in [
            ("another time", dated.replace(&signed.time, "2001-01-31T12:00:00Z")),
            ("no signature of the time", dated.lines().take(2).collect::<Vec<_>>().join("\n")),
            ("the signature of the text twice", dated.replace(dated.lines().nth(2).unwrap(), first)),
        ] {
            fs::write(&signature, text).unwrap();
            assert!(check(b"holds", &public).unwrap_err().contains("not that of"), "{name}");
        }
        for (name, text) in [("cut off", "00ff"), ("no hexadecimal", "text"), ("too long", &"00".repeat(65))] {
            fs::write(&signature, text).unwrap();
            assert!(check(b"holds", &public).unwrap_err().contains("not that of"), "{name}");
        }
        fs::remove_file(signature).unwrap();
        assert!(check(b"holds", &public).unwrap_err().contains("not signed"));
        assert!(matches!(PrivateKey::read(&public), Err(KeyError::Private { .. })));
    }

    #[test]
    fn a_key_is_never_replaced_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().join("key");
        let [private, _] = generate_key(&name).unwrap();
        let before = fs::read(&private).unwrap();
        assert!(matches!(generate_key(&name), Err(KeyError::Exists { .. })));
        assert_eq!(fs::read(&private).unwrap(), before);
        // A part that looks like an extension belongs to the name.
        let [first, second] = ["site.v1", "site.v2"].map(|name| generate_key(&folder.path().join(name)).unwrap());
        assert!(first[0].ends_with("site.v1.pem") && second[1].ends_with("site.v2.pub.pem"), "{first:?} {second:?}");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&private).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}
