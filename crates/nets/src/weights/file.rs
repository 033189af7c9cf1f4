//! Weights in files: `.safetensors` both ways, PyTorch's `.pth` to read.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use ndarray::ArrayD;
use pytorch_reader::{DType, PytorchReader};
use safetensors::{Dtype, SafeTensorError, SafeTensors, View};
use seg_data::{WriteError, write_bytes};
use serde_json::Value;
use thiserror::Error;

use super::Weights;
use crate::network::{NetworkName, UnknownNetwork};

/// Counters that PyTorch's BatchNorm keeps and that nothing here uses.
const IGNORED: &str = "num_batches_tracked";

/// An error in reading weights from a file.
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
    /// The names of the tensors are those of no network.
    #[error("cannot read weights from `{}`: its tensors' names are those of none of the networks {}", path.display(), titles())]
    NoNetwork {
        /// The file.
        path: PathBuf,
    },
    /// The file names a network that is unknown.
    #[error("cannot read weights from `{}`", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The name.
        source: UnknownNetwork,
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

/// Returns the names of all networks as people write them.
fn titles() -> String {
    NetworkName::ALL.map(NetworkName::title).join(", ")
}

/// The key under which a `.safetensors` file carries its contract.
pub const CONTRACT_KEY: &str = "contract";

/// The key under which a `.safetensors` file names the network of its weights. It is left out where
/// the file carries a note, as its contract names the network too, and in files of the first
/// network.
const NETWORK_KEY: &str = "network";

/// A tensor as a file holds it: its shape and its little-endian bytes, eight a value if `wide`,
/// else four.
struct Raw {
    shape: Vec<usize>,
    bytes: Vec<u8>,
    wide: bool,
}

impl Weights {
    /// Reads the weights of a `.safetensors`, `.pth` or `.pt` file.
    ///
    /// The weights may lie under any prefix (`model.` in the authors' files, `module.` after
    /// data-parallel training); whatever else a file holds, such as an optimizer, is left alone.
    /// The network is the one that the file names, or else the one whose parameters it holds.
    ///
    /// # Errors
    /// When the file cannot be read, is not of the format that its name implies, or holds no
    /// network.
    pub fn read(path: &Path) -> Result<Self, ReadWeightsError> {
        Ok(Self::read_with_notes(path)?.0)
    }

    /// Reads weights as [`read`](Self::read), with the texts that a `.safetensors` file carries
    /// beside its tensors, by their keys.
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

