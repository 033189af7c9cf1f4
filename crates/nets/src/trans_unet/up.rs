//! A step of the decoder: twice the size, joined with a skip where there is one.

use burn::config::Config;
use burn::module::Module;
use burn::tensor::ops::PadMode;
use burn::tensor::{Device, Tensor};

use crate::blocks::{DoubleConv, DoubleConvConfig};
use crate::kernels::{concatenate, upsample};

/// Configuration of [`Up`].
#[derive(Config, Debug)]
pub struct UpConfig {
    /// The channels of deep features and skip together.
    pub channels_in: usize,
    /// Output channels.
    pub channels_out: usize,
}

/// `DoubleConv([upsample2(deep), pad(skip)])`.
///
/// The upsampling is bilinear with aligned corners. Where the skip is a row or column smaller,
/// zeros are added to it below and on the right.
#[derive(Module, Debug)]
pub struct Up {
    /// On deep features and skip together.
    pub conv: DoubleConv,
}

impl UpConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> Up {
        Up { conv: DoubleConvConfig::new(self.channels_in, self.channels_out, self.channels_out).init(device) }
    }
}

impl Up {
    /// Computes the block.
    ///
    /// # Shapes
    /// - deep: `[n, c, h / 2, w / 2]`
    /// - skip: `[n, channels_in - c, h, w]`, or a row or column less; none where there is no other
    ///   channel
    /// - output: `[n, channels_out, h, w]`
    pub fn forward(&self, deep: Tensor<4>, skip: Option<Tensor<4>>) -> Tensor<4> {
        let deep = upsample(deep);
        let Some(skip) = skip else { return self.conv.forward(deep) };
        let ([_, _, height, width], [_, _, rows, columns]) = (deep.dims(), skip.dims());
        let skip = match [height - rows, width - columns] {
            [0, 0] => skip,
            [rows, columns] => skip.pad((0, columns, 0, rows), PadMode::Constant(0.0)),
        };
        self.conv.forward(concatenate(vec![deep, skip]))
    }
}
