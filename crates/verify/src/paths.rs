//! Paths of files beside a model, and paths relative to a certificate.

use std::path::{Component, Path, PathBuf};
use std::{fs, io};

/// Returns a path relative to a folder, or unchanged if one of them does not exist.
pub(crate) fn path_from(folder: &Path, path: &Path) -> String {
    relative_path(folder, path).unwrap_or_else(|_| path.into()).to_string_lossy().into_owned()
}

fn relative_path(folder: &Path, path: &Path) -> io::Result<PathBuf> {
    let folder = fs::canonicalize(folder)?;
    let absolute = match path.file_name() {
        // A link keeps its name, and a file that is yet to be written has a folder.
        Some(name) => fs::canonicalize(folder_of(path))?.join(name),
        None => fs::canonicalize(path)?,
    };
    let shared = folder.components().zip(absolute.components()).take_while(|(one, other)| one == other).count();
    if shared == 0 {
        return Ok(absolute);
    }
    let up = folder.components().skip(shared).map(|_| Component::ParentDir);
    let found: PathBuf = up.chain(absolute.components().skip(shared)).collect();
    Ok(if found == Path::new("") { ".".into() } else { found })
}

/// Resolves a path that a certificate in `folder` names.
pub(crate) fn locate(folder: &Path, path: &str) -> PathBuf {
    let from_folder = folder.join(path);
    // Older certificates name files elsewhere relative to the folder in which the program ran.
    if !from_folder.exists() && Path::new(path).exists() { path.into() } else { from_folder }
}

/// Returns the path of a file beside a model: `net.v1.reference.onnx` for `net.v1.onnx`, and for
/// `net.v1` too, so that `net.v1` and `net.v2` share no file.
pub(crate) fn beside(model: &Path, ending: &str) -> PathBuf {
    match model.extension() {
        Some(extension) if extension == "onnx" => model.with_extension(ending),
        _ => appended(model, &format!(".{ending}")),
    }
}

/// Appends text to a path.
pub(crate) fn appended(path: &Path, end: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(end);
    path.into()
}

/// Returns the folder of a file; `.` for a bare name.
pub fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_from_a_folder_leads_back_to_the_file() {
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
    fn models_with_dots_in_their_names_share_no_file() {
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
