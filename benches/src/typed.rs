//! Paths of a command line, relative to the folder in which it was typed: cargo runs a bench in the
//! folder of its package.

use std::convert::Infallible;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Resolves the path of a file or folder.
///
/// # Errors
/// Never; the signature is that of a flag's parser.
pub fn typed_path(text: &str) -> Result<PathBuf, Infallible> {
    Ok(from(shell_folder(), text.as_ref()))
}

/// Resolves the path of a program: a bare name is searched in `PATH`.
///
/// # Errors
/// Never; the signature is that of a flag's parser.
pub fn typed_program(text: &str) -> Result<PathBuf, Infallible> {
    let path = Path::new(text);
    Ok(if path.components().count() > 1 { from(shell_folder(), path) } else { path.into() })
}

/// Returns the folder in which a shell ran cargo; `None` where this program was started otherwise,
/// in the folder that is meant.
fn shell_folder() -> Option<OsString> {
    // The shell exports its folder, and cargo does not change that when it enters the package's.
    env::var_os("CARGO_MANIFEST_DIR").and_then(|_| env::var_os("PWD"))
}

fn from(folder: Option<OsString>, path: &Path) -> PathBuf {
    folder.map_or_else(|| path.into(), |folder| Path::new(&folder).join(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_from_where_it_was_typed() {
        for (name, folder, path, expected) in [
            ("under cargo", Some("/home/me"), "venv/bin/python", "/home/me/venv/bin/python"),
            ("absolute", Some("/home/me"), "/opt/python", "/opt/python"),
            ("by itself", None, "venv/bin/python", "venv/bin/python"),
        ] {
            assert_eq!(from(folder.map(Into::into), path.as_ref()), Path::new(expected), "{name}");
        }
    }

    #[test]
    fn the_name_of_a_program_is_no_path() {
        assert_eq!(typed_program("python3"), Ok("python3".into()));
        // Cargo runs this test as it runs a bench.
        assert!(typed_program("venv/bin/python").unwrap().ends_with("venv/bin/python"));
        assert!(typed_program("./python").unwrap().is_absolute() == typed_path("models").unwrap().is_absolute());
    }
}
