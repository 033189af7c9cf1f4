//! The models of a server by name and version, and their files, which may change.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;
use std::{fs, io};

use seg_verify::Certificate;
use thiserror::Error;
use tracing::{info, warn};

use crate::error::{ApiError, chain};
use crate::model::{Model, Opener, ServedModelError};

/// The end of the name of a reference, which lies beside a model and is none.
const REFERENCE: &str = ".reference.onnx";

/// A place of models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file, with the name and version under which it is served.
    File {
        /// The name.
        name: String,
        /// The version.
        version: u64,
        /// The file.
        path: PathBuf,
    },
    /// A folder of files `NAME.onnx` and of folders `NAME/VERSION/FILE.onnx`.
    Folder(PathBuf),
}

/// An error in the models of a server.
#[derive(Debug, Error)]
pub enum CatalogError {
    /// The text names no model.
    #[error(
        "expected FILE, NAME=FILE or NAME@VERSION=FILE, the name of letters, digits, `_`, `.` and `-`; found `{found}`"
    )]
    Source {
        /// The text.
        found: String,
    },
    /// A folder cannot be read.
    #[error("cannot read the folder of models `{path}`")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// There is nothing to serve.
    #[error("there is no model in {places}; expected files `NAME.onnx` or folders `NAME/VERSION/` with one")]
    Empty {
        /// The folders.
        places: String,
    },
    /// Two files would have one name.
    #[error(
        "`{first}` and `{second}` would both be version {version} of the model `{name}`; name one of them by NAME=FILE"
    )]
    Twice {
        /// The name.
        name: String,
        /// The version.
        version: u64,
        /// The first file.
        first: PathBuf,
        /// The second file.
        second: PathBuf,
    },
    /// A model cannot be served.
    #[error("cannot serve the model `{name}`")]
    Model {
        /// The name.
        name: String,
        /// The cause.
        source: Box<ServedModelError>,
    },
}

impl FromStr for Source {
    type Err = CatalogError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || CatalogError::Source { found: text.into() };
        let (label, path) = match text.split_once('=') {
            // A path may hold the sign as well.
            Some((label, path)) if !label.contains('/') => (Some(label), PathBuf::from(path)),
            _ => (None, PathBuf::from(text)),
        };
        let (name, version) = match label {
            None => (name_of(&path).ok_or_else(refused)?, 1),
            Some(label) => match label.split_once('@') {
                None => (label.to_owned(), 1),
                Some((name, version)) => (name.to_owned(), version.parse().map_err(|_| refused())?),
            },
        };
        if !is_name(&name) || path.as_os_str().is_empty() {
            return Err(refused());
        }
        Ok(Self::File { name, version, path })
    }
}

/// Returns whether a text can stand in an address.
fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

/// Returns the name under which a file is served.
fn name_of(path: &Path) -> Option<String> {
    let stem = path.file_stem()?.to_str()?;
    let name: String =
        stem.chars().map(|c| if c.is_ascii_alphanumeric() || "_.-".contains(c) { c } else { '_' }).collect();
    is_name(&name).then_some(name)
}

/// Files by name and version.
type Files = BTreeMap<(String, u64), PathBuf>;

/// The marks by which a changed file is known: its time and size, and those of its certificate.
type Stamp = Vec<Option<(SystemTime, u64)>>;

/// The models of a server.
pub(crate) struct Catalog {
    sources: Vec<Source>,
    opener: Opener,
    models: RwLock<BTreeMap<String, BTreeMap<u64, Arc<Model>>>>,
    /// The files as they were when they were last opened, or could not be.
    stamps: Mutex<BTreeMap<(String, u64), Stamp>>,
}

impl Catalog {
    /// Opens all models.
    ///
    /// # Errors
    /// When there is none, or one cannot be opened.
    pub(crate) fn open(sources: Vec<Source>, opener: Opener) -> Result<Self, CatalogError> {
        let catalog = Self { sources, opener, models: RwLock::default(), stamps: Mutex::default() };
        let files = catalog.files()?;
        if files.is_empty() {
            let folders = catalog.sources.iter().map(|source| match source {
                Source::Folder(path) | Source::File { path, .. } => format!("`{}`", path.display()),
            });
            return Err(CatalogError::Empty { places: folders.collect::<Vec<_>>().join(", ") });
        }
        for ((name, version), path) in files {
            let stamp = catalog.stamp(&path);
            let opened = catalog.opener.open(&name, version, &path);
            let model = opened.map_err(|source| CatalogError::Model { name: name.clone(), source: source.into() })?;
            catalog.put(model);
            catalog.stamps().insert((name, version), stamp);
        }
        Ok(catalog)
    }

