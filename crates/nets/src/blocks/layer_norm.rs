//! Layer normalisation: of the channels of each pixel.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::{Device, Tensor};

use crate::kernels::in_float32;

/// Configuration of [`LayerNorm`].
#[derive(Config, Debug)]
pub struct LayerNormConfig {
    /// The number of channels.
    pub channels: usize,
    /// Added to the variance.
    #[config(default = 1e-5)]
    pub epsilon: f64,
}

/// `(x - mean) / sqrt(var + epsilon) * weight + bias`, mean and biased variance over the channels
/// of each pixel.
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// `[channels]`
    pub weight: Param<Tensor<1>>,
    /// `[channels]`
    pub bias: Param<Tensor<1>>,
    /// Added to the variance.
    pub epsilon: f64,
}

impl LayerNormConfig {
    /// Makes the layer with weight 1 and bias 0.
    pub fn init(&self, device: &Device) -> LayerNorm {
        LayerNorm {
            weight: Initializer::Ones.init([self.channels], device),
            bias: Initializer::Zeros.init([self.channels], device),
            epsilon: self.epsilon,
        }
    }
}

impl LayerNorm {
    /// Computes the layer.
    ///
    /// # Shapes
    /// - input: `[n, c, h, w]`
    /// - output: `[n, c, h, w]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        in_float32(x, |x| {
            let [weight, bias] = [&self.weight, &self.bias].map(|values| values.val().reshape([1, -1, 1, 1]));
            let x = x.clone() - x.mean_dim(1);
            let variance = x.clone().square().mean_dim(1);
            x / (variance + self.epsilon).sqrt() * weight + bias
        })
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{TensorData, Tolerance};

    use super::*;

    #[test]
    fn each_pixel_is_normalised_alone() {
        let device = Device::flex();
        let mut norm = LayerNormConfig::new(2).with_epsilon(7.0).init(&device);
        norm.weight = Param::from_data([8.0, 4.0], &device);
        norm.bias = Param::from_data([0.5, 0.25], &device);
        // Of 10 and 16 the mean is 13 and the variance 9, with epsilon the square of 4.
        let y = norm.forward(Tensor::from_data([[[[10.0, 5.0]], [[16.0, 5.0]]]], &device));
        let expected = TensorData::from([[[[-5.5, 0.5]], [[3.25, 0.25]]]]);
        y.into_data().assert_approx_eq::<f32>(&expected, Tolerance::default());
    }
}
