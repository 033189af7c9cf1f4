//! Weights as `.safetensors`, with the notes that such a file carries.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::path::Path;

use ndarray::ArrayD;
use safetensors::{Dtype, SafeTensorError, SafeTensors, View};
use serde_json::Value;

use super::file::{Float, NamedNetwork, Raw, collect};
use super::{ReadWeightsError, Weights, WeightsFile};
use crate::network::{NetworkName, UnknownNetwork};

/// The key under which a `.safetensors` file carries its contract.
pub const CONTRACT_KEY: &str = "contract";

/// The key under which a `.safetensors` file names the network of its weights, followed by the
/// options that differ from their defaults. It is left out where the file carries a note, as its
/// contract names both too, and in files of the first network without options.
pub(super) const NETWORK_KEY: &str = "network";

impl Weights {
    /// Returns the bytes of a `.safetensors` file with one note; equal weights and notes give equal
    /// bytes.
    pub fn to_safetensors(&self, note: Option<(&str, String)>) -> Vec<u8> {
        let tensors = self.tensors.iter().map(|(name, tensor)| (name.as_str(), Borrowed(tensor)));
        // With one entry the order of the map cannot show in the bytes.
        let is_first = self.network == NetworkName::ALL[0] && self.options.is_empty();
        let name = (!is_first).then(|| (NETWORK_KEY, network_note(self)));
        let notes = note.or(name).map(|(key, text)| HashMap::from([(key.to_owned(), text)]));
        safetensors::serialize(tensors, notes).expect("names are unique and tensors are whole")
    }
}

/// Returns the name of a network with its options, for example `amsunet norm=bb,residual=o`.
fn network_note(weights: &Weights) -> String {
    let options: Vec<_> = weights.options.iter().map(|(name, value)| format!("{name}={value}")).collect();
    [weights.network.to_string(), options.join(",")].join(" ").trim_end().to_owned()
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

/// Reads a `.safetensors` file as [`Weights::read_file`].
pub(super) fn read_safetensors(path: &Path, key: Option<&str>) -> Result<WeightsFile, ReadWeightsError> {
    let bytes = fs::read(path).map_err(|source| ReadWeightsError::Io { path: path.into(), source })?;
    let format = |error: SafeTensorError| ReadWeightsError::format(path, "safetensors", error);
    let file = SafeTensors::deserialize(&bytes).map_err(format)?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(format)?;
    let notes = header.metadata().clone().unwrap_or_default();
    let named = named_network(&notes).map_err(|source| ReadWeightsError::Unknown { path: path.into(), source })?;
    let tensors = file.iter().map(|(name, tensor)| (name.to_owned(), tensor.shape().len())).collect();
    let (weights, part) = collect(path, named, key, tensors, |name| {
        let tensor = file.tensor(name).map_err(format)?;
        let float = match tensor.dtype() {
            Dtype::F16 => Float::F16,
            Dtype::BF16 => Float::Bf16,
            Dtype::F32 => Float::F32,
            Dtype::F64 => Float::F64,
            other => return Err(ReadWeightsError::of_type(path, name, format!("{other:?}"))),
        };
        Ok(Raw { shape: tensor.shape().to_vec(), bytes: tensor.data().to_vec(), float })
    })?;
    Ok(WeightsFile { weights, notes, part })
}

/// Returns the network that a file names, by itself or in its contract, and the options that it is
/// said to have there.
pub(super) fn named_network(notes: &HashMap<String, String>) -> Result<Option<NamedNetwork>, UnknownNetwork> {
    let contract = notes.get(CONTRACT_KEY).and_then(|text| serde_json::from_str::<Value>(text).ok());
    let of_contract = |fact: &str| contract.as_ref().and_then(|contract| contract["provenance"][fact].as_str());
    let (name, settings) = match notes.get(NETWORK_KEY) {
        Some(note) => note.split_once(' ').unwrap_or((note, "")),
        None => (of_contract("network").unwrap_or_default(), of_contract("configuration").unwrap_or_default()),
    };
    if name.is_empty() {
        return Ok(None);
    }
    let name: NetworkName = name.parse()?;
    let settings = settings.split(',').filter_map(|setting| setting.split_once('='));
    let is_option = |setting: &str| name.options().iter().any(|option| option.name == setting);
    let options = settings.filter(|(setting, _)| is_option(setting));
    Ok(Some((name, options.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())))
}
