//! ONNX Runtime for browsers: an archive of npm, fetched and checked by its hash as a wheel is.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf, absolute};
use std::process::Command;

use flate2::read::GzDecoder;
use tar::Archive;

use super::fetch::{FetchError, Wheel, fill, last_error};
use super::{LibraryError, Search};
use crate::model_file::digest_of;

/// The folder of the files in the archive.
const FOLDER: &str = "package/dist";

const WEB: Wheel = Wheel {
    package: "onnxruntime-web",
    version: "1.30.0",
    sha256: "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71",
    // The last of the files, so that the others are there if it is.
    library: "package/dist/ort-wasm-simd-threaded.asyncify.wasm",
    links: &[],
};

/// ONNX Runtime for browsers, in the cache.
#[derive(Clone, Debug)]
pub struct WebRuntime {
    folder: PathBuf,
}

impl WebRuntime {
    /// Takes the files of a folder.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The version of the package `onnxruntime-web`.
    pub const VERSION: &str = WEB.version;

    /// The files that a page needs: a script for WebAssembly and one for WebGPU, each with its
    /// WebAssembly module.
    pub const FILES: [&str; 4] = [
        "ort.wasm.bundle.min.mjs",
        "ort-wasm-simd-threaded.wasm",
        "ort.webgpu.bundle.min.mjs",
        "ort-wasm-simd-threaded.asyncify.wasm",
    ];

    /// Returns the path of one of [`FILES`](Self::FILES).
    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }
}

impl Search {
    /// Finds ONNX Runtime for browsers in the cache, fills the cache from an archive that was
    /// brought along, or fetches it with npm.
    ///
    /// # Errors
    /// When the archive is another one or cannot be unpacked, or fetching is forbidden or fails.
    pub fn web_runtime(&self, archive: Option<&Path>) -> Result<WebRuntime, LibraryError> {
        let cache = self.cache.as_deref().ok_or(FetchError::NoCache)?;
        let library = WEB.library(cache);
        let folder = library.parent().map(Path::to_path_buf).unwrap_or_default();
        if let Some(archive) = archive {
            check(&WEB, archive)?;
            fill(&WEB, cache, |partial| unpack(archive, partial))?;
        } else if !library.exists() {
            if self.offline {
                return Err(FetchError::WebOffline { package: WEB.title(), path: library }.into());
            }
            fill(&WEB, cache, |partial| {
                let archive = pack(&WEB, partial)?;
                check(&WEB, &archive)?;
                unpack(&archive, partial)
            })?;
        }
        Ok(WebRuntime::new(folder))
    }

    /// Returns whether ONNX Runtime for browsers is in the cache.
    pub fn has_web_runtime(&self) -> bool {
        self.cache.as_deref().is_some_and(|cache| WEB.library(cache).exists())
    }
}

/// Fetches the archive of a package into a folder with npm, which knows the user's mirrors and
/// proxies.
fn pack(package: &Wheel, folder: &Path) -> Result<PathBuf, FetchError> {
    let refused = |source| FetchError::Cache { path: folder.into(), source };
    let folder = &absolute(folder).map_err(refused)?;
    let failed = |reason| FetchError::Npm { package: package.package, version: package.version, reason };
    let output = Command::new("npm")
        .current_dir(folder)
        .args(["pack", "--loglevel", "error", "--ignore-scripts"])
        .arg(format!("{}@{}", package.package, package.version))
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(format!("{}: {}", output.status, last_error(&String::from_utf8_lossy(&output.stderr)))));
    }
    Ok(folder.join(format!("{}-{}.tgz", package.package, package.version)))
}

/// Checks that an archive is the pinned one.
fn check(package: &Wheel, archive: &Path) -> Result<(), FetchError> {
    let refused = |source| FetchError::ReadArchive { path: archive.into(), source };
    let (_, found) = File::open(archive).and_then(|mut file| digest_of(&mut file)).map_err(refused)?;
    if found == package.sha256 {
        return Ok(());
    }
    Err(FetchError::OtherArchive { path: archive.into(), found, package: package.title(), expected: package.sha256 })
}

/// Unpacks the files that a page needs to the folder `site` in `partial`.
fn unpack(archive: &Path, partial: &Path) -> Result<(), FetchError> {
    let refused = |source| FetchError::ReadArchive { path: archive.into(), source };
    let folder = partial.join("site").join(FOLDER);
    fs::create_dir_all(&folder).map_err(|source| FetchError::Cache { path: folder.clone(), source })?;
    let mut archive = Archive::new(GzDecoder::new(File::open(archive).map_err(refused)?));
    for entry in archive.entries().map_err(refused)? {
        let mut entry = entry.map_err(refused)?;
        let path = entry.path().map_err(refused)?.into_owned();
        let Some(file) = WebRuntime::FILES.into_iter().find(|file| path == Path::new(FOLDER).join(file)) else {
            continue;
        };
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(refused)?;
        let path = folder.join(file);
        fs::write(&path, bytes).map_err(|source| FetchError::Cache { path, source })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use tar::{Builder, Header};

    use super::*;
    use crate::library::Build;

    /// Writes an archive with these files.
    fn archive(path: &Path, files: &[(&str, &[u8])]) {
        let mut builder = Builder::new(GzEncoder::new(File::create(path).unwrap(), Compression::fast()));
        for (name, bytes) in files {
            let mut header = Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, *bytes).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap();
    }

    #[test]
    fn the_files_of_a_page_are_unpacked_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("brought.tgz");
        let names = WebRuntime::FILES.map(|file| format!("{FOLDER}/{file}"));
        let mut files: Vec<_> = names.iter().map(|name| (name.as_str(), name.as_bytes())).collect();
        files.push(("package/dist/ort.all.mjs", b"too much"));
        files.push(("package/package.json", b"{}"));
        archive(&path, &files);
        unpack(&path, folder.path()).unwrap();
        let site = folder.path().join("site").join(FOLDER);
        let mut found: Vec<_> = site.read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        found.sort();
        let mut expected = WebRuntime::FILES.to_vec();
        expected.sort_unstable();
        assert_eq!(found, expected);
        assert_eq!(fs::read(site.join(expected[0])).unwrap(), format!("{FOLDER}/{}", expected[0]).into_bytes());
    }

    #[test]
    fn what_is_not_there_or_not_the_pinned_archive_is_named_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("cache");
        let search =
            Search { explicit: None, variable: None, cache: Some(cache.clone()), offline: true, build: Build::Cpu };
        let path = folder.path().join("brought.tgz");
        for (name, archive_path, part) in [
            ("offline", None, "onnxruntime-web 1.30.0 is not in the cache"),
            ("absent", Some(path.as_path()), "cannot read the archive"),
        ] {
            let message = search.web_runtime(archive_path).unwrap_err().to_string();
            assert!(message.contains(part), "{name}: {message}");
        }
        archive(&path, &[("package/package.json", b"{}")]);
        let message = search.web_runtime(Some(&path)).unwrap_err().to_string();
        assert!(message.contains("brought.tgz") && message.contains("expected d2228df7"), "{message}");
        assert!(!cache.exists());
    }
}
