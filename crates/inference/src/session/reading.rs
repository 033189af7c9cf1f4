//! Reads model files, their contracts, and the weights beside them.

use std::fs;
use std::path::{Component, Path};
use std::sync::Arc;

use seg_contract::Contract;
use seg_onnx::graph::Graph;
use seg_onnx::{Model, ModelError, adopt, proto};

use super::opening::OpenError;

/// Reads a model file and its contract, without ONNX Runtime.
///
/// # Errors
/// When the file cannot be read or is not one that this toolchain wrote.
pub fn read_model(path: &Path) -> Result<Model, OpenError> {
    parse_model(path, &read(path)?)
}

/// Reads the contract of a model file, whose graph another tool may have written.
///
/// # Errors
/// When the file cannot be read or carries no usable contract.
pub fn read_contract(path: &Path) -> Result<Contract, OpenError> {
    Ok(runnable(path, &read(path)?)?.contract)
}

/// Reads a model file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, OpenError> {
    fs::read(path).map_err(|source| OpenError::Read { path: path.into(), source })
}

/// A model as far as running it needs to know it.
#[derive(Debug)]
pub struct Runnable {
    /// The contract.
    pub contract: Contract,
    /// The graph, where it can be read.
    pub graph: Option<Graph>,
    /// A warning if a tool has changed the model since it was exported.
    pub warning: Option<String>,
}

/// Reads a model from the bytes of its file as far as running it needs: the contract. `path` is its
/// name in errors.
///
/// # Errors
/// When the bytes are no ONNX file, or carry no usable contract, or the graph has another input or
/// output.
pub fn runnable(path: &Path, bytes: &[u8]) -> Result<Runnable, OpenError> {
    let refused = |source: ModelError| OpenError::Model { path: path.into(), source: source.into() };
    let unread = match Model::from_bytes(bytes) {
        Ok(model) => {
            let warning = change_warning(path, bytes, &model);
            return Ok(Runnable { contract: model.contract, graph: Some(model.graph), warning });
        }
        // ONNX Runtime says what the types are.
        Err(error @ (ModelError::Read(_) | ModelError::Broken { what: "input's type" | "output's type", .. })) => error,
        Err(error) => return Err(refused(error)),
    };
    let contract = Model::contract_of(bytes).map_err(refused)?;
    if adopt::is_as_adopted(bytes).is_ok_and(|adopted| adopted == Some(true)) {
        return Ok(Runnable { contract, graph: None, warning: None });
    }
    let mut reason = unread.to_string();
    let mut source = std::error::Error::source(&unread);
    while let Some(cause) = source {
        reason += &format!(": {cause}");
        source = cause.source();
    }
    let warning = format!(
        "`{}` was changed after `seg export` wrote it, and its graph is not one that can be read here: {reason}. ONNX \
         Runtime runs it, but `seg inspect` and `seg verify` cannot say what it computes, and what the contract says of \
         it may no longer be true; score it with `seg eval`",
        path.display()
    );
    Ok(Runnable { contract, graph: None, warning: Some(warning) })
}

/// A file beside a model that holds weights.
#[derive(Clone)]
pub(super) struct External {
    /// The name as the model writes it.
    pub(super) name: String,
    pub(super) bytes: Arc<[u8]>,
}

/// Reads the files that hold a model's weights beside it.
pub(super) fn read_external(path: &Path, bytes: &[u8]) -> Result<Vec<External>, OpenError> {
    let refused = |source: ModelError| OpenError::Model { path: path.into(), source: source.into() };
    let names = proto::external_files(bytes).map_err(|error| refused(error.into()))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let read = |name: String| {
        let is_beside =
            Path::new(&name).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if !is_beside {
            return Err(OpenError::External { path: path.into(), name });
        }
        let place = folder.join(&name);
        let bytes = fs::read(&place).map_err(|source| OpenError::Read { path: place, source })?;
        Ok(External { name, bytes: bytes.into() })
    };
    names.into_iter().map(read).collect()
}

/// Parses a model from the bytes of its file; `path` is its name in errors.
pub fn parse_model(path: &Path, bytes: &[u8]) -> Result<Model, OpenError> {
    Model::from_bytes(bytes).map_err(|source| OpenError::Model { path: path.into(), source: source.into() })
}

/// Returns a warning if a tool has changed the model since it was exported; `bytes` are those of
/// its file `path`.
pub fn change_warning(path: &Path, bytes: &[u8], model: &Model) -> Option<String> {
    // A graph that cannot be written again was written by another program.
    let is_as_exported = model.is_as_exported(bytes).unwrap_or(false);
    (!is_as_exported).then(|| {
        format!(
            "`{}` was changed after `seg export` wrote it: its graph and contract are not those that its metadata \
             name, so what the contract says of it may no longer be true; export the model again, or prove what it \
             computes with `seg verify`",
            path.display()
        )
    })
}
