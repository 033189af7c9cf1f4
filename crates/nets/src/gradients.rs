//! The gradients of one step, by the parameters' names.

use std::collections::BTreeMap;

use burn::module::Param;
use burn::tensor::{Device, Gradients as Tape, Tensor};

use crate::parameters::{ParameterVisitor, Parameters};

/// Keeps the factor finite where every gradient is zero; PyTorch's.
const CLIP_EPSILON: f64 = 1e-6;

/// Gradients by the parameters' published names, flattened.
///
/// The names order them, so that a sum over all of them is the same in every process and on every
/// replica.
#[derive(Clone, Debug, Default)]
pub struct Gradients {
    tensors: BTreeMap<String, Tensor<1>>,
}

impl Gradients {
    /// Computes the gradients of a loss, on the network's device without autodiff.
    pub fn from_loss(loss: &Tensor<1>, net: &impl Parameters) -> Self {
        let mut gradients = Self::default();
        gradients.collect(&mut loss.backward(), net);
        gradients
    }

    /// Takes the gradients of the network's parameters out of Burn's, as far as it has them.
    pub(crate) fn collect(&mut self, tape: &mut Tape, net: &impl Parameters) {
        net.for_each(&mut Collector { tape, tensors: &mut self.tensors });
    }

    /// Returns the gradients by name.
    pub fn tensors(&self) -> &BTreeMap<String, Tensor<1>> {
        &self.tensors
    }

    /// Takes a parameter's gradient out.
    pub fn remove(&mut self, name: &str) -> Option<Tensor<1>> {
        self.tensors.remove(name)
    }

    /// Adds the gradients of another part of the step.
    pub fn plus(mut self, other: Self) -> Self {
        for (name, gradient) in other.tensors {
            let sum = match self.tensors.remove(&name) {
                Some(own) => own + gradient,
                None => gradient,
            };
            self.tensors.insert(name, sum);
        }
        self
    }

    /// Computes the L2 norm over all gradients.
    pub fn norm(&self) -> f64 {
        let squares: Vec<_> = self.tensors.values().map(|gradient| gradient.clone().square().sum()).collect();
        if squares.is_empty() { 0.0 } else { f64::from(Tensor::cat(squares, 0).sum().sqrt().into_scalar::<f32>()) }
    }

    /// Scales the gradients down to a norm of at most `max` and returns the norm before, as
    /// PyTorch's `clip_grad_norm_` does.
    pub fn clip(self, max: f64) -> (Self, f64) {
        let norm = self.norm();
        let factor = max / (norm + CLIP_EPSILON);
        // A norm that is no number fails this comparison too: the gradients stay what they are.
        if factor < 1.0 { (self.map(|gradient| gradient.mul_scalar(factor)), norm) } else { (self, norm) }
    }

    /// Moves the gradients to another device.
    pub fn to_device(self, device: &Device) -> Self {
        self.map(|gradient| gradient.to_device(device))
    }

    fn map(self, change: impl Fn(Tensor<1>) -> Tensor<1>) -> Self {
        Self { tensors: self.tensors.into_iter().map(|(name, gradient)| (name, change(gradient))).collect() }
    }
}

/// Takes gradients out of Burn's.
struct Collector<'a> {
    tape: &'a mut Tape,
    tensors: &'a mut BTreeMap<String, Tensor<1>>,
}

impl ParameterVisitor for Collector<'_> {
    fn visit<const D: usize>(&mut self, name: String, param: &Param<Tensor<D>>) {
        if !param.is_require_grad() {
            return;
        }
        if let Some(gradient) = param.val().grad_remove(self.tape) {
            self.tensors.insert(name, gradient.flatten(0, D - 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gradients(rows: &[(&str, &[f32])]) -> Gradients {
        let device = Device::flex();
        let tensor = |values: &[f32]| Tensor::from_data(values, &device);
        Gradients { tensors: rows.iter().map(|(name, values)| ((*name).to_owned(), tensor(values))).collect() }
    }

    fn values(gradients: &Gradients) -> Vec<f32> {
        gradients.tensors.values().flat_map(|gradient| gradient.to_data().try_into_vec::<f32>().unwrap()).collect()
    }

    #[test]
    fn clipping_is_that_of_pytorch() {
        let rows: [(&str, &[f32]); 2] = [("a", &[3.0, 0.0]), ("b", &[-4.0])];
        for (name, max, expected) in [
            ("below the norm", 1.0, [0.6, 0.0, -0.8]),
            ("half the norm", 2.5, [1.5, 0.0, -2.0]),
            ("above the norm", 6.0, [3.0, 0.0, -4.0]),
        ] {
            let (clipped, norm) = gradients(&rows).clip(max);
            assert_eq!(norm, 5.0, "{name}");
            for (found, expected) in values(&clipped).into_iter().zip(expected) {
                assert!((found - expected).abs() < 2e-6, "{name}: {found}, not {expected}");
            }
        }
        let (zero, norm) = gradients(&[("a", &[0.0])]).clip(1.0);
        assert_eq!((values(&zero), norm), (vec![0.0], 0.0));
        assert!(gradients(&[("a", &[f32::NAN, 1.0])]).clip(1.0).1.is_nan());
        assert_eq!(Gradients::default().norm(), 0.0);
    }

    #[test]
    fn a_sum_takes_in_what_either_side_has() {
        let sum =
            gradients(&[("a", &[1.0, 2.0]), ("b", &[3.0])]).plus(gradients(&[("a", &[10.0, 20.0]), ("c", &[5.0])]));
        assert_eq!(sum.tensors.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(values(&sum), [11.0, 22.0, 3.0, 5.0]);
    }
}
