//! The folders in which NVIDIA's libraries are searched, and what they hold instead of a missing
//! one.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use crate::library::foreign_machine;

/// Prints the folders of Python's packages `nvidia` and `tensorrt_libs`, a line each; a folder of
/// this name in the working folder does not count.
const LIST_PACKAGES: &str = "import sys
sys.path = [folder for folder in sys.path if folder]
import importlib.util
for name in ['nvidia', 'tensorrt_libs']:
    package = importlib.util.find_spec(name)
    print(*(package.submodule_search_locations if package else []), sep='\\n')";

/// The folders in which the system's loader, or an installer of CUDA, keeps libraries.
const SYSTEM_FOLDERS: [&str; 5] =
    ["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/usr/local/cuda/lib64"];

/// The message for a library that is not there, or not in this version.
pub(crate) const ABSENT: &str = "not found";

/// The variable that names the folders in which the system's loader searches first.
const LOADER_VARIABLE: &str = "LD_LIBRARY_PATH";

/// Lists the folders of the Python packages that may hold libraries; none without Python.
pub(super) fn package_folders() -> Vec<PathBuf> {
    let Ok(output) = Command::new("python3").args(["-c", LIST_PACKAGES]).output() else { return Vec::new() };
    let listed = String::from_utf8_lossy(&output.stdout);
    let roots: Vec<_> = listed.lines().filter(|line| !line.is_empty()).map(PathBuf::from).collect();
    let packages = roots.iter().filter_map(|root| root.read_dir().ok()).flatten().flatten();
    let mut folders: Vec<_> = packages.map(|package| package.path().join("lib")).filter(|lib| lib.is_dir()).collect();
    folders.sort();
    folders.extend(roots);
    folders
}

/// Explains the loader's "not found": the library does not exist, or only for another processor or
/// in another version.
pub(crate) fn absence(library: &str) -> String {
    let listed = env::var_os(LOADER_VARIABLE).unwrap_or_default();
    let mut folders: Vec<_> = env::split_paths(&listed).filter(|folder| folder.is_absolute()).collect();
    folders.extend(package_folders());
    folders.extend(SYSTEM_FOLDERS.map(PathBuf::from));
    absence_in(&folders, library)
}

fn absence_in(folders: &[PathBuf], library: &str) -> String {
    let own = env::consts::ARCH;
    let foreign = |folder: &PathBuf| Some((folder.join(library), foreign_machine(&folder.join(library))?));
    if let Some((path, machine)) = folders.iter().find_map(foreign) {
        return format!("`{}` is built for {machine}, this program for {own}", path.display());
    }
    match folders.iter().find_map(|folder| other_version(folder, library)) {
        Some(path) => format!("{ABSENT}, only `{}`", path.display()),
        None => ABSENT.into(),
    }
}

/// Finds the same library in another version: `libcublas.so.12` for `libcublas.so.13`.
fn other_version(folder: &Path, library: &str) -> Option<PathBuf> {
    let (stem, version) = library.rsplit_once(".so.")?;
    let start = format!("{stem}.so.");
    // `libcublas.so.13.0.2` is the target of the link `libcublas.so.13`: its version is right, and
    // something else is wrong.
    let names = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.file_name());
    let shortest = names
        .filter(|name| major_version(name, &start).is_some_and(|major| major.to_string() != version))
        .min_by_key(|name| (name.len(), name.clone()))?;
    Some(folder.join(shortest))
}

/// Returns the number that follows `start` in a file name.
fn major_version(name: &OsStr, start: &str) -> Option<u32> {
    name.to_str()?.strip_prefix(start)?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library::elf_header;

    #[test]
    fn what_is_there_instead_is_named() {
        let place = tempfile::tempdir().unwrap();
        let folders = ["empty", "old"].map(|name| place.path().join(name));
        folders.iter().for_each(|folder| fs::create_dir(folder).unwrap());
        for name in ["libcublas.so.12.1.3", "libcublas.so.12", "libcublas.so", "libcublasLt.so.13.0.2", "libcudnn.so.x"]
        {
            fs::write(folders[1].join(name), "").unwrap();
        }
        fs::write(folders[1].join("libnvinfer.so.10"), elf_header(1, [183, 0])).unwrap();
        let old = folders[1].display();
        for (library, expected) in [
            ("libcublas.so.13", format!("not found, only `{old}/libcublas.so.12`")),
            ("libcublasLt.so.13", "not found".into()),
            ("libcudnn.so.9", "not found".into()),
            (
                "libnvinfer.so.10",
                format!("`{old}/libnvinfer.so.10` is built for aarch64, this program for {}", env::consts::ARCH),
            ),
        ] {
            assert_eq!(absence_in(&folders, library), expected, "{library}");
        }
    }
}
