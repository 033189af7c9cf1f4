//! The fingerprint of a data set, by which two of them are compared.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;
use seg_contract::{Sha256, sha256};

use super::{Dataset, Part, Sample};
use crate::formats::{PicturePath, ReadError};
use crate::masks::MaskCoding;

impl Dataset {
    /// Computes the SHA-256, in hexadecimal, of the samples: their parts, their names and the
    /// content of their files.
    ///
    /// It is the digest of a text of one line per sample, in the parts' order: the part, the name,
    /// the coding of the mask, and the digests of image, mask and field of view. The folder and the
    /// names of the files do not matter otherwise; one changed byte does.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn fingerprint(&self) -> Result<String, ReadError> {
        let digests = Digests::default();
        let train = self.train.par_iter().map(|sample| (Part::Train, sample));
        let test = self.test.par_iter().map(|sample| (Part::Test, sample));
        let lines: Vec<String> =
            train.chain(test).map(|(part, sample)| line(part, sample, &digests)).collect::<Result<_, ReadError>>()?;
        Ok(sha256(lines.concat().as_bytes()))
    }
}

/// The digests of files of several pictures, each of which is read once.
#[derive(Default)]
struct Digests(Mutex<HashMap<PathBuf, String>>);

impl Digests {
    /// Returns the digest of a picture's file.
    fn get(&self, path: &Path) -> Result<String, ReadError> {
        let PicturePath { file, number, .. } = PicturePath::new(path);
        if number.is_none() {
            return digest(&file);
        }
        // Other threads wait, as they most likely need the same file.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(digest) = known.get(&file) {
            return Ok(digest.clone());
        }
        let digest = digest(&file)?;
        known.insert(file, digest.clone());
        Ok(digest)
    }
}

/// Computes the SHA-256 of a file, which is read in pieces.
fn digest(path: &Path) -> Result<String, ReadError> {
    let failed = |source| ReadError::File { path: path.into(), source };
    let mut file = File::open(path).map_err(failed)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => return Ok(hash.hex()),
            length => hash.update(&buffer[..length]),
        }
    }
}

fn line(part: Part, sample: &Sample, digests: &Digests) -> Result<String, ReadError> {
    let digest = |path: &Path| digests.get(path);
    let Sample { name, image, mask, coding, field_of_view, reading: _ } = sample;
    let field = field_of_view.as_deref().map_or(Ok("-".into()), digest)?;
    let more: Vec<String> = coding.files().iter().map(|path| digest(path)).collect::<Result<_, _>>()?;
    let more = more.iter().map(|digest| format!(" {digest}")).collect::<String>();
    let mask = match coding {
        // Not the file, which may be that of thousands of images.
        MaskCoding::Drawn(drawing) => drawing.digest(),
        _ => digest(mask)?,
    };
    Ok(format!("{part} {name:?} {coding} {} {mask} {field}{more}\n", digest(image)?))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    /// Writes a data set of two samples in files that are not images: nothing is decoded.
    fn folder(files: &[(&str, &str)]) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        let usual = [
            ("images/a.png", "1"),
            ("images/b.png", "2"),
            ("masks/a.png", "3"),
            ("masks/b.png", "4"),
            ("train.txt", "a"),
            ("test.txt", "b"),
        ];
        for folder in ["images", "masks"] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        for (file, content) in usual.iter().chain(files) {
            fs::write(root.path().join(file), content).unwrap();
        }
        root
    }

    fn fingerprint(files: &[(&str, &str)]) -> String {
        Dataset::open(folder(files).path()).unwrap().fingerprint().unwrap()
    }

    #[test]
    fn it_depends_on_the_samples_alone() {
        let usual = fingerprint(&[]);
        assert_eq!((usual.len(), &usual), (64, &fingerprint(&[])), "in another folder");
        assert_eq!(usual, fingerprint(&[("notes.txt", "x")]), "with another file");
        let rows: [(&str, &[(&str, &str)]); 4] = [
            ("another image", &[("images/a.png", "x")]),
            ("another mask", &[("masks/b.png", "x")]),
            ("other parts", &[("train.txt", "b"), ("test.txt", "a")]),
            ("other samples", &[("train.txt", "a"), ("images/c.png", "5"), ("masks/c.png", "6"), ("test.txt", "c")]),
        ];
        for (name, change) in rows {
            assert_ne!(usual, fingerprint(change), "{name}");
        }
    }

    #[test]
    fn a_file_that_vanished_is_an_error() {
        let root = folder(&[]);
        let dataset = Dataset::open(root.path()).unwrap();
        fs::remove_file(root.path().join("masks/b.png")).unwrap();
        let message = dataset.fingerprint().unwrap_err().to_string();
        assert!(message.contains("b.png"), "{message}");
    }
}
