//! A linear map of the channels, with its weight as PyTorch's `Linear` has it.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::{Device, Tensor};

use crate::kernels::linear;

/// Configuration of [`Linear`].
#[derive(Config, Debug)]
pub struct LinearConfig {
    /// Input channels.
    pub channels_in: usize,
    /// Output channels.
    pub channels_out: usize,
}

/// `y = W x + b` at every pixel: a 1x1 convolution whose weight has two axes.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[channels_out, channels_in]`
    pub weight: Param<Tensor<2>>,
    /// `[channels_out]`
    pub bias: Param<Tensor<1>>,
}

impl LinearConfig {
    /// Makes the layer with PyTorch's fresh weights: uniform up to `1 / sqrt(channels_in)`.
    pub fn init(&self, device: &Device) -> Linear {
        let bound = 1.0 / (self.channels_in as f64).sqrt();
        self.init_with(&Initializer::Uniform { min: -bound, max: bound }, None, device)
    }

    /// Makes the layer with weights, and a bias where it differs, as initialisers draw them.
    pub fn init_with(&self, weight: &Initializer, bias: Option<&Initializer>, device: &Device) -> Linear {
        Linear {
            weight: weight.init([self.channels_out, self.channels_in], device),
            bias: bias.unwrap_or(weight).init([self.channels_out], device),
        }
    }
}

impl Linear {
    /// Returns the layer that computes `count` of the channels from `first` on.
    pub(crate) fn rows(&self, first: usize, count: usize) -> Self {
        Self {
            weight: Param::initialized(self.weight.id, self.weight.val().narrow(0, first, count)),
            bias: Param::initialized(self.bias.id, self.bias.val().narrow(0, first, count)),
        }
    }

    /// Computes the layer.
    ///
    /// # Shapes
    /// - input: `[n, channels_in, h, w]`
    /// - output: `[n, channels_out, h, w]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        linear(&self.weight, &self.bias, x)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{TensorData, Tolerance};

    use super::*;

    #[test]
    fn the_weight_is_that_of_pytorch() {
        for device in [Device::flex(), Device::flex().autodiff()] {
            let mut layer = LinearConfig::new(2, 3).init(&device);
            layer.weight = Param::from_data([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], &device);
            layer.bias = Param::from_data([0.5, 0.0, -1.0], &device);
            let y = layer.forward(Tensor::from_data([[[[1.0, 0.0]], [[10.0, 1.0]]]], &device));
            let expected = TensorData::from([[[[21.5, 2.5]], [[43.0, 4.0]], [[64.0, 5.0]]]]);
            y.into_data().assert_approx_eq::<f32>(&expected, Tolerance::default());
        }
    }
}
