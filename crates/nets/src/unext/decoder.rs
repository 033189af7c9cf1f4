//! A step of the decoder that convolves: twice the size, and the skip added.

use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use super::encoder::conv3x3;
use crate::blocks::{BatchNorm, BatchNormConfig};
use crate::kernels::{convolution, resize_half_pixel};

/// Configuration of [`Decoder`].
#[derive(Config, Debug)]
pub struct DecoderConfig {
    /// Input channels.
    pub channels_in: usize,
    /// Output channels.
    pub channels_out: usize,
}

/// `ReLU(upsample2(BN(conv3x3(deep)))) + skip`, the upsampling bilinear by the borders of pixels.
#[derive(Module, Debug)]
pub struct Decoder {
    /// `[channels_out, channels_in, 3, 3]`
    pub conv: Conv2d,
    /// After the convolution.
    pub norm: BatchNorm,
}

impl DecoderConfig {
    /// Makes the block with fresh weights.
    pub fn init(&self, device: &Device) -> Decoder {
        Decoder {
            conv: conv3x3([self.channels_in, self.channels_out], device),
            norm: BatchNormConfig::new(self.channels_out).init(device),
        }
    }
}

impl Decoder {
    /// Computes the block.
    ///
    /// # Shapes
    /// - deep: `[n, channels_in, h / 2, w / 2]`
    /// - skip: `[n, channels_out, h, w]`
    /// - output: `[n, channels_out, h, w]`
    pub fn forward(&self, deep: Tensor<4>, skip: Tensor<4>) -> Tensor<4> {
        let [_, _, height, width] = skip.dims();
        let deep = self.norm.forward(convolution(&self.conv, deep));
        let deep = resize_half_pixel(deep, [height, width]);
        relu(deep) + skip
    }
}
