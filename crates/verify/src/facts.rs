//! What a certificate names: files by their hashes, images, and what proved the model on what.

use std::path::{Component, Path, PathBuf};
use std::{env, fs, io, thread};

use seg_inference::nvidia::Driver;
use seg_inference::provider::Provider;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A file that takes part in a proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileFacts {
    /// Its path from the certificate's folder: the name alone where it lies beside the certificate.
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
    /// The folder, or the folders and files where there were several, by their paths from the certificate's folder.
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
    /// What the processor calls itself, where the system tells.
    pub processor: String,
    /// How many threads it runs at once.
    pub processors: usize,
    /// The GPUs and the newest CUDA that their driver runs, where one of them computed.
    pub gpus: Vec<String>,
}

impl EnvironmentFacts {
    /// This program, on this machine, with the ONNX Runtime that is loaded and a provider that computes.
    pub fn now(provider: Provider) -> Self {
        let own = env::current_exe().and_then(fs::read);
        Self {
            tool: format!("seg-runtime {}", env!("CARGO_PKG_VERSION")),
            tool_sha256: own.map_or_else(|_| "unknown".into(), |bytes| sha256(&bytes)),
            onnx_runtime: onnx_runtime(),
            system: format!("{} {}", env::consts::OS, env::consts::ARCH),
            processor: processor(),
            processors: thread::available_parallelism().map_or(1, usize::from),
            gpus: match provider {
                Provider::Cuda | Provider::TensorRt => gpus(),
                Provider::Cpu | Provider::OpenVino => Vec::new(),
            },
        }
    }
}

/// What the first processor calls itself.
fn processor() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = cpuinfo.lines().filter_map(|line| line.split_once(':')).find(|(key, _)| key.trim() == "model name");
    name.map_or_else(|| "unknown".into(), |(_, name)| name.trim().to_owned())
}

/// The GPUs that the driver shows, each with the driver's CUDA.
fn gpus() -> Vec<String> {
    let Ok(Driver { cuda, gpus, .. }) = Driver::query() else { return vec!["unknown".into()] };
    gpus.iter().map(|gpu| format!("{gpu}, CUDA {cuda}")).collect()
}

/// The loaded build of ONNX Runtime: its branch and its commit.
pub(super) fn onnx_runtime() -> String {
    let info = ort::info();
    info.split(", ").take_while(|part| !part.starts_with("cmake")).collect::<Vec<_>>().join(", ")
}

impl FileFacts {
    /// A file whose bytes are given, for a certificate that lies in `folder`.
    pub fn of(path: &Path, bytes: &[u8], folder: &Path, tool: Option<&str>) -> Self {
        Self { path: path_from(folder, path), sha256: sha256(bytes), tool: tool.map(str::to_owned) }
    }

    /// The file of a certificate that lies in `folder`.
    pub fn locate(&self, folder: &Path) -> PathBuf {
        locate(folder, &self.path)
    }
}

impl DataFacts {
    /// The images of a certificate that lies in `folder`.
    pub fn locate(&self, folder: &Path) -> Vec<PathBuf> {
        self.inputs.iter().map(|input| locate(folder, input)).collect()
    }
}

/// A path as it is found from a folder; as it is where one of them is not there.
pub(super) fn path_from(folder: &Path, path: &Path) -> String {
    let relative = || -> io::Result<PathBuf> {
        let folder = fs::canonicalize(folder)?;
        let place = match path.file_name() {
            // A link keeps its name, and what is yet to be written has a folder.
            Some(name) => fs::canonicalize(folder_of(path))?.join(name),
            None => fs::canonicalize(path)?,
        };
        let shared = folder.components().zip(place.components()).take_while(|(one, other)| one == other).count();
        if shared == 0 {
            return Ok(place);
        }
        let up = folder.components().skip(shared).map(|_| Component::ParentDir);
        let found: PathBuf = up.chain(place.components().skip(shared)).collect();
        Ok(if found == Path::new("") { ".".into() } else { found })
    };
    relative().unwrap_or_else(|_| path.into()).to_string_lossy().into_owned()
}

/// What a certificate that lies in `folder` calls by this path.
fn locate(folder: &Path, path: &str) -> PathBuf {
    let from_folder = folder.join(path);
    // Older certificates name what does not lie beside them as it was found from where they were made.
    if !from_folder.exists() && Path::new(path).exists() { path.into() } else { from_folder }
}

/// The file beside a model with another ending: `net.v1.reference.onnx` of `net.v1.onnx`, and of `net.v1` as well, lest it be that of `net.v2`.
pub(super) fn beside(model: &Path, ending: &str) -> PathBuf {
    match model.extension() {
        Some(extension) if extension == "onnx" => model.with_extension(ending),
        _ => appended(model, &format!(".{ending}")),
    }
}

/// A path with more at its end.
pub(super) fn appended(path: &Path, end: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(end);
    path.into()
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
    format!("{:x}", Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_certificate_names_is_found_from_its_folder() {
        let place = tempfile::tempdir().unwrap();
        let at = |path: &str| place.path().join(path);
        for folder in ["certificates", "models/data"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        fs::write(at("models/net.onnx"), "a model").unwrap();
        for (folder, path, expected) in [
            ("models", "models/net.onnx", "net.onnx"),
            ("models", "models/to_come.onnx", "to_come.onnx"),
            ("models", "certificates/../models/net.onnx", "net.onnx"),
            ("certificates", "models/net.onnx", "../models/net.onnx"),
            ("certificates", "models/data", "../models/data"),
            ("models/data", "models/data/..", ".."),
            ("models/data", "models/data", "."),
        ] {
            let found = path_from(&at(folder), &at(path));
            assert_eq!(found, expected, "{path} from {folder}");
            let located = locate(&at(folder), &found);
            let is_there = at(path).exists();
            assert!(!is_there || fs::canonicalize(located).unwrap() == fs::canonicalize(at(path)).unwrap(), "{path}");
        }
        assert_eq!(path_from(&at("absent"), Path::new("a/net.onnx")), "a/net.onnx");
    }

    #[test]
    fn models_whose_names_have_dots_share_no_file() {
        for (model, expected) in [
            ("a/net.onnx", "a/net.reference.onnx"),
            ("net.v1.onnx", "net.v1.reference.onnx"),
            ("net.v1", "net.v1.reference.onnx"),
            ("net.v2", "net.v2.reference.onnx"),
            ("net", "net.reference.onnx"),
        ] {
            assert_eq!(beside(Path::new(model), "reference.onnx"), Path::new(expected), "{model}");
        }
    }
}
