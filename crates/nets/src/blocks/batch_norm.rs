//! Batch normalisation that keeps the running statistics of PyTorch.

use std::cell::Cell;

use burn::config::Config;
use burn::module::{Initializer, Module, Param, RunningState};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, TensorData, module};
use seg_kernels::inference::Constants;
use seg_kernels::{Activation, Moments};

use crate::kernels::fused::from_tensor;
use crate::kernels::{fused, gelu, in_float32, is_fused, moments_of_batch};

/// Added to the variance.
pub(crate) const EPSILON: f64 = 1e-5;
/// The share of the new batch in the running statistics.
pub(crate) const MOMENTUM: f64 = 0.1;

/// The statistics by which every [`BatchNorm`] of a thread normalises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NormMode {
    /// The batch's own on an autodiff device, and the running ones move towards them; elsewhere the
    /// running ones.
    Usual,
    /// The batch's own on any device, and the running ones become just these.
    Batch,
    /// The running ones on any device, and they stay as they are.
    Running,
}

thread_local! {
    static MODE: Cell<NormMode> = const { Cell::new(NormMode::Usual) };
}

impl NormMode {
    /// Does work in which every normalisation of this thread is in this mode.
    pub(crate) fn during<T>(self, work: impl FnOnce() -> T) -> T {
        /// Ends the mode, also if the work panics.
        struct Restore(NormMode);
        impl Drop for Restore {
            fn drop(&mut self) {
                MODE.set(self.0);
            }
        }
        let _restore = Restore(MODE.replace(self));
        work()
    }
}

/// Configuration of [`BatchNorm`].
#[derive(Config, Debug)]
pub struct BatchNormConfig {
    /// The number of channels.
    pub channels: usize,
}

/// `y = (x - mean) / sqrt(var + epsilon) * weight + bias` per channel.
///
/// On an autodiff device the statistics are the batch's own (the biased variance), and the running
/// ones move towards them, the variance with Bessel's correction. Burn's own layer leaves the
/// correction out, so that networks trained with it normalise differently from PyTorch's once they
/// are evaluated.
#[derive(Module, Debug)]
pub struct BatchNorm {
    /// `[channels]`
    pub weight: Param<Tensor<1>>,
    /// `[channels]`
    pub bias: Param<Tensor<1>>,
    /// `[channels]`
    pub running_mean: RunningState<Tensor<1>>,
    /// `[channels]`
    pub running_var: RunningState<Tensor<1>>,
    /// Added to the variance.
    pub epsilon: f64,
}

impl BatchNormConfig {
    /// Makes the layer as the identity: mean 0, variance 1, weight 1, bias 0.
    pub fn init(&self, device: &Device) -> BatchNorm {
        BatchNorm {
            weight: Initializer::Ones.init([self.channels], device),
            bias: Initializer::Zeros.init([self.channels], device),
            running_mean: RunningState::new(Tensor::zeros([self.channels], device)),
            running_var: RunningState::new(Tensor::ones([self.channels], device)),
            epsilon: EPSILON,
        }
    }
}

