//! The networks as graphs, block by block; each file is the twin of the one of the same name in
//! [`seg_nets`].

mod amsunet;
mod attention_unet;
mod blocks;
mod conv_unext;
mod network;
mod res_unet;
mod res_unet_canonical;
mod seg_next;
mod trans_unet;
mod u_shape;
mod unet;
mod unet_plus_plus;
mod unext;

pub use network::{LowerNetwork, to_graph, value_of_stage};

use burn::nn::PaddingConfig2d;
use burn::nn::conv::{Conv2d, ConvTranspose2d};
use burn::tensor;
use seg_nets::weights::to_array;
use seg_onnx::graph::{BuildError, Conv, Op, Scope, Tensor, Value};
use thiserror::Error;

/// A module that can be written into a graph; `X` is what it computes from.
pub trait Lower<X = Value> {
    /// Adds what `forward` computes from `x`, as the module `name` below `at`.
    ///
    /// # Errors
    /// When the graph cannot express it: a value has the wrong shape, a name is taken, a padding is
    /// not a constant.
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: X) -> Result<Value, LowerError>;
}

/// An error in writing a module into a graph.
#[derive(Debug, Error)]
pub enum LowerError {
    /// The nodes do not fit together.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The padding depends on the size of the image.
    #[error("cannot lower `{name}`: its padding is `Same`, expected `Valid` or `Explicit`")]
    Padding {
        /// The convolution.
        name: String,
    },
    /// A transposed convolution has attributes that graphs do not have.
    #[error("cannot lower `{name}`: a transposed convolution with padding, dilation or groups, expected one without")]
    Transposed {
        /// The convolution.
        name: String,
    },
}

impl Lower for Conv2d {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let pads = match self.padding {
            PaddingConfig2d::Valid => [0; 4],
            PaddingConfig2d::Explicit(top, left, bottom, right) => [top, left, bottom, right],
            PaddingConfig2d::Same => return Err(LowerError::Padding { name: at.path_of(name) }),
        };
        Ok(convolve(self, at, name, x, pads)?)
    }
}

/// Adds a convolution without its padding, for a map that is padded otherwise.
fn conv_unpadded(conv: &Conv2d, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
    Ok(convolve(conv, at, name, x, [0; 4])?)
}

fn convolve(layer: &Conv2d, at: &mut Scope<'_>, name: &str, x: Value, pads: [usize; 4]) -> Result<Value, BuildError> {
    let conv = Conv { strides: layer.stride, pads, dilations: layer.dilation, group: layer.groups };
    let bias = layer.bias.as_ref().map(|bias| constant(bias.val()));
    at.conv(name, x, constant(layer.weight.val()), bias, conv)
}

impl Lower for ConvTranspose2d {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let plain = (self.padding, self.padding_out, self.dilation, self.groups);
        if plain != ([0; 2], [0; 2], [1; 2], 1) {
            return Err(LowerError::Transposed { name: at.path_of(name) });
        }
        let bias = self.bias.as_ref().map(|bias| constant(bias.val()));
        Ok(at.conv_transpose(name, x, constant(self.weight.val()), bias, self.stride)?)
    }
}

/// Adds a parameter that the network computes a constant from, as it was learned: the graph then
/// holds all parameters. Nothing reads it, so that the passes drop it.
fn keep(at: &mut Scope<'_>, name: &str, values: Tensor) -> Result<(), LowerError> {
    let parameter = at.constant(name, values)?;
    at.node(&format!("{name}_as_learned"), Op::Identity, &[parameter])?;
    Ok(())
}

/// Returns the values of a parameter.
fn constant<const D: usize>(values: tensor::Tensor<D>) -> Tensor {
    let values = to_array(values);
    let elements: Vec<f32> = values.iter().copied().collect();
    Tensor::new(values.shape(), elements).expect("an array has as many elements as its shape says")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use burn::nn::conv::Conv2dConfig;
    use burn::tensor::Device;
    use seg_onnx::graph::{Dim, GraphBuilder};

    use super::*;

    /// The folders of the networks' crate that hold no blocks.
    const NO_NETWORKS: [&str; 3] = ["kernels", "network", "weights"];

    /// The files of a network's folder that hold no block: the names of its parameters, its
    /// options, its pass without gradients.
    const NO_BLOCKS: [&str; 3] = ["names.rs", "options.rs", "inference.rs"];

    /// Returns the files below a folder of this crate, by their paths in it.
    fn files(folder: &str) -> BTreeSet<PathBuf> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let mut folders = vec![root.clone()];
        let mut files = BTreeSet::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.insert(path.strip_prefix(&root).unwrap().to_owned());
                }
            }
        }
        files
    }

    #[test]
    fn each_block_has_its_twin() {
        let nets = files("../crates/nets/src");
        let [lowered, networks] = [files("src/lower"), nets].map(|files| {
            let blocks = files.into_iter().filter(|file| !NO_NETWORKS.iter().any(|folder| file.starts_with(folder)));
            let blocks = blocks.filter(|file| !NO_BLOCKS.iter().any(|name| file.ends_with(name)));
            blocks.filter(|file| file.components().count() > 1).collect::<BTreeSet<_>>()
        });
        assert_eq!(lowered, networks);
        assert!(lowered.contains(Path::new("amsunet/up.rs")), "{lowered:?}");
    }

    #[test]
    fn a_padding_that_depends_on_the_image_is_refused() {
        let conv = Conv2dConfig::new([1, 1], [2, 2]).with_padding(PaddingConfig2d::Same).init(&Device::flex());
        let mut builder = GraphBuilder::new("test");
        let x = builder.input("input", [Dim::batch(), Dim::from(1), Dim::height(), Dim::width()]).unwrap();
        let error = conv.lower(&mut builder.root().scope("block"), "conv", x).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot lower `block.conv`: its padding is `Same`, expected `Valid` or `Explicit`"
        );
    }
}
