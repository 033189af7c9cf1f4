//! NVIDIA's libraries from Python packages, where the system's loader does not look.
//!
//! A library that is loaded once is found by its name from then on, so loading those that exist, in the order of their
//! dependencies, lets the providers find them.

use std::{path::PathBuf, process::Command};

use ort::ep::cuda::{CUDA_DYLIBS, CUDNN_DYLIBS};

/// Prints the folders that Python's `nvidia` packages are installed in, a line each.
const LIST_PACKAGES: &str = "import importlib.util; nvidia = importlib.util.find_spec('nvidia'); \
                             print(*(nvidia.submodule_search_locations if nvidia else []), sep='\\n')";

/// Loads the CUDA and cuDNN libraries of the Python packages `nvidia-*`, where there are any.
///
/// What is absent or cannot be loaded is not an error yet: the system may have it, and a provider that needs it names
/// it when it is registered.
pub(super) fn preload() {
    let folders = package_folders();
    for library in CUDA_DYLIBS.iter().chain(CUDNN_DYLIBS) {
        let found = folders.iter().map(|folder| folder.join(library)).find(|path| path.exists());
        if let Some(path) = found {
            let _ = ort::util::preload_dylib(path);
        }
    }
}

/// The folders `nvidia/*/lib` of the Python packages; none without Python.
fn package_folders() -> Vec<PathBuf> {
    let Ok(output) = Command::new("python3").args(["-c", LIST_PACKAGES]).output() else { return Vec::new() };
    let roots = String::from_utf8_lossy(&output.stdout).lines().map(PathBuf::from).collect::<Vec<_>>();
    let packages = roots.iter().filter_map(|root| root.read_dir().ok()).flatten().flatten();
    let mut folders: Vec<_> = packages.map(|package| package.path().join("lib")).filter(|lib| lib.is_dir()).collect();
    folders.sort();
    folders
}
