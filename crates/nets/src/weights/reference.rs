//! Weights out of the reference of an exported model: its graph before any rewrite, which holds
//! every parameter as it was learned, by its path in the network.
//!
//! Only tensors and notes are read of the file's messages: the computation does not matter here,
//! and this crate knows no graphs.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use burn::tensor::Device;
use prost::Message;

use super::file::{Float, Raw, collect};
use super::safetensors::named_network;
use super::{CONTRACT_KEY, ReadWeightsError, WeightsFile};

/// The key of a model's metadata that holds its contract, as `seg-onnx` writes it.
const MODEL_CONTRACT_KEY: &str = "seg.contract";

/// An ONNX file, as far as it is read.
#[derive(Message)]
struct Model {
    #[prost(message, optional, tag = "7")]
    graph: Option<Graph>,
    #[prost(message, repeated, tag = "14")]
    metadata: Vec<Note>,
}

/// A note on the model.
#[derive(Message)]
struct Note {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

/// The constants of a graph.
#[derive(Message)]
struct Graph {
    #[prost(message, repeated, tag = "5")]
    initializers: Vec<Constant>,
}

/// A constant, its elements little endian.
#[derive(Message)]
struct Constant {
    #[prost(int64, repeated, packed = "false", tag = "1")]
    sides: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(bytes = "vec", tag = "9")]
    elements: Vec<u8>,
}

impl Constant {
    /// The data type of `float32`, the only one in which a reference holds parameters.
    const F32: i32 = 1;

    /// Returns the shape, if the elements are `float32` and fill it.
    fn shape(&self) -> Option<Vec<usize>> {
        let sides = self.sides.iter().map(|side| usize::try_from(*side).ok());
        let shape: Vec<usize> = sides.collect::<Option<_>>()?;
        let bytes = shape.iter().try_fold(size_of::<f32>(), |bytes, side| bytes.checked_mul(*side))?;
        (self.data_type == Self::F32 && bytes == self.elements.len()).then_some(shape)
    }
}

/// Reads a `.reference.onnx` file as [`Weights::read_file`](super::Weights::read_file), with the
/// model's contract as its note.
pub(super) fn read_reference(path: &Path, key: Option<&str>) -> Result<WeightsFile, ReadWeightsError> {
    let bytes = fs::read(path).map_err(|source| ReadWeightsError::Io { path: path.into(), source })?;
    let Model { graph, metadata } =
        Model::decode(bytes.as_slice()).map_err(|source| ReadWeightsError::format(path, "reference", source))?;
    let contract = metadata.into_iter().find(|note| note.key == MODEL_CONTRACT_KEY);
    let notes: HashMap<_, _> = contract.into_iter().map(|note| (CONTRACT_KEY.to_owned(), note.value)).collect();
    let named = named_network(&notes).map_err(|source| ReadWeightsError::Unknown { path: path.into(), source })?;
    let Some((network, _)) = named else {
        return Err(ReadWeightsError::NoNetwork { path: path.into() });
    };
    let published = network.published().name;
    let held: BTreeMap<_, _> = graph
        .unwrap_or_default()
        .initializers
        .into_iter()
        .filter_map(|constant| Some((published(&constant.name)?, (constant.shape()?, constant.elements))))
        .collect();
    let tensors = held.iter().map(|(name, (shape, _))| (name.clone(), shape.len())).collect();
    let rewritten = || ReadWeightsError::Rewritten { path: path.into() };
    let read = collect(path, named, key, tensors, |name| {
        let (shape, bytes) = &held[name];
        Ok(Raw { shape: shape.clone(), bytes: bytes.clone(), float: Float::F32 })
    });
    // Passes change parameters, and leave names behind that mean something else.
    let (weights, part) = match read {
        Err(ReadWeightsError::NoNetwork { .. }) => return Err(rewritten()),
        read => read?,
    };
    weights.to_network(&Device::flex()).map_err(|_| rewritten())?;
    Ok(WeightsFile { weights, notes, part })
}
