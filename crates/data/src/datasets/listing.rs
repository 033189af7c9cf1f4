//! The files of a data set's folder, and what their places say of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::affix::Name;
use super::text::composed;
use super::words::{Kind, Portion, Word};
use super::{DatasetError, entries, name_of};
use crate::formats::has_image_extension;

/// The most folders that lie in each other.
const DEPTH_MAX: usize = 12;

/// The extensions of annotations, each file for one image or for many.
const ANNOTATIONS: [&str; 3] = ["json", "geojson", "txt"];

/// The files by which a folder is told that holds results of `infer`.
const RESULTS: [&str; 2] = ["job.json", "predictions.jsonl"];

/// A file of a data set's folder.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
    /// The path from the data set's folder on, with `/` between the names.
    pub(super) relative: String,
    /// The content that its place says, and the word for it.
    pub(super) kind: Option<(Kind, String)>,
    pub(super) portion: Option<Portion>,
    pub(super) name: Name,
}

/// The files of a folder, in the order of their paths.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// The files with the extension of an image.
    pub(super) pictures: Vec<File>,
    /// The files with an extension that annotations have.
    pub(super) annotations: Vec<File>,
}

impl Listing {
    /// Lists a folder with all folders in it; hidden ones, those that hold results of `infer`, and
    /// files of other kinds, are skipped.
    pub(super) fn read(root: &Path) -> Result<Self, DatasetError> {
        let mut listing = Self::default();
        let mut seen = BTreeSet::new();
        listing.add(root, &mut Vec::new(), &mut seen)?;
        Ok(listing)
    }

    fn add(
        &mut self,
        folder: &Path,
        names: &mut Vec<String>,
        seen: &mut BTreeSet<PathBuf>,
    ) -> Result<(), DatasetError> {
        // A link to a folder above would never end.
        let real = fs::canonicalize(folder).map_err(|source| DatasetError::Read { path: folder.into(), source })?;
        if !seen.insert(real) {
            return Ok(());
        }
        if !names.is_empty() && RESULTS.iter().all(|name| folder.join(name).is_file()) {
            return Ok(());
        }
        for path in entries(folder)? {
            let name = composed(&name_of(&path));
            if name.starts_with('.') || name == "__MACOSX" {
                continue;
            }
            if path.is_dir() {
                if names.len() < DEPTH_MAX && !has_image_extension(&path) {
                    names.push(name);
                    self.add(&path, names, seen)?;
                    names.pop();
                }
            } else if has_image_extension(&path) {
                self.pictures.push(File::new(path, names, &name));
            } else if extension(&path).is_some_and(|extension| ANNOTATIONS.contains(&extension.as_str())) {
                self.annotations.push(File::new(path, names, &name));
            }
        }
        Ok(())
    }
}

impl File {
    fn new(path: PathBuf, folders: &[String], name: &str) -> Self {
        let relative = folders.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join("/");
        let stem = stem(name);
        let words: Vec<Word> = folders.iter().map(|folder| Word::read(folder)).collect();
        let place = words.iter().rposition(|word| word.kind.is_some());
        let portion = words.iter().rev().find_map(|word| word.portion);
        let rest = words.iter().zip(folders).enumerate();
        let rest = rest.filter(|(index, (word, _))| Some(*index) != place && word.portion.is_none());
        let folder = rest.map(|(_, (_, folder))| folder.as_str()).collect::<Vec<_>>().join("/");
        let mut kind = place.and_then(|place| words[place].kind.clone());
        let mut name = Name { folder, stem };
        // `case_7/image.png` beside `case_7/mask.png`.
        if kind.is_none() && !name.folder.is_empty() {
            kind = Word::read(&name.stem).kind;
            if kind.is_some() {
                name.stem.clear();
            }
        }
        Self { path, relative, kind, portion, name }
    }

    /// Returns the name among the files of all parts.
    pub(super) fn key(&self) -> Name {
        let portion = self.portion.map_or("", |portion| match portion {
            Portion::Train => "train",
            Portion::Validation => "val",
            Portion::Test => "test",
        });
        Name { folder: format!("{portion}:{}", self.name.folder), stem: self.name.stem.clone() }
    }
}

/// Returns a file's extension in lower case.
pub(super) fn extension(path: &Path) -> Option<String> {
    Some(path.extension()?.to_str()?.to_ascii_lowercase())
}

/// Returns the name of a file without its extension, and without the first of two as in `.nii.gz`
/// and `.ome.tif`. Digits alone are no extension: they end a file that is named by a UID.
pub(super) fn stem(name: &str) -> String {
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    if !extension.is_empty() && extension.bytes().all(|byte| byte.is_ascii_digit()) {
        return name.to_owned();
    }
    let inner = match extension.to_ascii_lowercase().as_str() {
        "gz" => Some(".nii"),
        "tif" | "tiff" => Some(".ome"),
        _ => None,
    };
    let shorter = inner.and_then(|inner| {
        let start = stem.len().checked_sub(inner.len())?;
        let tail = stem.get(start..)?;
        tail.eq_ignore_ascii_case(inner).then(|| &stem[..start])
    });
    shorter.unwrap_or(stem).to_owned()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn file(relative: &str) -> File {
        let mut folders: Vec<String> = relative.split('/').map(str::to_owned).collect();
        let name = folders.pop().unwrap();
        File::new(relative.into(), &folders, &name)
    }

    /// Makes files of paths.
    pub(in crate::datasets) fn files(relative: &[&str]) -> Vec<File> {
        relative.iter().map(|relative| file(relative)).collect()
    }

    #[test]
    fn a_place_says_content_part_and_name() {
        for (path, kind, portion, folder, stem) in [
            ("images/a.png", Some(Kind::Image), None, "", "a"),
            ("train/Images/p1/a.b.png", Some(Kind::Image), Some(Portion::Train), "p1", "a.b"),
            ("labels/val/a.png", Some(Kind::Mask), Some(Portion::Validation), "", "a"),
            ("imagesTr/a_0000.png", Some(Kind::Image), Some(Portion::Train), "", "a_0000"),
            ("p1/mask.png", Some(Kind::Mask), None, "p1", ""),
            ("data/images/x/masks/y.png", Some(Kind::Mask), None, "data/images/x", "y"),
            ("p1/a.ome.tif", None, None, "p1", "a"),
            ("mask.png", None, None, "", "mask"),
        ] {
            let file = file(path);
            assert_eq!(file.kind.map(|(kind, _)| kind), kind, "{path}");
            assert_eq!(file.portion, portion, "{path}");
            assert_eq!((file.name.folder.as_str(), file.name.stem.as_str()), (folder, stem), "{path}");
        }
        for (name, expected) in [
            ("a.nii.gz", "a"),
            ("a.OME.TIFF", "a"),
            ("a.x.png", "a.x"),
            ("a", "a"),
            ("nii.gz", "nii"),
            ("1.2.840.7", "1.2.840.7"),
        ] {
            assert_eq!(stem(name), expected, "{name}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_folder_above_ends() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("images")).unwrap();
        fs::write(root.path().join("images/a.png"), "").unwrap();
        std::os::unix::fs::symlink(root.path(), root.path().join("images/again")).unwrap();
        assert_eq!(Listing::read(root.path()).unwrap().pictures.len(), 1);
    }
}
