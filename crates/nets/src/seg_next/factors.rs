//! The factorisation of a map into two matrices without negative numbers.

use burn::config::Config;
use burn::module::{Module, RunningState};
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Distribution, Tensor};

use crate::kernels::in_float32;

/// The steps of a network that learns.
const STEPS_TRAINING: usize = 6;

/// The steps of a network that is evaluated.
pub const STEPS: usize = 7;

/// Added to the denominators.
pub const EPSILON: f64 = 1e-6;

/// Keeps the length of a drawn base from being 0.
const LENGTH_MIN: f64 = 1e-12;

/// Configuration of [`Factors`].
#[derive(Config, Debug)]
pub struct FactorsConfig {
    /// The number of channels.
    pub channels: usize,
    /// The number of bases.
    pub rank: usize,
}

/// The product `B C^T` of bases and coefficients that approximates a map `X` `[c, pixels]`, by
/// multiplicative updates from fixed first bases (non-negative matrix factorisation of rank `r`).
///
/// The first coefficients are the softmax over the bases of `X^T B`. A step is
/// `C <- C * (X^T B) / (C (B^T B) + e)`, then `B <- B * (X C) / (B (C^T C) + e)`. At the end the
/// coefficients are updated once more. The published code draws the first bases in each run unless
/// told to keep them; kept ones give the same output for the same image.
#[derive(Module, Debug)]
pub struct Factors {
    /// `[1, c, r]`, columns of length 1; drawn once and not learned
    pub bases: RunningState<Tensor<3>>,
}

impl FactorsConfig {
    /// Draws the first bases: uniform, then scaled to length 1.
    pub fn init(&self, device: &Device) -> Factors {
        let bases = Tensor::<3>::random([1, self.channels, self.rank], Distribution::Uniform(0.0, 1.0), device);
        let length = bases.clone().square().sum_dim(1).sqrt().clamp_min(LENGTH_MIN);
        Factors { bases: RunningState::new(bases / length) }
    }
}

impl Factors {
    /// Computes the product.
    ///
    /// # Shapes
    /// - input: `[n, c, h, w]`, without negative numbers
    /// - output: `[n, c, h, w]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let steps = if x.device().is_autodiff() { STEPS_TRAINING } else { STEPS };
        in_float32(x, |x| {
            let [n, c, h, w] = x.dims();
            let x = x.reshape([n, c, h * w]);
            let turned = x.clone().swap_dims(1, 2);
            let [_, _, rank] = self.bases.value().dims();
            let mut bases = self.bases.value().expand([n, c, rank]);
            let mut coefficients = softmax(turned.clone().matmul(bases.clone()), 2);
            for _ in 0..steps {
                coefficients = update(coefficients, &turned, &bases);
                bases = update(bases, &x, &coefficients);
            }
            coefficients = update(coefficients, &turned, &bases);
            bases.matmul(coefficients.swap_dims(1, 2)).reshape([n, c, h, w])
        })
    }
}

/// Updates one factor `F` of `X = F G^T` by `F * (X G) / (F (G^T G) + e)`.
fn update(factor: Tensor<3>, x: &Tensor<3>, other: &Tensor<3>) -> Tensor<3> {
    let wanted = x.clone().matmul(other.clone());
    let found = factor.clone().matmul(other.clone().swap_dims(1, 2).matmul(other.clone()));
    factor * wanted / (found + EPSILON)
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;

    #[test]
    fn a_map_of_one_base_is_found() {
        let device = Device::flex();
        device.seed(2);
        let factors = FactorsConfig::new(3, 1).init(&device);
        let x = Tensor::<4>::from_data([[[[1.0, 2.0]], [[2.0, 4.0]], [[0.5, 1.0]]]], &device);
        let y = factors.forward(x.clone()).into_data();
        for (found, expected) in y.iter::<f32>().zip(x.into_data().iter::<f32>()) {
            assert!((found - expected).abs() < 1e-4, "{found}, expected {expected}");
        }
    }

    #[test]
    fn fresh_bases_have_length_one() {
        let device = Device::flex();
        let bases = FactorsConfig::new(5, 2).init(&device).bases.value();
        let length = bases.square().sum_dim(1).into_data();
        length.assert_approx_eq::<f32>(&TensorData::from([[[1.0, 1.0]]]), Default::default());
    }
}
