//! Batch normalisation and the activation behind it, as one pass.

use rayon::prelude::*;

use super::affine::{Moments, Norm};
use super::buffer::{copied, zeros};
use super::operator::{Map, Operator};
use super::planes::{affine as affine_of, combine, dot, relu_gradient, relu_in_place, sum};
use crate::kernels::gelu::polynomial::{gelu_gradient, gelu_in_place};

/// The values that are computed while they are near.
const RUN: usize = 1024;

/// The function of each normalised value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activation {
    /// The value itself.
    Identity,
    /// `max(x, 0)`; the slope at 0 is 0, as in PyTorch.
    Relu,
    /// The exact GELU.
    Gelu,
}

impl Activation {
    fn apply(self, values: &mut [f32]) {
        match self {
            Self::Identity => {}
            Self::Relu => relu_in_place(values),
            Self::Gelu => gelu_in_place(values),
        }
    }

    /// Multiplies the gradients by the slopes at the values.
    fn chain(self, values: &[f32], gradients: &mut [f32]) {
        match self {
            Self::Identity => {}
            Self::Relu => relu_gradient(values, gradients),
            Self::Gelu => gelu_gradient(values, gradients),
        }
    }
}

/// `activation(norm(x))` of `[x, norm weight, norm bias]`.
#[derive(Clone, Debug)]
pub(super) struct NormActivation {
    pub(super) moments: Moments,
    pub(super) epsilon: f64,
    pub(super) activation: Activation,
}

impl NormActivation {
    fn norm<'a>(&'a self, [_, weight, bias]: &'a [Map; 3]) -> Norm<'a> {
        Norm { moments: &self.moments, epsilon: self.epsilon, weight: weight.values(), bias: bias.values() }
    }
}

/// Computes the normalised values of a plane.
fn normalize(x: &[f32], [scale, shift]: [f64; 2], y: &mut [f32]) {
    affine_of(x, scale as f32, shift as f32, y);
}

impl Operator<3> for NormActivation {
    type Saved = ();

    fn forward(&self, inputs: &[Map; 3]) -> (Map, ()) {
        let (x, affine) = (&inputs[0], self.norm(inputs).affine());
        let [_, c, h, w] = x.shape();
        let mut y = zeros(x.values().len());
        let planes = y.par_chunks_exact_mut(h * w).zip(x.values().par_chunks_exact(h * w)).enumerate();
        planes.for_each(|(plane, (y, x))| {
            for (x, y) in x.chunks(RUN).zip(y.chunks_mut(RUN)) {
                normalize(x, affine[plane % c], y);
                self.activation.apply(y);
            }
        });
        (Map::new(y, x.shape()), ())
    }

    fn backward(&self, inputs: &[Map; 3], (): (), gradient: Map) -> [Vec<f32>; 3] {
        let (x, norm) = (&inputs[0], self.norm(inputs));
        let ([n, c, h, w], affine) = (x.shape(), norm.affine());
        let mut x_gradient = copied(gradient.values());
        let planes = x_gradient.par_chunks_exact_mut(h * w).zip(x.values().par_chunks_exact(h * w)).enumerate();
        let sums = planes.map(|(plane, (gradient, x))| {
            let mut line = [0.0; RUN];
            let [mut of_x, mut alone] = [0.0; 2];
            for (x, gradient) in x.chunks(RUN).zip(gradient.chunks_mut(RUN)) {
                if self.activation != Activation::Identity {
                    let line = &mut line[..x.len()];
                    normalize(x, affine[plane % c], line);
                    self.activation.chain(line, gradient);
                }
                of_x += dot(x, gradient);
                alone += sum(gradient);
            }
            [of_x, alone]
        });
        let sums: Vec<[f64; 2]> = sums.collect();
        let of_channel = |channel: usize| {
            let total = |part: usize| (0..n).map(|image| sums[image * c + channel][part]).sum();
            [total(0), total(1)]
        };
        let gradients = norm.gradients((0..c).map(of_channel));
        let planes = x_gradient.par_chunks_exact_mut(h * w).zip(x.values().par_chunks_exact(h * w)).enumerate();
        planes.for_each(|(plane, (gradient, x))| {
            let ([scale, _], [slope, offset]) = (affine[plane % c], gradients.correction[plane % c]);
            combine(scale as f32, x, slope, offset, gradient);
        });
        [x_gradient, gradients.norm_weight, gradients.norm_bias]
    }
}
