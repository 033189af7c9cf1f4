//! The names of results, which must not replace an input.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use seg_data::PicturePath;
use thiserror::Error;

/// An image that its own result would replace.
#[derive(Debug, Error)]
#[error("the input `{input}` would be overwritten by a result; choose another output folder than `{folder}`")]
pub struct OverwriteError {
    /// The image.
    pub input: PathBuf,
    /// The folder of the results.
    pub folder: PathBuf,
}

/// Checks that no file to be written to `folder` is one of the inputs.
///
/// # Errors
/// When a file is one of the inputs.
pub fn keep_inputs(
    folder: &Path,
    written: impl IntoIterator<Item = impl AsRef<Path>>,
    inputs: impl IntoIterator<Item = impl AsRef<Path>>,
) -> Result<(), OverwriteError> {
    // Only a file that exists can be overwritten, and has a canonical path.
    let canonical = |path: &Path| path.canonicalize().ok();
    let written: HashSet<_> = written.into_iter().filter_map(|path| canonical(path.as_ref())).collect();
    match inputs
        .into_iter()
        .find(|input| canonical(&PicturePath::new(input.as_ref()).file).is_some_and(|input| written.contains(&input)))
    {
        Some(input) => Err(OverwriteError { input: input.as_ref().into(), folder: folder.into() }),
        None => Ok(()),
    }
}

/// Returns the stem of each path; if an earlier path has taken it, in whatever case, `-2`, `-3`,
/// ... is added.
///
/// Many file systems do not distinguish `A` from `a`, and results may be copied to one of them.
pub fn unique_stems(paths: &[PathBuf]) -> Vec<String> {
    let mut taken = HashSet::new();
    paths.iter().map(|path| unique_stem(path, &mut taken)).collect()
}

/// Returns the stem of a path, or the first with a number that is not taken, and takes it.
fn unique_stem(path: &Path, taken: &mut HashSet<String>) -> String {
    let stem = PicturePath::new(path).stem();
    let numbered = (2_usize..).map(|number| format!("{stem}-{number}"));
    let mut names = std::iter::once(stem.clone()).chain(numbered);
    names.find(|name| taken.insert(name.to_lowercase())).expect("the numbers do not end")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_inputs_share_a_result() {
        let rows: [(&str, &[&str], &[&str]); 6] = [
            ("different stems", &["a.png", "b.png"], &["a", "b"]),
            ("formats", &["a.png", "a.jpg", "a.tif"], &["a", "a-2", "a-3"]),
            ("folders", &["x/a.png", "y/a.png"], &["a", "a-2"]),
            ("cases", &["x/A.png", "y/a.png", "z/Ä.png", "z/ä.png"], &["A", "a-2", "Ä", "ä-2"]),
            ("pictures of a file", &["a.tif#1", "a.tif#2", "b/a.nii.gz#2"], &["a#1", "a#2", "a#2-2"]),
            ("a stem that looks numbered", &["a.png", "a.jpg", "a-2.png"], &["a", "a-2", "a-2-2"]),
        ];
        for (name, inputs, stems) in rows {
            let inputs: Vec<_> = inputs.iter().map(PathBuf::from).collect();
            assert_eq!(unique_stems(&inputs), stems, "{name}");
        }
    }

    #[test]
    fn no_input_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let masks = folder.path().join("masks");
        std::fs::create_dir(&masks).unwrap();
        let input = masks.join("a.png");
        std::fs::write(&input, "").unwrap();
        let roundabout = folder.path().join("masks/../masks/a.png");
        for (name, inputs) in [("itself", vec![input]), ("by another path", vec![roundabout])] {
            let written = [folder.path().join("masks/a.png")];
            let message = keep_inputs(folder.path(), &written, &inputs).unwrap_err().to_string();
            assert!(message.contains("would be overwritten"), "{name}: {message}");
        }
    }
}
