//! Batch normalisation and the activation behind it, as one pass.

use rayon::prelude::*;

use super::affine::{Moments, Norm};
use super::buffer::{copied, zeros};
use super::map::Map;
use super::operator::Operator;
use super::planes::{RUN, add_plane, affine as affine_of, combine, dot, relu_gradient, relu_in_place, sum};
use crate::gelu::{gelu_gradient, gelu_in_place};

/// The function of each normalised value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// The value itself.
    Identity,
    /// `max(x, 0)`; the slope at 0 is 0, as in PyTorch.
    Relu,
    /// The exact GELU.
    Gelu,
}

impl Activation {
    /// Computes the function of values, in their place.
    pub(crate) fn apply(self, values: &mut [f32]) {
        match self {
            Self::Identity => {}
            Self::Relu => relu_in_place(values),
            Self::Gelu => gelu_in_place(values),
        }
    }

    /// Multiplies the gradients by the slopes at the values.
    pub(crate) fn chain(self, values: &[f32], gradients: &mut [f32]) {
        match self {
            Self::Identity => {}
            Self::Relu => relu_gradient(values, gradients),
            Self::Gelu => gelu_gradient(values, gradients),
        }
    }
}

/// `activation(norm(x))` of `[x, norm weight, norm bias]`, or `activation(norm(x) + residual)` of
/// these and the residual.
#[derive(Clone, Debug)]
pub struct NormActivation {
    /// The statistics that it normalises by.
    pub moments: Moments,
    /// Added to the variance.
    pub epsilon: f64,
    /// The function behind it.
    pub activation: Activation,
}

impl NormActivation {
    fn norm<'a>(&'a self, weight: &'a Map, bias: &'a Map) -> Norm<'a> {
        Norm { moments: &self.moments, epsilon: self.epsilon, weight: weight.values(), bias: bias.values() }
    }

    fn activated(&self, x: &Map, norm: &Norm<'_>, residual: Option<&Map>) -> Map {
        let ([_, c, h, w], affine) = (x.shape(), norm.affine());
        let mut y = zeros(x.values().len());
        let planes = y.par_chunks_exact_mut(h * w).zip(x.values().par_chunks_exact(h * w)).enumerate();
        planes.for_each(|(plane, (y, x))| {
            let residual = residual.map(|map| &map.values()[plane * h * w..][..h * w]);
            for (run, (x, y)) in x.chunks(RUN).zip(y.chunks_mut(RUN)).enumerate() {
                before_activation(x, affine[plane % c], residual, run, y);
                self.activation.apply(y);
            }
        });
        Map::new(y, x.shape())
    }

    /// Computes the gradients of the input, of the normalisation's weight and bias, and of the
    /// residual.
    fn gradients(&self, x: &Map, norm: &Norm<'_>, residual: Option<&Map>, gradient: &Map) -> [Vec<f32>; 4] {
        let ([n, c, h, w], affine) = (x.shape(), norm.affine());
        let mut x_gradient = copied(gradient.values());
        let planes = x_gradient.par_chunks_exact_mut(h * w).zip(x.values().par_chunks_exact(h * w)).enumerate();
        let sums = planes.map(|(plane, (gradient, x))| {
            let residual = residual.map(|map| &map.values()[plane * h * w..][..h * w]);
            let mut line = [0.0; RUN];
            let [mut of_x, mut alone] = [0.0; 2];
            for (run, (x, gradient)) in x.chunks(RUN).zip(gradient.chunks_mut(RUN)).enumerate() {
                if self.activation != Activation::Identity {
                    let line = &mut line[..x.len()];
                    before_activation(x, affine[plane % c], residual, run, line);
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
        let residual_gradient = residual.map(|_| copied(&x_gradient)).unwrap_or_default();
        let planes = x_gradient.par_chunks_exact_mut(h * w).zip(x.values().par_chunks_exact(h * w)).enumerate();
        planes.for_each(|(plane, (gradient, x))| {
            let ([scale, _], [slope, offset]) = (affine[plane % c], gradients.correction[plane % c]);
            combine(scale as f32, x, slope, offset, gradient);
        });
        [x_gradient, gradients.norm_weight, gradients.norm_bias, residual_gradient]
    }
}

/// Computes the values of a run of a plane that the activation takes.
fn before_activation(x: &[f32], [scale, shift]: [f64; 2], residual: Option<&[f32]>, run: usize, y: &mut [f32]) {
    affine_of(x, scale as f32, shift as f32, y);
    if let Some(residual) = residual {
        add_plane(&residual[run * RUN..][..y.len()], y);
    }
}

impl Operator<3> for NormActivation {
    type Saved = ();

    fn forward(&self, [x, weight, bias]: &[Map; 3]) -> (Map, ()) {
        (self.activated(x, &self.norm(weight, bias), None), ())
    }

    fn backward(&self, [x, weight, bias]: &[Map; 3], (): (), gradient: Map) -> [Vec<f32>; 3] {
        let [x, weight, bias, _] = self.gradients(x, &self.norm(weight, bias), None, &gradient);
        [x, weight, bias]
    }
}

impl Operator<4> for NormActivation {
    type Saved = ();

    fn forward(&self, [x, weight, bias, residual]: &[Map; 4]) -> (Map, ()) {
        (self.activated(x, &self.norm(weight, bias), Some(residual)), ())
    }

    fn backward(&self, [x, weight, bias, residual]: &[Map; 4], (): (), gradient: Map) -> [Vec<f32>; 4] {
        self.gradients(x, &self.norm(weight, bias), Some(residual), &gradient)
    }
}
