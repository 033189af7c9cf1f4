//! AdamW over a network's parameters, its moments by the parameters' names so that a checkpoint can
//! hold them.

use std::collections::BTreeMap;

use burn::module::Param;
use burn::tensor::Tensor;
use seg_nets::gradients::Gradients;
use seg_nets::network::Network;
use seg_nets::parameters::{ParameterMapper, Parameters};

use crate::learn::adamw::AdamW;
pub use crate::learn::adamw::Moments;

/// [`AdamW`] with its weight decay on every parameter.
pub struct Optimizer {
    rule: AdamW,
    moments: BTreeMap<String, Moments>,
}

impl Optimizer {
    /// Makes an optimizer before its first step.
    pub fn new(weight_decay: f32) -> Self {
        Self::resume(weight_decay, BTreeMap::new())
    }

    /// Makes an optimizer that goes on from the moments of another.
    pub fn resume(weight_decay: f32, moments: BTreeMap<String, Moments>) -> Self {
        Self { rule: AdamW::new(weight_decay), moments }
    }

    /// Returns the moments by the parameters' published names.
    pub fn moments(&self) -> &BTreeMap<String, Moments> {
        &self.moments
    }

    /// Returns the network after one step; parameters without a gradient stay as they are.
    ///
    /// A network that nothing else holds is changed in place on the CPU; a clone costs a copy.
    pub fn step(&mut self, learning_rate: f64, net: Network, gradients: Gradients) -> Network {
        net.map_each(&mut Step { optimizer: self, learning_rate, gradients })
    }
}

/// Moves each parameter that has a gradient.
struct Step<'a> {
    optimizer: &'a mut Optimizer,
    learning_rate: f64,
    gradients: Gradients,
}

impl ParameterMapper for Step<'_> {
    fn map<const D: usize>(&mut self, name: String, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(gradient) = self.gradients.remove(&name) else {
            return param;
        };
        let shape = param.dims();
        let moments = self.optimizer.moments.remove(&name);
        param.map(|tensor| {
            let requires_gradient = tensor.is_require_grad();
            let weights = tensor.inner().flatten(0, D - 1);
            let (weights, moments) = self.optimizer.rule.step(self.learning_rate, weights, gradient, moments);
            self.optimizer.moments.insert(name, moments);
            Tensor::from_inner(weights.reshape(shape)).set_require_grad(requires_gradient)
        })
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use seg_nets::amsunet::AmsUnetConfig;
    use seg_nets::weights::Weights;

    use super::*;

    #[test]
    fn a_first_step_is_that_of_the_formula() {
        const RATE: f64 = 0.01;
        const DECAY: f32 = 0.3;
        let device = Device::flex().autodiff();
        let net = AmsUnetConfig::new().with_base_width(4).init(&device);
        let before = Weights::from_network(&net);
        // The loss is the sum of one weight, so that its gradient is 1 everywhere and no other
        // parameter has one.
        let gradients = Gradients::from_loss(&net.out_conv.weight.val().sum(), &net);
        let mut optimizer = Optimizer::new(DECAY);
        let after = Weights::from_network(&optimizer.step(RATE, net.into(), gradients));
        for (name, before) in before.tensors() {
            let learned = name == "out_conv.0.weight";
            // Both moments are corrected to the gradient and its square, so the step is `rate * 1 /
            // (1 + epsilon)`.
            let expected = |value: f32| {
                if learned { value * (1.0 - RATE as f32 * DECAY) - RATE as f32 } else { value }
            };
            for (before, after) in before.iter().zip(&after.tensors()[name]) {
                assert!((after - expected(*before)).abs() < 1e-7, "{name}: {before} became {after}");
            }
        }
        assert_eq!(optimizer.moments().keys().collect::<Vec<_>>(), ["out_conv.0.weight"]);
        assert_eq!(optimizer.moments()["out_conv.0.weight"].steps, 1);
    }
}
