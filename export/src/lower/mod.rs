//! The networks as graphs, block by block; each file is the twin of the one of the same name in [`seg_train::model`].

mod batch_norm;
mod strip;

mod ams;
mod attention;
mod ffn;

mod amse;
mod rsc;

mod down;
mod stem;
mod up;

mod amsunet;

pub use amsunet::to_graph;

use burn::nn::PaddingConfig2d;
use burn::nn::conv::Conv2d;
use burn::tensor;
use seg_onnx::graph::{BuildError, Conv, Scope, Tensor, Value};
use seg_train::weights::to_array;
use thiserror::Error;

/// A module that can be written into a graph; `X` is what it computes from.
pub trait Lower<X = Value> {
    /// Adds what `forward` computes from `x`, as the module `name` below `at`.
    ///
    /// # Errors
    /// When the graph cannot express it: a value has the wrong shape, a name is taken, a padding is not a constant.
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: X) -> Result<Value, LowerError>;
}

/// Why a module cannot be written into a graph.
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
}

impl Lower for Conv2d {
    fn lower(&self, at: &mut Scope<'_>, name: &str, x: Value) -> Result<Value, LowerError> {
        let pads = match self.padding {
            PaddingConfig2d::Valid => [0; 4],
            PaddingConfig2d::Explicit(top, left, bottom, right) => [top, left, bottom, right],
            PaddingConfig2d::Same => return Err(LowerError::Padding { name: at.path_of(name) }),
        };
        let conv = Conv { strides: self.stride, pads, dilations: self.dilation, group: self.groups };
        let bias = self.bias.as_ref().map(|bias| constant(bias.val()));
        Ok(at.conv(name, x, constant(self.weight.val()), bias, conv)?)
    }
}

/// The values of a parameter.
fn constant<const D: usize>(values: tensor::Tensor<D>) -> Tensor {
    let values = to_array(values);
    let elements: Vec<f32> = values.iter().copied().collect();
    Tensor::new(values.shape(), elements).expect("an array has as many elements as its shape says")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use burn::nn::conv::Conv2dConfig;
    use burn::tensor::Device;
    use seg_onnx::graph::{Dim, GraphBuilder};

    use super::*;

    #[test]
    fn each_block_has_its_twin() {
        let blocks = |folder: &str| -> BTreeSet<_> {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
            fs::read_dir(folder).unwrap().map(|file| file.unwrap().path().file_stem().unwrap().to_owned()).collect()
        };
        assert_eq!(blocks("src/lower"), blocks("../train/src/model"));
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
