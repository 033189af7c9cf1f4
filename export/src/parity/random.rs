//! Reproducible numbers for modules and images.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Fills the module with reproducible numbers: weights that keep the scale of their inputs, and
/// normalisations that are not the identity, because a wrongly folded fresh one would not show.
pub(crate) fn randomised<M: Module>(module: M) -> M {
    module.map(&mut Randomise { random: ChaCha8Rng::seed_from_u64(3), name: Vec::new() })
}

struct Randomise {
    random: ChaCha8Rng,
    name: Vec<String>,
}

impl ModuleMapper for Randomise {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.name.push(name.into());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.name.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let shape = param.val().dims();
        let range = match self.name.last().map(String::as_str) {
            Some("running_var") => 0.5..1.5,
            // No negative numbers are in a factorisation.
            Some("bases") => 0.0..1.0,
            Some("weight") if D == 2 || D == 4 => {
                let fan_in = shape[1..].iter().product::<usize>() as f32;
                -(3.0 / fan_in).sqrt()..(3.0 / fan_in).sqrt()
            }
            Some("weight") => 0.5..1.5,
            _ => -0.5..0.5,
        };
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| self.random.random_range(range.clone())).collect();
        param.map(|tensor| Tensor::from_data(TensorData::new(values, shape), &tensor.device()))
    }
}

/// Values from -2 to 2.
pub(super) fn noise(shape: [usize; 4]) -> Tensor<4> {
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| random.random_range(-2.0..2.0)).collect();
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}
