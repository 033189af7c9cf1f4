//! Weights in files: `.safetensors` both ways, PyTorch's `.pth` to read.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use ndarray::ArrayD;
use pytorch_reader::{DType, PytorchReader};
use safetensors::{Dtype, SafeTensorError, SafeTensors, View};
use seg_data::{WriteError, write_bytes};
use thiserror::Error;

use super::{Weights, names};

/// Counters that PyTorch's BatchNorm keeps and that nothing here uses.
const IGNORED: &str = "num_batches_tracked";

/// Why a file's weights cannot be read.
#[derive(Debug, Error)]
pub enum ReadWeightsError {
    /// The file cannot be read at all.
    #[error("cannot read weights from `{}`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file is not what its name says.
    #[error("cannot read weights from `{}`: it is not a {format} file", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The format that its name implies.
        format: &'static str,
        /// The reader's reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file's name ends in neither of the known endings.
    #[error("cannot read weights from `{}`: expected a file that ends in .safetensors, .pth or .pt", path.display())]
    Extension {
        /// The file.
        path: PathBuf,
    },
    /// The file holds no AMSUnet.
    #[error("cannot read weights from `{}`: no tensor is named `{}`; the file holds no AMSUnet", path.display(), names::FIRST)]
    NotAmsUnet {
        /// The file.
        path: PathBuf,
    },
    /// A tensor is not in a type that weights have here.
    #[error("cannot read `{name}` from `{}`: its type is {dtype}, expected float32 or float64", path.display())]
    Type {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its type.
        dtype: String,
    },
}

/// A tensor as a file holds it: its shape and its little-endian bytes, eight a value if `wide`, else four.
struct Raw {
    shape: Vec<usize>,
    bytes: Vec<u8>,
    wide: bool,
}

impl Weights {
    /// Reads the weights of a `.safetensors`, `.pth` or `.pt` file.
    ///
    /// The weights may lie under any prefix (`model.` in the authors' files, `module.` after data-parallel training);
    /// whatever else a file holds, such as an optimizer, is left alone.
    ///
    /// # Errors
    /// When the file cannot be read, is not of the format that its name implies, or holds no AMSUnet.
    pub fn read(path: &Path) -> Result<Self, ReadWeightsError> {
        Ok(Self::read_with_notes(path)?.0)
    }

    /// [`read`](Self::read) with the texts that a `.safetensors` file carries beside its tensors, by their keys.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_with_notes(path: &Path) -> Result<(Self, HashMap<String, String>), ReadWeightsError> {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        match extension {
            "safetensors" => read_safetensors(path),
            "pth" | "pt" => Ok((read_pytorch(path)?, HashMap::new())),
            _ => Err(ReadWeightsError::Extension { path: path.into() }),
        }
    }

    /// Writes the weights and one note as `.safetensors`, whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path, note: Option<(&str, String)>) -> Result<(), WriteError> {
        write_bytes(path, &self.to_safetensors(note))
    }

    /// The bytes of a `.safetensors` file with one note; equal weights and notes give equal bytes.
    pub fn to_safetensors(&self, note: Option<(&str, String)>) -> Vec<u8> {
        let tensors = self.tensors.iter().map(|(name, tensor)| (name.as_str(), Borrowed(tensor)));
        // With one entry the order of the map cannot show in the bytes.
        let notes = note.map(|(key, text)| HashMap::from([(key.to_owned(), text)]));
        safetensors::serialize(tensors, notes).expect("names are unique and tensors are whole")
    }
}

/// An array as safetensors writes it.
pub struct Borrowed<'a>(pub &'a ArrayD<f32>);

impl View for Borrowed<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        self.0.shape()
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.0.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    fn data_len(&self) -> usize {
        self.0.len() * size_of::<f32>()
    }
}

fn read_safetensors(path: &Path) -> Result<(Weights, HashMap<String, String>), ReadWeightsError> {
    let bytes = fs::read(path).map_err(|source| ReadWeightsError::Io { path: path.into(), source })?;
    let format = |error: SafeTensorError| ReadWeightsError::Format {
        path: path.into(),
        format: "safetensors",
        source: error.into(),
    };
    let file = SafeTensors::deserialize(&bytes).map_err(format)?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(format)?;
    let notes = header.metadata().clone().unwrap_or_default();
    let weights = collect(path, file.names().into_iter().map(str::to_owned).collect(), |name| {
        let tensor = file.tensor(name).map_err(format)?;
        let wide = match tensor.dtype() {
            Dtype::F32 => false,
            Dtype::F64 => true,
            other => return Err(type_error(path, name, format!("{other:?}"))),
        };
        Ok(Raw { shape: tensor.shape().to_vec(), bytes: tensor.data().to_vec(), wide })
    })?;
    Ok((weights, notes))
}

