//! Records in a certificate: files with their hashes, images, and the environment of the proof.

use std::path::{Path, PathBuf};
use std::{env, fs, thread};

use seg_contract::sha256;
use seg_inference::nvidia::Driver;
use seg_inference::{OPTIMIZATION, Provider};
use serde::{Deserialize, Serialize};

use crate::paths::{locate, path_from};

/// A file of a proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FileRecord {
    /// The path from the certificate's folder: only the name if both lie in one folder.
    pub path: String,
    /// The SHA-256 of the bytes, in hexadecimal.
    pub sha256: String,
    /// The program that wrote it, if that is known.
    pub tool: Option<String>,
}

/// The images of a proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DataRecord {
    /// The folder, or the folders and files, by their paths from the certificate's folder.
    pub inputs: Vec<String>,
    /// The number of images.
    pub images: usize,
    /// The data set's fingerprint; `None` if the folder is not a data set.
    pub sha256: Option<String>,
}

/// The environment of a proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct EnvironmentRecord {
    /// This program's version.
    pub tool: String,
    /// The SHA-256 of this program's executable.
    pub tool_sha256: String,
    /// The build of ONNX Runtime.
    pub onnx_runtime: String,
    /// The level to which ONNX Runtime optimised the graph. The outputs of an int8 model differ
    /// between levels by as much as a quarter of a logit. Certificates that name none are of `all`,
    /// the only level that was ever used.
    #[serde(default = "level_of_old")]
    pub optimization: String,
    /// The plug-in in which the provider comes, if it does: its package and version, or the file
    /// that the user named, with its hash and options.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// The operating system and the architecture.
    pub system: String,
    /// The processor's name, if the system reports it.
    pub processor: String,
    /// The number of threads that the processor runs at once.
    pub processors: usize,
    /// The GPUs and the newest CUDA version of their driver, if a GPU computed.
    pub gpus: Vec<String>,
}

impl EnvironmentRecord {
    /// Describes this program, this machine and the loaded ONNX Runtime, for a provider.
    pub fn current(provider: Provider) -> Self {
        let own = env::current_exe().and_then(fs::read);
        Self {
            tool: format!("seg-runtime {}", env!("CARGO_PKG_VERSION")),
            tool_sha256: own.map_or_else(|_| "unknown".into(), |bytes| sha256(&bytes)),
            onnx_runtime: onnx_runtime(),
            optimization: OPTIMIZATION.into(),
            plugin: None,
            system: format!("{} {}", env::consts::OS, env::consts::ARCH),
            processor: processor(),
            processors: thread::available_parallelism().map_or(1, usize::from),
            gpus: if provider.spec().is_nvidia { gpus() } else { Vec::new() },
        }
    }
}

/// Returns the optimisation level of certificates that name none.
fn level_of_old() -> String {
    "all".into()
}

/// Returns the name of the first processor.
fn processor() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = cpuinfo.lines().filter_map(|line| line.split_once(':')).find(|(key, _)| key.trim() == "model name");
    name.map_or_else(|| "unknown".into(), |(_, name)| name.trim().to_owned())
}

/// Lists the GPUs that the driver reports, each with the driver's CUDA version.
fn gpus() -> Vec<String> {
    let Ok(Driver { cuda, gpus, .. }) = Driver::query() else { return vec!["unknown".into()] };
    gpus.iter().map(|gpu| format!("{gpu}, CUDA {cuda}")).collect()
}

/// Returns the loaded build of ONNX Runtime: its branch and its commit.
pub(crate) fn onnx_runtime() -> String {
    let info = ort::info();
    info.split(", ").take_while(|part| !part.starts_with("cmake")).collect::<Vec<_>>().join(", ")
}

impl FileRecord {
    /// Records a file by its bytes, for a certificate in `folder`.
    pub fn new(path: &Path, bytes: &[u8], folder: &Path, tool: Option<&str>) -> Self {
        Self { path: path_from(folder, path), sha256: sha256(bytes), tool: tool.map(str::to_owned) }
    }

    /// Resolves the path for a certificate in `folder`.
    pub fn locate(&self, folder: &Path) -> PathBuf {
        locate(folder, &self.path)
    }
}

impl DataRecord {
    /// Resolves the paths for a certificate in `folder`.
    pub fn locate(&self, folder: &Path) -> Vec<PathBuf> {
        self.inputs.iter().map(|input| locate(folder, input)).collect()
    }
}
