//! The errors in reading weights from a file.

use std::error::Error;
use std::path::{Path, PathBuf};

use crate::network::{NetworkName, UnknownNetwork};

/// An error in reading weights from a file.
#[derive(Debug, thiserror::Error)]
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
        source: Box<dyn Error + Send + Sync>,
    },
    /// The file is PyTorch's, but its pickle cannot be read.
    #[error(
        "cannot read weights from `{}`: its pickle is damaged or holds an object that is not read; if PyTorch opens the \
         file, save its state dictionary alone with `torch.save`",
        path.display()
    )]
    Pickle {
        /// The file.
        path: PathBuf,
        /// The reader's reason.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The file's name ends in neither of the known endings.
    #[error("cannot read weights from `{}`: expected a file that ends in .safetensors, .pth, .pt, .ckpt or .onnx", path.display())]
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
    /// The file is an exported model whose parameters are not those that were learned.
    #[error(
        "cannot read weights from `{}`: its graph was rewritten and holds other parameters than were learned; take the \
         reference beside the model, whose name ends in `.reference.onnx`",
        path.display()
    )]
    Rewritten {
        /// The file.
        path: PathBuf,
    },
    /// The file holds no weights under a key.
    #[error(
        "cannot read weights from `{}`: it holds none under `{key}`; it holds them under `{}`",
        path.display(), found.join("`, `")
    )]
    Key {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// The keys under which the file holds weights; an empty one is the top of the file.
        found: Vec<String>,
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
    #[error("cannot read `{name}` from `{}`: its type is {dtype}, expected floats of 16, 32 or 64 bits", path.display())]
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

impl ReadWeightsError {
    /// Makes the error of a file that is not what its name says.
    pub(super) fn format(path: &Path, format: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Format { path: path.into(), format, source: source.into() }
    }

    /// Makes the error of a tensor in a type that weights do not have.
    pub(super) fn of_type(path: &Path, name: &str, dtype: String) -> Self {
        Self::Type { path: path.into(), name: name.into(), dtype }
    }
}