    fn stamps(&self) -> std::sync::MutexGuard<'_, BTreeMap<(String, u64), Stamp>> {
        self.stamps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, model: Model) {
        let mut models = self.models.write().unwrap_or_else(PoisonError::into_inner);
        models.entry(model.name.clone()).or_default().insert(model.version, Arc::new(model));
    }

    /// Opens files that have changed or are new, and forgets those that have gone from folders. A
    /// model is replaced only by one that is open: requests find the old or the new one, whole.
    pub(crate) fn refresh(&self) {
        let files = match self.files() {
            Ok(files) => files,
            Err(error) => return warn!("cannot look for models: {}", chain(&error)),
        };
        for (key, path) in &files {
            let stamp = self.stamp(path);
            // A file that is gone may be on its way; the model stays as it is.
            if stamp[0].is_none() || self.stamps().get(key) == Some(&stamp) {
                continue;
            }
            let (name, version) = key;
            let opened = self.opener.open(name, *version, path);
            if self.stamp(path) != stamp {
                // It is still being written.
                continue;
            }
            self.opener.metrics.reload(name, opened.is_ok());
            match opened {
                Ok(model) => self.put(model),
                Err(error) => {
                    warn!(model = name, version, "cannot open the new file, the old model stays: {}", chain(&error));
                }
            }
            self.stamps().insert(key.clone(), stamp);
        }
        let kept: BTreeSet<_> = files.keys().collect();
        let mut models = self.models.write().unwrap_or_else(PoisonError::into_inner);
        for (name, versions) in models.iter_mut() {
            versions.retain(|version, _| {
                let is_kept = kept.contains(&(name.clone(), *version));
                if !is_kept {
                    info!(model = name, version, "the model's file is gone, it is no longer served");
                }
                is_kept
            });
        }
        models.retain(|_, versions| !versions.is_empty());
        self.stamps().retain(|key, _| kept.contains(key));
    }

    /// Lists the files of all sources.
    fn files(&self) -> Result<Files, CatalogError> {
        let mut files = Files::new();
        let mut add = |name: String, version: u64, path: PathBuf| match files.get(&(name.clone(), version)) {
            Some(first) => Err(CatalogError::Twice { name, version, first: first.clone(), second: path }),
            None => {
                files.insert((name, version), path);
                Ok(())
            }
        };
        for source in &self.sources {
            match source {
                Source::File { name, version, path } => add(name.clone(), *version, path.clone())?,
                Source::Folder(folder) => {
                    for (name, version, path) in files_in(folder)? {
                        add(name, version, path)?;
                    }
                }
            }
        }
        Ok(files)
    }

    /// Returns the state of a model's file and of its certificate.
    fn stamp(&self, path: &Path) -> Stamp {
        let state = |path: &Path| {
            let found = fs::metadata(path).ok()?;
            Some((found.modified().unwrap_or(SystemTime::UNIX_EPOCH), found.len()))
        };
        let certificate = Certificate::beside(path, self.opener.engine.provider);
        vec![state(path), state(&certificate)]
    }

    /// Returns the models, by name and then by version.
    pub(crate) fn all(&self) -> Vec<Arc<Model>> {
        let models = self.models.read().unwrap_or_else(PoisonError::into_inner);
        models.values().flat_map(BTreeMap::values).cloned().collect()
    }

    /// Returns the versions of a model.
    ///
    /// # Errors
    /// When there is no such model.
    pub(crate) fn versions(&self, name: &str) -> Result<Vec<u64>, ApiError> {
        let models = self.models.read().unwrap_or_else(PoisonError::into_inner);
        match models.get(name) {
            Some(versions) => Ok(versions.keys().copied().collect()),
            None => Err(unknown(name, models.keys())),
        }
    }

    /// Returns a version of a model, the latest unless one is named.
    ///
    /// # Errors
    /// When there is no such model or version.
    pub(crate) fn get(&self, name: &str, version: Option<&str>) -> Result<Arc<Model>, ApiError> {
        let models = self.models.read().unwrap_or_else(PoisonError::into_inner);
        let versions = models.get(name).ok_or_else(|| unknown(name, models.keys()))?;
        let found = match version {
            None => versions.values().next_back(),
            Some(version) => version.parse().ok().and_then(|version: u64| versions.get(&version)),
        };
        found.cloned().ok_or_else(|| {
            let have: Vec<_> = versions.keys().map(u64::to_string).collect();
            let version = version.unwrap_or_default();
            ApiError::absent(format!("the model `{name}` has no version `{version}`; it has {}", have.join(", ")))
        })
    }

    /// Returns the model to use if a request names none.
    ///
    /// # Errors
    /// When there are several models, or none.
    pub(crate) fn only(&self) -> Result<Arc<Model>, ApiError> {
        let models = self.models.read().unwrap_or_else(PoisonError::into_inner);
        let mut all = models.values();
        match (all.next().and_then(|versions| versions.values().next_back()), all.next()) {
            (Some(model), None) => Ok(Arc::clone(model)),
            (None, _) => Err(ApiError::absent("no model is served")),
            _ => {
                let names: Vec<_> = models.keys().map(|name| format!("`{name}`")).collect();
                Err(ApiError::bad(format!("name a model by `model=`: {}", names.join(", "))))
            }
        }
    }
}

