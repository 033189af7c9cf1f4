//! AdamW over a network's parameters, its moments by the parameters' names so that a checkpoint can hold them.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::optim::{AdamW, AdamWConfig, AdamWState, AdaptiveMomentumState, GradientsParams, Optimizer as _};
use burn::tensor::Tensor;

use crate::model::AmsUnet;
use crate::weights::ModulePath;

/// PyTorch's AdamW: Burn's own default is 1e-5.
const EPSILON: f32 = 1e-8;

/// AdamW as PyTorch has it: betas 0.9 and 0.999, epsilon 1e-8, decoupled weight decay on every parameter.
pub struct Optimizer {
    rule: AdamW,
    moments: BTreeMap<String, Moments>,
}

/// What AdamW remembers of one parameter.
#[derive(Clone)]
pub struct Moments {
    /// The steps taken.
    pub steps: usize,
    /// The running mean of the gradient, flattened.
    pub first: Tensor<1>,
    /// The running mean of the squared gradient, flattened.
    pub second: Tensor<1>,
}

impl Optimizer {
    /// An optimizer before its first step.
    pub fn new(weight_decay: f32) -> Self {
        Self::resume(weight_decay, BTreeMap::new())
    }

    /// An optimizer that goes on from the moments of another.
    pub fn resume(weight_decay: f32, moments: BTreeMap<String, Moments>) -> Self {
        let rule = AdamWConfig::new().with_epsilon(EPSILON).with_weight_decay(weight_decay).build();
        Self { rule, moments }
    }

    /// The moments by the parameters' published names.
    pub fn moments(&self) -> &BTreeMap<String, Moments> {
        &self.moments
    }

    /// The network after one step; parameters without a gradient stay as they are.
    pub fn step(&mut self, learning_rate: f64, net: AmsUnet, gradients: GradientsParams) -> AmsUnet {
        net.map(&mut Step { optimizer: self, learning_rate, gradients, path: ModulePath::default() })
    }
}

struct Step<'a> {
    optimizer: &'a mut Optimizer,
    learning_rate: f64,
    gradients: GradientsParams,
    path: ModulePath,
}

impl ModuleMapper for Step<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(gradient) = self.gradients.remove::<D>(param.id) else {
            return param;
        };
        let name = self.path.published();
        let moments = self.optimizer.moments.remove(&name);
        let shape = param.dims();
        let state = moments.map(|moments| {
            let restore = |moment: Tensor<1>| moment.reshape(shape);
            let (first, second) = (restore(moments.first), restore(moments.second));
            AdamWState { momentum: AdaptiveMomentumState::new(moments.steps, first, second) }
        });
        let mut next = None;
        let param = param.map(|tensor| {
            let requires_gradient = tensor.is_require_grad();
            let (tensor, state) = self.optimizer.rule.step(self.learning_rate, tensor.inner(), gradient, state);
            next = state;
            Tensor::from_inner(tensor).set_require_grad(requires_gradient)
        });
        if let Some(AdamWState { momentum }) = next {
            let moments = Moments {
                steps: momentum.time,
                first: momentum.moment_1.flatten(0, D - 1),
                second: momentum.moment_2.flatten(0, D - 1),
            };
            self.optimizer.moments.insert(name, moments);
        }
        param
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::model::AmsUnetConfig;
    use crate::weights::Weights;

    #[test]
    fn a_first_step_is_that_of_the_formula() {
        const RATE: f64 = 0.01;
        const DECAY: f32 = 0.3;
        let device = Device::flex().autodiff();
        let net = AmsUnetConfig::new().with_base_width(4).init(&device);
        let before = Weights::of(&net);
        // The loss is the sum of one weight, so that its gradient is 1 everywhere and no other parameter has one.
        let mut gradients = net.out_conv.weight.val().sum().backward();
        let gradients = GradientsParams::from_module(&mut gradients, &net);
        let mut optimizer = Optimizer::new(DECAY);
        let after = Weights::of(&optimizer.step(RATE, net, gradients));
        for (name, before) in before.tensors() {
            let learned = name == "out_conv.0.weight";
            // Both moments are corrected to the gradient and its square, so the step is `rate * 1 / (1 + epsilon)`.
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