    /// Returns the bytes of a `.safetensors` file with one note; equal weights and notes give equal
    /// bytes.
    pub fn to_safetensors(&self, note: Option<(&str, String)>) -> Vec<u8> {
        let tensors = self.tensors.iter().map(|(name, tensor)| (name.as_str(), Borrowed(tensor)));
        // With one entry the order of the map cannot show in the bytes.
        let name = (self.network != NetworkName::ALL[0]).then(|| (NETWORK_KEY, self.network.to_string()));
        let notes = note.or(name).map(|(key, text)| HashMap::from([(key.to_owned(), text)]));
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
    let format = |error: SafeTensorError| format_error(path, "safetensors", error);
    let file = SafeTensors::deserialize(&bytes).map_err(format)?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(format)?;
    let notes = header.metadata().clone().unwrap_or_default();
    let named = named_network(&notes).map_err(|source| ReadWeightsError::Unknown { path: path.into(), source })?;
    let names = file.names().into_iter().map(str::to_owned).collect();
    let weights = collect(path, named, names, |name| {
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
    let file = PytorchReader::new(path).map_err(|error| format_error(path, "PyTorch", error))?;
    collect(path, None, file.keys(), |name| {
        let Some(tensor) = file.get(name) else {
            return Err(ReadWeightsError::NoNetwork { path: path.into() });
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

fn format_error(
    path: &Path,
    format: &'static str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> ReadWeightsError {
    ReadWeightsError::Format { path: path.into(), format, source: source.into() }
}

fn type_error(path: &Path, name: &str, dtype: String) -> ReadWeightsError {
    ReadWeightsError::Type { path: path.into(), name: name.into(), dtype }
}

/// Returns the network that a file names, by itself or in its contract.
fn named_network(notes: &HashMap<String, String>) -> Result<Option<NetworkName>, UnknownNetwork> {
    let contract = notes.get(CONTRACT_KEY).and_then(|text| serde_json::from_str::<Value>(text).ok());
    let of_contract = contract.as_ref().and_then(|contract| contract["provenance"]["network"].as_str());
    let name = notes.get(NETWORK_KEY).map(String::as_str).or(of_contract).filter(|name| !name.is_empty());
    name.map(str::parse).transpose()
}

/// Gathers the tensors of the named network, or else of the one of which the file has most marks,
/// below the prefix under which the file keeps them.
fn collect(
    path: &Path,
    named: Option<NetworkName>,
    names: Vec<String>,
    read: impl Fn(&str) -> Result<Raw, ReadWeightsError>,
) -> Result<Weights, ReadWeightsError> {
    let candidates = NetworkName::ALL.into_iter().filter(|network| named.is_none_or(|named| named == *network));
    let found = candidates.filter_map(|network| Some((network, network.published().prefix(&names)?)));
    let (network, prefix) = found
        .max_by_key(|(network, _)| network.published().marks.len())
        .ok_or_else(|| ReadWeightsError::NoNetwork { path: path.into() })?;
    let mut tensors = BTreeMap::new();
    for name in &names {
        let Some(published) = name.strip_prefix(prefix).filter(|name| !name.ends_with(IGNORED)) else {
            continue;
        };
        // With no prefix, other parts of the file lie beside the weights.
        if prefix.is_empty() && !network.published().has_root(published) {
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
    Ok(Weights::new(network, tensors))
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::amsunet::AmsUnetConfig;
    use crate::unet::UNetConfig;

    #[test]
    fn a_file_is_of_the_network_that_it_names_or_whose_parameters_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("net.safetensors");
        let device = Device::flex();
        let amsunet = Weights::from_network(&AmsUnetConfig::new().with_base_width(4).init(&device));
        let unet = Weights::from_network(&UNetConfig::new().with_base_width(2).init(&device));
        let contract = r#"{ "provenance": { "network": "unet" } }"#;
        for (name, weights, note) in [
            ("AMSUnet", &amsunet, None),
            ("U-Net by its name", &unet, None),
            ("U-Net by its contract", &unet, Some((CONTRACT_KEY, contract.to_owned()))),
            ("U-Net by its parameters", &unet, Some(("key", "text".into()))),
        ] {
            weights.write(&path, note).unwrap();
            let (read, notes) = Weights::read_with_notes(&path).unwrap();
            assert_eq!(&read, weights, "{name}");
            assert_eq!(notes.contains_key(NETWORK_KEY), name == "U-Net by its name", "{name}");
        }
        amsunet.write(&path, Some((NETWORK_KEY, "vnet".into()))).unwrap();
        let error = Weights::read(&path).unwrap_err();
        assert!(matches!(error, ReadWeightsError::Unknown { .. }), "{error:?}");
    }

    #[test]
    fn safetensors_round_trip_and_are_reproducible() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("net.safetensors");
        let weights = Weights::from_network(&AmsUnetConfig::new().with_base_width(4).init(&Device::flex()));
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
        let no_network =
            format!("those of none of the networks {}", NetworkName::ALL.map(NetworkName::title).join(", "));
        for (name, expected) in [
            ("missing.safetensors", "cannot read weights from"),
            ("missing.pth", "cannot read weights from"),
            ("text.safetensors", "not a safetensors file"),
            ("text.pth", "not a PyTorch file"),
            ("foreign.safetensors", no_network.as_str()),
            ("net.onnx", "expected a file that ends in"),
        ] {
            let message = Weights::read(&folder.path().join(name)).unwrap_err().to_string();
            assert!(message.contains(expected) && message.contains(name), "{name}: {message}");
        }
    }
}