fn unknown<'a>(name: &str, names: impl Iterator<Item = &'a String>) -> ApiError {
    let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    let shown: String = name.chars().take(100).collect();
    ApiError::absent(format!("there is no model `{shown}`; there is {}", names.join(", ")))
}

/// Lists the models of a folder: name, version and file.
fn files_in(folder: &Path) -> Result<Vec<(String, u64, PathBuf)>, CatalogError> {
    let mut found = Vec::new();
    for path in entries(folder)? {
        if path.is_dir() {
            let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|name| is_name(name)) else {
                continue;
            };
            for inner in entries(&path)? {
                let version = inner.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
                let Some(version) = version.filter(|_| inner.is_dir()) else { continue };
                let mut models = entries(&inner)?;
                models.retain(|path| is_model(path));
                if let Some(model) = models.into_iter().next() {
                    found.push((name.to_owned(), version, model));
                }
            }
        } else if is_model(&path)
            && let Some(name) = name_of(&path)
        {
            found.push((name, 1, path));
        }
    }
    Ok(found)
}

/// Returns whether a file's name is that of a model.
fn is_model(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.ends_with(".onnx") && !name.ends_with(REFERENCE) && !name.starts_with('.')
}

/// Lists the paths in a folder in order.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, CatalogError> {
    let read = || folder.read_dir()?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>();
    let mut paths = read().map_err(|source| CatalogError::Folder { path: folder.into(), source })?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_named_by_its_flag_or_its_file() {
        let file =
            |name: &str, version, path: &str| Some(Source::File { name: name.into(), version, path: path.into() });
        for (text, expected) in [
            ("models/nuclei.onnx", file("nuclei", 1, "models/nuclei.onnx")),
            ("cells=models/nuclei.onnx", file("cells", 1, "models/nuclei.onnx")),
            ("cells@3=nuclei.onnx", file("cells", 3, "nuclei.onnx")),
            ("runs/a=b/model.onnx", file("model", 1, "runs/a=b/model.onnx")),
            ("my model.onnx", file("my_model", 1, "my model.onnx")),
            ("a b=model.onnx", None),
            ("a@x=model.onnx", None),
            ("a=", None),
            ("", None),
        ] {
            assert_eq!(text.parse().ok(), expected, "{text}");
        }
    }

    #[test]
    fn a_folder_holds_files_and_versions_and_references_are_no_models() {
        let folder = tempfile::tempdir().unwrap();
        let add = |path: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        };
        for path in [
            "a.onnx",
            "a.reference.onnx",
            "a.cpu.certificate.json",
            "b/1/model.onnx",
            "b/12/x.onnx",
            "b/config.pbtxt",
            "c/latest/model.onnx",
            ".hidden.onnx",
            "d/2/model.reference.onnx",
        ] {
            add(path);
        }
        let found: Vec<_> = files_in(folder.path())
            .unwrap()
            .into_iter()
            .map(|(name, version, path)| {
                (name, version, path.strip_prefix(folder.path()).unwrap().display().to_string())
            })
            .collect();
        let row = |name: &str, version, path: &str| (name.to_owned(), version, path.to_owned());
        assert_eq!(found, [row("a", 1, "a.onnx"), row("b", 1, "b/1/model.onnx"), row("b", 12, "b/12/x.onnx")]);
    }
}
