//! The files of `fuzz/corpus`, each read as the fuzzer reads it.
//!
//! A file whose name begins with `valid` is accepted, one whose name begins with `refused` is not.
//! Other files only must not make a reader panic.

use std::fs;
use std::path::{Path, PathBuf};

use crate::fuzz;

/// A function that reads a file's bytes and returns whether they are accepted.
type Reader = fn(&[u8]) -> bool;

/// The readers by the names of their folders.
pub(crate) const READERS: [(&str, Reader); 7] = [
    ("certificate", fuzz::certificate),
    ("classes", fuzz::classes),
    ("contract", fuzz::contract),
    ("dicom", fuzz::dicom),
    ("nifti", fuzz::nifti),
    ("onnx", fuzz::onnx),
    ("tiff", fuzz::tiff),
];

/// The largest file; a corpus is read in every test run and cloned with the repository.
const BYTES_MAX: usize = 1 << 16;

/// Reads the files of a corpus, sorted by name.
pub(crate) fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn each_file_is_accepted_or_refused_as_its_name_says() {
    for (name, read) in READERS {
        let files = corpus(name);
        for kind in ["valid", "refused"] {
            let is_of_kind = |(path, _): &(PathBuf, _)| path.file_stem().unwrap().to_str().unwrap().starts_with(kind);
            let of_kind: Vec<_> = files.iter().filter(|file| is_of_kind(file)).collect();
            assert!(!of_kind.is_empty(), "{name}: no file is {kind}");
            for (path, bytes) in of_kind {
                assert_eq!(read(bytes), kind == "valid", "{}", path.display());
            }
        }
        for (path, bytes) in &files {
            assert!(bytes.len() <= BYTES_MAX, "{} has {} bytes", path.display(), bytes.len());
            read(bytes);
        }
    }
}
