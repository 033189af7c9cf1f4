//! Reads tensors from a safetensors file.

use std::path::{Path, PathBuf};
use std::{fs, io};

use ndarray::ArrayD;
use safetensors::{Dtype, SafeTensorError, SafeTensors};
use thiserror::Error;

/// The reason for which a tensor cannot be read.
#[derive(Debug, Error)]
pub enum TensorError {
    /// The file cannot be read.
    #[error("cannot read the tensors of `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file is not a safetensors file.
    #[error("cannot read `{path}` as a safetensors file")]
    Format {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: SafeTensorError,
    },
    /// The file has no tensor of this name.
    #[error("`{path}` holds no tensor `{name}`; it holds {names}")]
    Absent {
        /// The file.
        path: PathBuf,
        /// The name asked for.
        name: String,
        /// The names that the file holds.
        names: String,
    },
    /// The tensor's elements are of another type.
    #[error("the tensor `{name}` of `{path}` has elements of type {found:?}, expected F32 or F64")]
    Type {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The type of its elements.
        found: Dtype,
    },
}

/// A safetensors file in memory.
#[derive(Debug)]
pub struct TensorFile {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl TensorFile {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(path: &Path) -> Result<Self, TensorError> {
        let bytes = fs::read(path).map_err(|source| TensorError::Read { path: path.into(), source })?;
        Ok(Self { path: path.into(), bytes })
    }

    /// Lists the names of all tensors, sorted.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn names(&self) -> Result<Vec<String>, TensorError> {
        let damaged = |source| TensorError::Format { path: self.path.clone(), source };
        let tensors = SafeTensors::deserialize(&self.bytes).map_err(damaged)?;
        let mut names: Vec<_> = tensors.names().into_iter().map(str::to_owned).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Returns the value of a key in the file's metadata.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn note(&self, key: &str) -> Result<Option<String>, TensorError> {
        let damaged = |source| TensorError::Format { path: self.path.clone(), source };
        let (_, metadata) = SafeTensors::read_metadata(&self.bytes).map_err(damaged)?;
        Ok(metadata.metadata().as_ref().and_then(|notes| notes.get(key).cloned()))
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the content of the file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads the tensor of the given name, which must be of `f32` or `f64`.
    ///
    /// # Errors
    /// When the file is damaged, has no such tensor, or one of another type.
    pub fn tensor(&self, name: &str) -> Result<ArrayD<f64>, TensorError> {
        let path = || self.path.clone();
        let damaged = |source| TensorError::Format { path: path(), source };
        let tensors = SafeTensors::deserialize(&self.bytes).map_err(damaged)?;
        let tensor = match tensors.tensor(name) {
            Ok(tensor) => tensor,
            Err(SafeTensorError::TensorNotFound(_)) => {
                let mut names = tensors.names();
                names.sort_unstable();
                return Err(TensorError::Absent { path: path(), name: name.into(), names: list(&names) });
            }
            Err(source) => return Err(damaged(source)),
        };
        let values = match tensor.dtype() {
            Dtype::F32 => elements(tensor.data(), |bytes| f64::from(f32::from_le_bytes(bytes))),
            Dtype::F64 => elements(tensor.data(), f64::from_le_bytes),
            found => return Err(TensorError::Type { path: path(), name: name.into(), found }),
        };
        Ok(ArrayD::from_shape_vec(tensor.shape(), values).expect("the reader has checked the length against the shape"))
    }
}

/// Converts the elements of `SIZE` bytes each.
fn elements<const SIZE: usize>(bytes: &[u8], element: impl Fn([u8; SIZE]) -> f64) -> Vec<f64> {
    bytes.as_chunks().0.iter().map(|bytes| element(*bytes)).collect()
}

/// Lists the first few names, for a message.
fn list(names: &[&str]) -> String {
    const NAMES_MAX: usize = 8;
    let more = if names.len() > NAMES_MAX { ", ..." } else { "" };
    let names: Vec<_> = names.iter().take(NAMES_MAX).map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "none".into() } else { names.join(", ") + more }
}

#[cfg(test)]
mod tests {
    use safetensors::tensor::{TensorView, serialize};

    use super::*;

    fn file(bytes: Vec<u8>) -> TensorFile {
        TensorFile { path: "t.safetensors".into(), bytes }
    }

    fn sample() -> TensorFile {
        let single = [1.5_f32, -2.0].map(f32::to_le_bytes).concat();
        let double = [0.1_f64, 3.0].map(f64::to_le_bytes).concat();
        let bytes = serialize(
            [
                ("single", TensorView::new(Dtype::F32, vec![2, 1], &single).unwrap()),
                ("double", TensorView::new(Dtype::F64, vec![2], &double).unwrap()),
                ("integer", TensorView::new(Dtype::I64, vec![2], &double).unwrap()),
            ],
            None,
        );
        file(bytes.unwrap())
    }

    #[test]
    fn floats_of_both_sizes_are_read_exactly() {
        assert_eq!(sample().tensor("single").unwrap(), ndarray::array![[1.5], [-2.0]].into_dyn());
        assert_eq!(sample().tensor("double").unwrap(), ndarray::array![0.1, 3.0].into_dyn());
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (name, file, tensor, part) in [
            ("absent", sample(), "x", "no tensor `x`; it holds `double`, `integer`, `single`"),
            ("another type", sample(), "integer", "type I64, expected F32 or F64"),
            ("not safetensors", file(b"text".to_vec()), "x", "`t.safetensors` as a safetensors file"),
            ("empty", file(Vec::new()), "x", "as a safetensors file"),
        ] {
            let message = file.tensor(tensor).unwrap_err().to_string();
            assert!(message.contains(part), "{name}: {message}");
        }
        let message = TensorFile::open(Path::new("/absent.safetensors")).unwrap_err().to_string();
        assert!(message.contains("`/absent.safetensors`"), "{message}");
    }
}
