//! Group normalisation: of groups of channels over the whole map.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use seg_kernels::Activation;

use crate::kernels::{fused, in_float32, is_fused};

/// Configuration of [`GroupNorm`].
#[derive(Config, Debug)]
pub struct GroupNormConfig {
    /// The number of groups.
    pub groups: usize,
    /// The number of channels, a multiple of the groups.
    pub channels: usize,
    /// Added to the variance.
    pub epsilon: f64,
}

/// `(x - mean) / sqrt(var + epsilon) * weight + bias`, mean and biased variance over the pixels and
/// channels of each group.
#[derive(Module, Debug)]
pub struct GroupNorm {
    /// `[channels]`
    pub weight: Param<Tensor<1>>,
    /// `[channels]`
    pub bias: Param<Tensor<1>>,
    /// The number of groups.
    pub groups: usize,
    /// Added to the variance.
    pub epsilon: f64,
}

impl GroupNormConfig {
    /// Makes the layer with weight 1 and bias 0.
    ///
    /// # Panics
    /// When the groups do not divide the channels.
    pub fn init(&self, device: &Device) -> GroupNorm {
        let Self { groups, channels, epsilon } = *self;
        assert!(channels.is_multiple_of(groups), "{channels} channels are no multiple of {groups} groups");
        GroupNorm {
            weight: Initializer::Ones.init([channels], device),
            bias: Initializer::Zeros.init([channels], device),
            groups,
            epsilon,
        }
    }
}

impl GroupNorm {
    /// Computes the layer.
    ///
    /// # Shapes
    /// - input: `[n, c, h, w]`
    /// - output: `[n, c, h, w]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.activated(x, Activation::Identity, |y| y)
    }

    /// Computes the layer and its ReLU.
    ///
    /// # Shapes
    /// - input: `[n, c, h, w]`
    /// - output: `[n, c, h, w]`
    pub(crate) fn forward_relu(&self, x: Tensor<4>) -> Tensor<4> {
        self.activated(x, Activation::Relu, relu)
    }

    /// Computes an activation of the layer: in one pass on the CPU, by `apply` elsewhere.
    fn activated(&self, x: Tensor<4>, activation: Activation, apply: impl FnOnce(Tensor<4>) -> Tensor<4>) -> Tensor<4> {
        let Self { groups, epsilon, .. } = *self;
        if is_fused(&x) {
            let parameters = [&self.weight, &self.bias].map(|values| values.val().reshape([1, -1, 1, 1]));
            return fused::group_norm(seg_kernels::GroupNorm { groups, epsilon, activation }, x, parameters);
        }
        apply(self.normalize(x))
    }

    fn normalize(&self, x: Tensor<4>) -> Tensor<4> {
        in_float32(x, |x| {
            let [n, c, h, w] = x.dims();
            let x = x.reshape([n, self.groups, c / self.groups * h * w]);
            let x = x.clone() - x.mean_dim(2);
            let variance = x.clone().square().mean_dim(2);
            let x = (x / (variance + self.epsilon).sqrt()).reshape([n, c, h, w]);
            let [weight, bias] = [&self.weight, &self.bias].map(|values| values.val().reshape([1, -1, 1, 1]));
            x * weight + bias
        })
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{TensorData, Tolerance};

    use super::*;

    #[test]
    fn each_group_of_each_image_is_normalised_alone() {
        let device = Device::flex();
        let mut norm = GroupNormConfig::new(2, 4, 7.0).init(&device);
        norm.weight = Param::from_data([8.0, 4.0, 1.0, 1.0], &device);
        norm.bias = Param::from_data([0.5, 0.25, 0.0, 9.0], &device);
        // Of 10 and 16 the mean is 13 and the variance 9, with epsilon the square of 4.
        let y = norm.forward(Tensor::from_data([[[[10.0]], [[16.0]], [[5.0]], [[5.0]]]], &device));
        let expected = TensorData::from([[[[-5.5]], [[3.25]], [[0.0]], [[9.0]]]]);
        y.into_data().assert_approx_eq::<f32>(&expected, Tolerance::default());
    }
}
