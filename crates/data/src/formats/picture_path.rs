//! The path of one picture of a file that holds several: `stack.tif#3` is the third one.

use std::fmt;
use std::path::{Path, PathBuf};

/// The path of a picture: a file, or one of the pages, frames or slices of a file.
///
/// Everything that takes the path of an image takes such a path: `stack.tif#3` is the third picture
/// of `stack.tif`. A path at which a file exists is the path of that file, whatever its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PicturePath {
    /// The path as it was given, for messages.
    pub path: PathBuf,
    /// The file.
    pub file: PathBuf,
    /// The number of the picture in the file, counted from 1; `None` for a path that names the file
    /// alone, which stands for its first picture.
    pub number: Option<u32>,
}

impl PicturePath {
    /// Divides a path into the file and the number of the picture.
    pub fn new(path: &Path) -> Self {
        match split(path).filter(|_| path.symlink_metadata().is_err()) {
            Some((file, number)) => Self { path: path.into(), file, number: Some(number) },
            None => Self { path: path.into(), file: path.into(), number: None },
        }
    }

    /// Creates the path of a picture of a file, counted from 1.
    pub fn of(file: &Path, number: u32) -> Self {
        let mut path = file.as_os_str().to_owned();
        path.push(format!("#{number}"));
        Self { path: path.into(), file: file.into(), number: Some(number) }
    }

    /// Returns the place of the picture in the file, counted from 0.
    pub fn index(&self) -> usize {
        self.number.unwrap_or(1) as usize - 1
    }

    /// Returns the name of the picture: that of its file without the extension, and `#3` for the
    /// third picture of several.
    ///
    /// An extension ends a name if it is that of a format, or not all digits: the last number of a
    /// file that is named by a UID is no extension.
    pub fn stem(&self) -> String {
        let name = self.file.file_name().unwrap_or_default().to_string_lossy();
        let stem = match name.rsplit_once('.') {
            None | Some(("", _)) => &name,
            Some((_, end)) if end.bytes().all(|byte| byte.is_ascii_digit()) => &name,
            Some((start, end)) => {
                let is_packed = end.eq_ignore_ascii_case("gz");
                let is_nifti = |start: &str| start.len() > 4 && start[start.len() - 4..].eq_ignore_ascii_case(".nii");
                if is_packed && start.is_char_boundary(start.len().saturating_sub(4)) && is_nifti(start) {
                    &start[..start.len() - 4]
                } else {
                    start
                }
            }
        };
        match self.number {
            Some(number) => format!("{stem}#{number}"),
            None => stem.into(),
        }
    }
}

impl fmt::Display for PicturePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(f)
    }
}

/// Divides `stack.tif#3` at its last `#`; `None` where no number follows one.
fn split(path: &Path) -> Option<(PathBuf, u32)> {
    let name = path.file_name()?.to_str()?;
    let (file, number) = name.rsplit_once('#')?;
    let is_number = !file.is_empty() && !number.starts_with(['0', '+']);
    Some((path.with_file_name(file), number.parse().ok().filter(|number| is_number && *number > 0)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_behind_the_name_is_that_of_a_picture_unless_such_a_file_exists() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("real#2.png"), "").unwrap();
        std::fs::write(folder.path().join("real#7"), "").unwrap();
        for (name, file, number, stem) in [
            ("a.tif", "a.tif", None, "a"),
            ("a.tif#3", "a.tif", Some(3), "a#3"),
            ("a.nii.gz#12", "a.nii.gz", Some(12), "a#12"),
            ("a.NII.GZ", "a.NII.GZ", None, "a"),
            ("a.tar.gz", "a.tar.gz", None, "a.tar"),
            ("1.2.840.7#1", "1.2.840.7", Some(1), "1.2.840.7#1"),
            (".hidden", ".hidden", None, ".hidden"),
            ("real#2.png", "real#2.png", None, "real#2"),
            ("real#7", "real#7", None, "real#7"),
            ("a.tif#0", "a.tif#0", None, "a"),
            ("a.tif#03", "a.tif#03", None, "a"),
            ("a.tif#x", "a.tif#x", None, "a"),
        ] {
            let found = PicturePath::new(&folder.path().join(name));
            assert_eq!((found.file, found.number), (folder.path().join(file), number), "{name}");
            let path = PicturePath::new(&folder.path().join(name));
            assert_eq!(path.stem(), stem, "{name}");
        }
        let path = PicturePath::of(Path::new("a/b.dcm"), 4);
        assert_eq!((path.path.as_path(), path.index()), (Path::new("a/b.dcm#4"), 3));
    }
}