impl BatchNorm {
    /// Normalises a map.
    ///
    /// # Shapes
    /// - input: `[n, c, h, w]`
    /// - output: `[n, c, h, w]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.activated(x, Activation::Identity, |y| y)
    }

    /// Computes the ReLU of a normalised map.
    ///
    /// # Shapes
    /// - input: `[n, c, h, w]`
    /// - output: `[n, c, h, w]`
    pub(crate) fn forward_relu(&self, x: Tensor<4>) -> Tensor<4> {
        self.activated(x, Activation::Relu, relu)
    }

    /// Computes the exact GELU of a normalised map.
    ///
    /// # Shapes
    /// - input: `[n, c, h, w]`
    /// - output: `[n, c, h, w]`
    pub(crate) fn forward_gelu(&self, x: Tensor<4>) -> Tensor<4> {
        self.activated(x, Activation::Gelu, gelu)
    }

    /// Computes the ReLU of the sum of a normalised map and a residual.
    ///
    /// # Shapes
    /// - inputs: `[n, c, h, w]`
    /// - output: `[n, c, h, w]`
    pub(crate) fn residual_relu(&self, x: Tensor<4>, residual: Tensor<4>) -> Tensor<4> {
        self.activated_sum(x, residual, Activation::Relu, relu)
    }

    /// Computes the exact GELU of the sum of a normalised map and a residual.
    ///
    /// # Shapes
    /// - inputs: `[n, c, h, w]`
    /// - output: `[n, c, h, w]`
    pub(crate) fn residual_gelu(&self, x: Tensor<4>, residual: Tensor<4>) -> Tensor<4> {
        self.activated_sum(x, residual, Activation::Gelu, gelu)
    }

    /// Computes an activation of the sum of a normalised map and a residual: in one pass on the
    /// CPU, by `apply` elsewhere.
    fn activated_sum(
        &self,
        x: Tensor<4>,
        residual: Tensor<4>,
        activation: Activation,
        apply: impl FnOnce(Tensor<4>) -> Tensor<4>,
    ) -> Tensor<4> {
        if is_fused(&x) && is_fused(&residual) {
            return fused::norm_residual(self.fused(&x), activation, x, residual);
        }
        apply(in_float32(x, |x| self.normalize(x)) + residual)
    }

    /// Computes an activation of a normalised map: in one pass on the CPU, by `apply` elsewhere.
    fn activated(&self, x: Tensor<4>, activation: Activation, apply: impl FnOnce(Tensor<4>) -> Tensor<4>) -> Tensor<4> {
        if is_fused(&x) {
            return fused::norm_activation(self.fused(&x), activation, x);
        }
        apply(in_float32(x, |x| self.normalize(x)))
    }

    fn normalize(&self, x: Tensor<4>) -> Tensor<4> {
        let (weight, bias) = (self.weight.val(), self.bias.val());
        if uses_running(&x) {
            let (mean, var) = (self.running_mean.value(), self.running_var.value());
            return module::batch_norm(x, weight, bias, mean, var, self.epsilon);
        }
        let [n, _, h, w] = x.dims();
        let batch = module::batch_norm_train(x, weight, bias, self.epsilon);
        track(&self.running_mean, batch.mean.detach());
        track(&self.running_var, batch.variance.detach().mul_scalar(unbiased(n * h * w)));
        batch.output
    }

    /// Returns the layer as the fused operators of the CPU take it, with the statistics that
    /// [`forward`](Self::forward) would normalise `x` by; the running ones move as they do there.
    pub(crate) fn fused(&self, x: &Tensor<4>) -> fused::Norm {
        let [weight, bias] = [&self.weight, &self.bias].map(|values| values.val().reshape([1, -1, 1, 1]));
        fused::Norm { moments: self.moments(x), epsilon: self.epsilon, weight, bias }
    }

    /// Returns the layer as constants, where it normalises what is outside of a graph by the
    /// running statistics.
    pub(crate) fn constants(&self) -> Option<Constants> {
        let [weight, bias] = [&self.weight, &self.bias].map(|values| from_tensor(values.val().reshape([1, -1, 1, 1])));
        let constants = Constants { moments: self.running(), epsilon: self.epsilon, weight, bias };
        (MODE.get() != NormMode::Batch).then_some(constants)
    }

    /// Returns the running statistics.
    fn running(&self) -> Moments {
        let values = |state: &RunningState<Tensor<1>>| state.value().into_data().iter::<f64>().collect();
        Moments { mean: values(&self.running_mean), variance: values(&self.running_var), count: None }
    }

    fn moments(&self, x: &Tensor<4>) -> Moments {
        if uses_running(x) {
            return self.running();
        }
        let moments = moments_of_batch(x);
        let device = x.device();
        track(&self.running_mean, scaled(&moments.mean, 1.0, &device));
        track(&self.running_var, scaled(&moments.variance, moments.count.map_or(1.0, unbiased), &device));
        moments
    }
}

/// Returns the products of values and a factor as a tensor `[values]`.
fn scaled(values: &[f64], factor: f64, device: &Device) -> Tensor<1> {
    let values: Vec<f32> = values.iter().map(|value| (value * factor) as f32).collect();
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), device)
}

/// Bessel's correction for a number of values.
///
/// A single value has no unbiased variance; PyTorch refuses it, here it leaves the running one
/// biased.
fn unbiased(count: usize) -> f64 {
    count as f64 / (count as f64 - 1.0).max(1.0)
}

/// Returns whether a batch is normalised by the running statistics, and not by its own.
fn uses_running(x: &Tensor<4>) -> bool {
    match MODE.get() {
        NormMode::Usual => !x.device().is_autodiff(),
        NormMode::Batch => false,
        NormMode::Running => true,
    }
}

/// Moves a running statistic towards the batch's.
fn track(running: &RunningState<Tensor<1>>, batch: Tensor<1>) {
    if MODE.get() == NormMode::Batch {
        running.update(batch.detach());
        // Merges it at once: whoever walks over the network sees what is merged.
        running.value_sync();
        return;
    }
    let moved = running.value_sync().mul_scalar(1.0 - MOMENTUM) + batch.mul_scalar(MOMENTUM);
    running.update(moved.detach());
}

#[cfg(test)]
mod tests {
    use burn::tensor::Tolerance;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::kernels::devices;

