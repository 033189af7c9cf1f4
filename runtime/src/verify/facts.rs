//! What a certificate names: files by their hashes, images, and what proved the model on what.

use std::{
    env, fs,
    path::{Path, PathBuf},
    thread,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

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
pub(super) fn onnx_runtime() -> String {
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

/// The SHA-256 of bytes, in hexadecimal.
pub(super) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