fn read_pytorch(path: &Path) -> Result<Weights, ReadWeightsError> {
    // The reader's own message for a missing file names the pickle, not the file.
    fs::metadata(path).map_err(|source| ReadWeightsError::Io { path: path.into(), source })?;
    let file = PytorchReader::new(path).map_err(|error| ReadWeightsError::Format {
        path: path.into(),
        format: "PyTorch",
        source: error.into(),
    })?;
    collect(path, file.keys(), |name| {
        let Some(tensor) = file.get(name) else {
            return Err(ReadWeightsError::NotAmsUnet { path: path.into() });
        };
        let wide = match tensor.dtype() {
            DType::F32 => false,
            DType::F64 => true,
            other => return Err(type_error(path, name, format!("{other:?}"))),
        };
        let bytes = tensor.read().map_err(|source| ReadWeightsError::Io { path: path.into(), source })?;
        Ok(Raw { shape: tensor.shape().to_vec(), bytes, wide })
    })
}

fn type_error(path: &Path, name: &str, dtype: String) -> ReadWeightsError {
    ReadWeightsError::Type { path: path.into(), name: name.into(), dtype }
}

/// Gathers the tensors below the prefix under which the file keeps the network.
fn collect(
    path: &Path,
    names: Vec<String>,
    read: impl Fn(&str) -> Result<Raw, ReadWeightsError>,
) -> Result<Weights, ReadWeightsError> {
    let prefix = names
        .iter()
        .filter_map(|name| name.strip_suffix(names::FIRST))
        .min_by_key(|prefix| prefix.len())
        .ok_or_else(|| ReadWeightsError::NotAmsUnet { path: path.into() })?;
    let mut tensors = BTreeMap::new();
    for name in &names {
        let Some(published) = name.strip_prefix(prefix).filter(|name| !name.ends_with(IGNORED)) else {
            continue;
        };
        // With no prefix, other parts of the file lie beside the weights; only the network's stages are its own.
        if prefix.is_empty() && !is_stage(published) {
            continue;
        }
        let raw = read(name)?;
        let values: Vec<f32> = if raw.wide {
            raw.bytes.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes) as f32).collect()
        } else {
            raw.bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
        };
        let tensor = ArrayD::from_shape_vec(raw.shape, values).expect("both readers check a tensor's length");
        tensors.insert(published.to_owned(), tensor);
    }
    Ok(Weights { tensors })
}

/// Whether a published name starts with one of the network's stages.
fn is_stage(name: &str) -> bool {
    ["in_conv.", "down", "up", "out_conv."].iter().any(|stage| name.starts_with(stage))
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::amsunet::AmsUnetConfig;

    #[test]
    fn safetensors_round_trip_and_are_reproducible() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("net.safetensors");
        let weights = Weights::of(&AmsUnetConfig::new().with_base_width(4).init(&Device::flex()));
        weights.write(&path, Some(("key", "text".into()))).unwrap();
        let (read, notes) = Weights::read_with_notes(&path).unwrap();
        assert_eq!(read, weights);
        assert_eq!(notes["key"], "text");
        assert_eq!(weights.to_safetensors(None), read.to_safetensors(None));
    }

    #[test]
    fn files_without_weights_are_named_errors() {
        let folder = tempfile::tempdir().unwrap();
        let foreign = folder.path().join("foreign.safetensors");
        let tensor = ArrayD::zeros(vec![1]);
        fs::write(&foreign, safetensors::serialize([("conv.weight", Borrowed(&tensor))], None).unwrap()).unwrap();
        for name in ["text.safetensors", "text.pth"] {
            fs::write(folder.path().join(name), "not weights").unwrap();
        }
        for (name, expected) in [
            ("missing.safetensors", "cannot read weights from"),
            ("missing.pth", "cannot read weights from"),
            ("text.safetensors", "not a safetensors file"),
            ("text.pth", "not a PyTorch file"),
            ("foreign.safetensors", "holds no AMSUnet"),
            ("net.onnx", "expected a file that ends in"),
        ] {
            let message = Weights::read(&folder.path().join(name)).unwrap_err().to_string();
            assert!(message.contains(expected) && message.contains(name), "{name}: {message}");
        }
    }
}