    fn assert_running(state: &RunningState<Tensor<1>>, expected: f32) {
        state.value_sync().into_data().assert_approx_eq::<f32>(&TensorData::from([expected]), Tolerance::default());
    }

    #[test]
    fn the_running_variance_is_unbiased() {
        let device = Device::flex().autodiff();
        let norm = BatchNormConfig::new(1).init(&device);
        let x = Tensor::<4>::from_data([[[[1.0, 2.0], [4.0, 9.0]]]], &device);
        norm.forward(x);
        assert_running(&norm.running_mean, 0.1 * 4.0);
        // Deviations from 4 are -3, -2, 0, 5: 38 in squares, over n - 1 = 3.
        assert_running(&norm.running_var, 0.9 + 0.1 * 38.0 / 3.0);
    }

    #[test]
    fn a_batch_and_its_gradients_follow_the_definition_on_every_device() {
        const SHAPE: [usize; 4] = [2, 3, 5, 7];
        const COUNT: f64 = (2 * 5 * 7) as f64;
        let mut draws = ChaCha8Rng::seed_from_u64(5);
        let mut draw = |count: usize, middle: f32| -> Vec<f32> {
            (0..count).map(|_| middle + draws.random_range(-1.0..1.0_f32)).collect()
        };
        // Far from zero in units of their deviation, as the maps behind a ReLU are.
        let (x, along) = (draw(SHAPE.iter().product(), 4.0), draw(SHAPE.iter().product(), 0.0));
        let (weight, bias) = (draw(3, 2.0), draw(3, 0.0));

        // The derivative of sum(y * along): Ioffe and Szegedy, "Batch Normalization", section 3.
        let of_channel = |index: usize, channel: usize| index / 35 % 3 == channel;
        let mut expected = [vec![0.0; x.len()], vec![0.0; x.len()], vec![0.0; 3], vec![0.0; 3]];
        for channel in 0..3 {
            let places: Vec<_> = (0..x.len()).filter(|index| of_channel(*index, channel)).collect();
            let mean = |value: &dyn Fn(usize) -> f64| places.iter().map(|index| value(*index)).sum::<f64>() / COUNT;
            let middle = mean(&|index| x[index].into());
            let deviation = (mean(&|index| (f64::from(x[index]) - middle).powi(2)) + EPSILON).sqrt();
            let normal = |index: usize| (f64::from(x[index]) - middle) / deviation;
            let slope = |index: usize| f64::from(along[index]);
            let [of_bias, of_weight] = [mean(&slope), mean(&|index| slope(index) * normal(index))];
            for index in places.iter().copied() {
                expected[0][index] = normal(index) * f64::from(weight[channel]) + f64::from(bias[channel]);
                let rest = slope(index) - of_bias - normal(index) * of_weight;
                expected[1][index] = rest * f64::from(weight[channel]) / deviation;
            }
            (expected[2][channel], expected[3][channel]) = (COUNT * of_weight, COUNT * of_bias);
        }

        for (name, device) in devices() {
            let device = device.autodiff();
            let mut norm = BatchNormConfig::new(3).init(&device);
            norm.weight = Param::from_data(TensorData::new(weight.clone(), [3]), &device);
            norm.bias = Param::from_data(TensorData::new(bias.clone(), [3]), &device);
            let image = Tensor::<4>::from_data(TensorData::new(x.clone(), SHAPE), &device).require_grad();
            let y = norm.forward(image.clone());
            let gradients =
                (y.clone() * Tensor::from_data(TensorData::new(along.clone(), SHAPE), &device)).sum().backward();
            let found = [
                y.into_data(),
                image.grad(&gradients).unwrap().into_data(),
                norm.weight.grad(&gradients).unwrap().into_data(),
                norm.bias.grad(&gradients).unwrap().into_data(),
            ];
            for (what, (found, expected)) in ["y", "x", "weight", "bias"].into_iter().zip(found.iter().zip(&expected)) {
                for (index, (found, expected)) in found.iter::<f64>().zip(expected).enumerate() {
                    let difference = (found - expected).abs();
                    assert!(difference <= 2e-5, "{name}, {what} {index}: {found}, expected {expected}");
                }
            }
        }
    }

    #[test]
    fn evaluation_uses_the_running_statistics() {
        let device = Device::flex();
        let mut norm = BatchNormConfig::new(1).init(&device);
        norm.running_mean = RunningState::new(Tensor::from_data([2.0], &device));
        norm.running_var = RunningState::new(Tensor::from_data([4.0 - EPSILON as f32], &device));
        let y = norm.forward(Tensor::<4>::from_data([[[[4.0, 0.0]]]], &device));
        y.into_data().assert_approx_eq::<f32>(&TensorData::from([[[[1.0, -1.0]]]]), Tolerance::default());
    }
}
