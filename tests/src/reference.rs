//! The numbers that PyTorch computes, which the networks of this toolchain must reproduce.
//!
//! They come from the network as its authors publish it, with random weights and statistics, in
//! float32 on a CPU. Those of base width 8 are committed; `SEG_REFERENCE` names a folder with
//! others. A folder holds the weights as `weights.safetensors` and, in PyTorch's own format, as
//! `checkpoint.pth`; and in `activations.safetensors`
//!
//! - `even.*` (two images of 64x96) and `odd.*` (one of 71x93): `input`, every stage, some modules
//!   inside by their published names, `logits`, and `logits_f64` of the same weights in float64;
//! - `train.*`: a batch, `losses` of five steps of AdamW (total, cross entropy, Dice), and the
//!   parameters after them (`after5.*`); `grad.*`: the gradients of the first step.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

use burn::tensor::Device;
use ndarray::ArrayD;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use seg_nets::network::NetworkName;
use seg_nets::trans_unet::TransUNetConfig;
use seg_nets::weights::Weights;

use crate::formula;

/// The variable that names a folder to be used instead of the committed one.
pub const REFERENCE_VARIABLE: &str = "SEG_REFERENCE";

/// PyTorch's numbers.
pub struct Reference {
    /// The folder that holds them.
    pub folder: PathBuf,
    /// The network's weights.
    pub weights: Weights,
    tensors: BTreeMap<String, ArrayD<f64>>,
}

impl Reference {
    /// Reads those of AMSUnet.
    ///
    /// # Panics
    /// When a file is missing or damaged.
    pub fn open() -> Self {
        let committed = || Path::new(env!("CARGO_MANIFEST_DIR")).join("data/reference-small");
        Self::read(env::var_os(REFERENCE_VARIABLE).map_or_else(committed, PathBuf::from))
    }

    /// Reads those of a network of the zoo.
    ///
    /// # Panics
    /// When a file is missing or damaged.
    pub fn zoo(network: NetworkName) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/reference-zoo").join(network.as_str());
        if network != NetworkName::TransUNet {
            return Self::read(folder);
        }
        // Even a small one has a million parameters.
        let config = TransUNetConfig {
            side: 64,
            width: 32,
            units: [1, 2, 1],
            hidden: 96,
            layers: 2,
            mlp: 160,
            more: 64,
            decoder: [32, 24, 16, 8],
            ..TransUNetConfig::new()
        };
        let weights = Weights::from_network(&formula::network(&config.into(), &Device::flex()));
        let tensors = read(&folder.join("activations.safetensors"));
        Self { folder, weights, tensors }
    }

    fn read(folder: PathBuf) -> Self {
        let weights = Weights::read(&folder.join("weights.safetensors")).unwrap_or_else(|error| panic!("{error}"));
        let tensors = read(&folder.join("activations.safetensors"));
        Self { folder, weights, tensors }
    }

    /// Reads the tensors of another file of the folder.
    ///
    /// # Panics
    /// When it is missing or damaged.
    pub fn others(&self, file: &str) -> BTreeMap<String, ArrayD<f64>> {
        read(&self.folder.join(file))
    }

    /// Returns the tensor of a name.
    ///
    /// # Panics
    /// When there is none.
    pub fn tensor(&self, name: &str) -> &ArrayD<f64> {
        self.tensors.get(name).unwrap_or_else(|| panic!("`{}` holds no tensor `{name}`", self.folder.display()))
    }

    /// Returns the tensors below a prefix, by the rest of their names.
    pub fn below(&self, prefix: &str) -> BTreeMap<&str, &ArrayD<f64>> {
        let tensors = self.tensors.iter();
        tensors.filter_map(|(name, tensor)| Some((name.strip_prefix(prefix)?, tensor))).collect()
    }
}

/// Reads all tensors of a file. Labels are floats too, which hold them exactly.
fn read(path: &Path) -> BTreeMap<String, ArrayD<f64>> {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file = SafeTensors::deserialize(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    file.iter().map(|(name, tensor)| (name.to_owned(), values(&tensor))).collect()
}

fn values(tensor: &TensorView<'_>) -> ArrayD<f64> {
    let bytes = tensor.data();
    let values = match tensor.dtype() {
        Dtype::F32 => bytes.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value).into()).collect(),
        Dtype::F64 => bytes.as_chunks().0.iter().map(|value| f64::from_le_bytes(*value)).collect(),
        Dtype::I64 => bytes.as_chunks().0.iter().map(|value| i64::from_le_bytes(*value) as f64).collect(),
        other => panic!("a reference holds no tensors of {other:?}"),
    };
    ArrayD::from_shape_vec(tensor.shape(), values).expect("the reader has checked the length against the shape")
}
