//! A convolution whose filters are standardised.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::PaddingConfig2d;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::{Device, Tensor};

use crate::kernels::convolution;

/// Added to the variance.
const EPSILON: f64 = 1e-5;

/// Configuration of [`StandardConv`].
#[derive(Config, Debug)]
pub struct StandardConvConfig {
    /// Input channels.
    pub channels_in: usize,
    /// Output channels.
    pub channels_out: usize,
    /// The side of the kernel, odd.
    pub kernel: usize,
    /// The step along both axes.
    pub stride: usize,
}

/// A convolution without bias, of filters minus their mean over their root of (variance + epsilon):
/// mean and biased variance over the weights of each filter. Zeros are added at the border, half of
/// the kernel.
#[derive(Module, Debug)]
pub struct StandardConv {
    /// `[channels_out, channels_in, kernel, kernel]`, before it is standardised
    pub weight: Param<Tensor<4>>,
    /// The step along both axes.
    pub stride: usize,
}

impl StandardConvConfig {
    /// Makes the layer with fresh weights.
    pub fn init(&self, device: &Device) -> StandardConv {
        let conv = Conv2dConfig::new([self.channels_in, self.channels_out], [self.kernel, self.kernel]);
        StandardConv { weight: conv.with_bias(false).init(device).weight, stride: self.stride }
    }
}

impl StandardConv {
    /// Computes the layer.
    ///
    /// # Shapes
    /// - input: `[n, channels_in, h, w]`
    /// - output: `[n, channels_out, ceil(h / stride), ceil(w / stride)]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        convolution(&self.standardized(), x)
    }

    /// Returns the convolution of the standardised filters.
    pub fn standardized(&self) -> Conv2d {
        let [channels_out, channels_in, kernel, _] = self.weight.dims();
        let filters = self.weight.val().reshape([channels_out, channels_in * kernel * kernel]);
        let filters = filters.clone() - filters.mean_dim(1);
        let variance = filters.clone().square().mean_dim(1);
        let filters = filters / (variance + EPSILON).sqrt();
        Conv2d {
            weight: Param::initialized(self.weight.id, filters.reshape([channels_out, channels_in, kernel, kernel])),
            bias: None,
            stride: [self.stride; 2],
            kernel_size: [kernel; 2],
            dilation: [1, 1],
            groups: 1,
            padding: PaddingConfig2d::Explicit(kernel / 2, kernel / 2, kernel / 2, kernel / 2),
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;

    #[test]
    fn filters_have_mean_zero_and_the_biased_variance_one() {
        let device = Device::flex();
        let mut conv = StandardConvConfig::new(2, 1, 1, 1).init(&device);
        conv.weight = Param::from_data([[[[5.0]], [[9.0]]]], &device);
        let y = conv.forward(Tensor::from_data([[[[0.0]], [[3.0]]]], &device)).into_data();
        y.assert_approx_eq::<f32>(&TensorData::from([[[[3.0]]]]), burn::tensor::Tolerance::absolute(1e-5));
    }
}
