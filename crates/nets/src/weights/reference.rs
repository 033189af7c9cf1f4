//! Weights out of the reference of an exported model: its graph before any rewrite, which holds
//! every parameter as it was learned.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use burn::tensor::Device;
use seg_onnx::Model;

use super::file::{Float, Raw, collect};
use super::safetensors::named_network;
use super::{CONTRACT_KEY, ReadWeightsError, WeightsFile};

/// Reads a `.reference.onnx` file as [`Weights::read_file`](super::Weights::read_file), with the
/// model's contract as its note.
pub(super) fn read_reference(path: &Path, key: Option<&str>) -> Result<WeightsFile, ReadWeightsError> {
    let bytes = fs::read(path).map_err(|source| ReadWeightsError::Io { path: path.into(), source })?;
    let Model { graph, contract, .. } =
        Model::from_bytes(&bytes).map_err(|source| ReadWeightsError::format(path, "reference", source))?;
    let notes = HashMap::from([(CONTRACT_KEY.to_owned(), contract.to_json())]);
    let named = named_network(&notes).map_err(|source| ReadWeightsError::Unknown { path: path.into(), source })?;
    let Some((network, _)) = named else {
        return Err(ReadWeightsError::NoNetwork { path: path.into() });
    };
    // The graph has them by their paths in the network.
    let published = network.published().name;
    let held: BTreeMap<_, _> =
        graph.initializers.iter().filter_map(|(name, values)| Some((published(name)?, values))).collect();
    let tensors = held.iter().map(|(name, values)| (name.clone(), values.shape().len())).collect();
    let (weights, part) = collect(path, named, key, tensors, |name| {
        let values = held[name].as_f32().ok_or_else(|| ReadWeightsError::Rewritten { path: path.into() })?;
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Ok(Raw { shape: held[name].shape().to_vec(), bytes, float: Float::F32 })
    })?;
    // Passes change parameters, and leave names behind that mean something else.
    weights.to_network(&Device::flex()).map_err(|_| ReadWeightsError::Rewritten { path: path.into() })?;
    Ok(WeightsFile { weights, notes, part })
}
