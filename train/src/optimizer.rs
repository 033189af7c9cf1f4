//! AdamW over a network's parameters, its moments by the parameters' names so that a checkpoint can hold them.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::optim::{AdamW, AdamWConfig, AdamWState, AdaptiveMomentumState, GradientsParams, Optimizer as _};
use burn::tensor::Tensor;

use crate::model::AmsUnet;
use crate::weights::Path;

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
        net.map(&mut Step { optimizer: self, learning_rate, gradients, path: Path::default() })
    }
}

struct Step<'a> {
    optimizer: &'a mut Optimizer,
    learning_rate: f64,
    gradients: GradientsParams,
    path: Path,
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
