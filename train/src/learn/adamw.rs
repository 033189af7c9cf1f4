//! AdamW's rule for one parameter: Burn's operators on a GPU, one pass through memory on the CPU.

use burn::optim::{AdamW as BurnAdamW, AdamWConfig, AdamWState, AdaptiveMomentumState, Optimizer as _};
use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;

/// PyTorch's; Burn's own default is 1e-5.
const EPSILON: f32 = 1e-8;
/// The shares that the running means of the gradient and of its square keep of themselves in a
/// step.
const BETAS: [f32; 2] = [0.9, 0.999];
/// The values that a thread works on at a time.
const CHUNK: usize = 1 << 14;

/// AdamW as PyTorch has it: betas 0.9 and 0.999, epsilon 1e-8, decoupled weight decay.
///
/// With `g` the gradient and `t` the step from 1: `m = 0.9 m + 0.1 g`, `v = 0.999 v + 0.001 g^2`,
/// `w = (1 - rate decay) w - rate (m / (1 - 0.9^t)) / (sqrt(v / (1 - 0.999^t)) + epsilon)`.
#[derive(Clone)]
pub struct AdamW {
    weight_decay: f32,
    burn: BurnAdamW,
}

/// The moments of one parameter.
#[derive(Clone)]
pub struct Moments {
    /// The steps taken.
    pub steps: usize,
    /// The running mean of the gradient, flattened.
    pub first: Tensor<1>,
    /// The running mean of the squared gradient, flattened.
    pub second: Tensor<1>,
}

impl AdamW {
    /// Creates the rule with a weight decay.
    pub fn new(weight_decay: f32) -> Self {
        let burn = AdamWConfig::new()
            .with_beta_1(BETAS[0])
            .with_beta_2(BETAS[1])
            .with_epsilon(EPSILON)
            .with_weight_decay(weight_decay)
            .build();
        Self { weight_decay, burn }
    }

    /// Returns the parameter and its moments after a step; all without autodiff.
    ///
    /// # Shapes
    /// - weights, gradient, moments: `[length]`
    pub fn step(
        &self,
        rate: f64,
        weights: Tensor<1>,
        gradient: Tensor<1>,
        moments: Option<Moments>,
    ) -> (Tensor<1>, Moments) {
        if weights.device() == Device::flex() {
            self.step_in_place(rate, weights, gradient, moments)
        } else {
            self.step_by_operators(rate, weights, gradient, moments)
        }
    }

    /// Computes the step by a dozen operators, each of which reads and writes the whole parameter.
    fn step_by_operators(
        &self,
        rate: f64,
        weights: Tensor<1>,
        gradient: Tensor<1>,
        moments: Option<Moments>,
    ) -> (Tensor<1>, Moments) {
        let state = moments.map(|Moments { steps, first, second }| AdamWState {
            momentum: AdaptiveMomentumState::new(steps, first, second),
        });
        let (weights, state) = self.burn.step(rate, weights, gradient, state);
        let AdamWState { momentum } = state.expect("AdamW always has a state after a step");
        (weights, Moments { steps: momentum.time, first: momentum.moment_1, second: momentum.moment_2 })
    }

    /// Computes the same in one pass, with the roundings of the operators; in place if nothing else
    /// holds the tensors.
    fn step_in_place(
        &self,
        rate: f64,
        weights: Tensor<1>,
        gradient: Tensor<1>,
        moments: Option<Moments>,
    ) -> (Tensor<1>, Moments) {
        let device = weights.device();
        let [length] = weights.dims();
        let zeros = || TensorData::zeros::<f32, _>([length]);
        let (steps, mut first, mut second) = match moments {
            Some(Moments { steps, first, second }) => (steps + 1, first.into_data(), second.into_data()),
            None => (1, zeros(), zeros()),
        };
        let (mut weights, gradient) = (weights.into_data(), gradient.into_data());

        let corrections = BETAS.map(|beta| 1.0 - beta.powi(steps as i32));
        let keep = (1.0 - rate * f64::from(self.weight_decay)) as f32;
        let rate = rate as f32;
        let values = values(&mut weights).par_chunks_mut(CHUNK);
        let moments =
            self::values(&mut first).par_chunks_mut(CHUNK).zip(self::values(&mut second).par_chunks_mut(CHUNK));
        let gradient = gradient.as_slice::<f32>().expect(FLOATS).par_chunks(CHUNK);
        values.zip(gradient).zip(moments).for_each(|((weights, gradient), (first, second))| {
            for (((w, g), m), v) in weights.iter_mut().zip(gradient).zip(first).zip(second) {
                *m = *m * BETAS[0] + g * (1.0 - BETAS[0]);
                *v = *v * BETAS[1] + g * g * (1.0 - BETAS[1]);
                *w = *w * keep - (*m / corrections[0]) / ((*v / corrections[1]).sqrt() + EPSILON) * rate;
            }
        });
        let [weights, first, second] = [weights, first, second].map(|data| Tensor::from_data(data, &device));
        (weights, Moments { steps, first, second })
    }
}

/// The reason that parameters on the CPU can be read as `f32`.
const FLOATS: &str = "parameters are float32";

fn values(data: &mut TensorData) -> &mut [f32] {
    data.as_mut_slice().expect(FLOATS)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Distribution;

    use super::*;

    #[test]
    fn one_pass_is_what_the_operators_compute() {
        let device = Device::flex();
        for (name, length, decay) in [("short", 7, 0.3), ("over a chunk", CHUNK + 5, 5e-5), ("without decay", 33, 0.0)]
        {
            let rule = AdamW::new(decay);
            let start = Tensor::<1>::random([length], Distribution::Normal(0.0, 1.0), &device);
            let (mut ours, mut theirs) = ((start.clone(), None), (start, None));
            for step in 1..=5 {
                let gradient = Tensor::random([length], Distribution::Normal(0.0, 0.1), &device);
                let rate = 0.01 / f64::from(step);
                let (weights, moments) = rule.step_in_place(rate, ours.0, gradient.clone(), ours.1);
                ours = (weights, Some(moments));
                let (weights, moments) = rule.step_by_operators(rate, theirs.0, gradient, theirs.1);
                theirs = (weights, Some(moments));
                assert_eq!(ours.0.to_data(), theirs.0.to_data(), "{name}: weights after step {step}");
                let [ours, theirs] = [&ours.1, &theirs.1].map(|moments| moments.as_ref().unwrap());
                assert_eq!(ours.steps, theirs.steps, "{name}");
                assert_eq!(ours.first.to_data(), theirs.first.to_data(), "{name}: first moment after step {step}");
                assert_eq!(ours.second.to_data(), theirs.second.to_data(), "{name}: second moment after step {step}");
            }
        }
    }
}
