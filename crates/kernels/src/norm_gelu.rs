//! Batch normalisation and the GELU behind it, as one pass.

use rayon::prelude::*;

use super::affine::{Moments, Norm};
use super::buffer::{copied, zeros};
use super::map::Map;
use super::operator::Operator;
use super::planes::{affine as affine_of, combine, dot, sum};
use crate::gelu::{gelu_gradient, gelu_in_place};

/// The values that are computed while they are near.
const RUN: usize = 1024;

/// `gelu(norm(x))` of `[x, norm weight, norm bias]`.
#[derive(Clone, Debug)]
pub struct NormGelu {
    /// The statistics that it normalises by.
    pub moments: Moments,
    /// Added to the variance.
    pub epsilon: f64,
}

impl NormGelu {
    fn norm<'a>(&'a self, [_, weight, bias]: &'a [Map; 3]) -> Norm<'a> {
        Norm { moments: &self.moments, epsilon: self.epsilon, weight: weight.values(), bias: bias.values() }
    }
}

/// Computes the normalised values of a plane.
fn normalize(x: &[f32], [scale, shift]: [f64; 2], y: &mut [f32]) {
    affine_of(x, scale as f32, shift as f32, y);
}

impl Operator<3> for NormGelu {
    type Saved = ();

    fn forward(&self, inputs: &[Map; 3]) -> (Map, ()) {
        let (x, affine) = (&inputs[0], self.norm(inputs).affine());
        let [_, c, h, w] = x.shape();
        let mut y = zeros(x.values().len());
        let planes = y.par_chunks_exact_mut(h * w).zip(x.values().par_chunks_exact(h * w)).enumerate();
        planes.for_each(|(plane, (y, x))| {
            for (x, y) in x.chunks(RUN).zip(y.chunks_mut(RUN)) {
                normalize(x, affine[plane % c], y);
                gelu_in_place(y);
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
                let line = &mut line[..x.len()];
                normalize(x, affine[plane % c], line);
                gelu_gradient(line, gradient);
                of_x += dot(x, gradient);
                alone += sum(gradient);
            }
            [of_x as f32, alone as f32]
        });
        let sums: Vec<[f32; 2]> = sums.collect();
        // The same as in front of a linear map with the identity as its weight, of which only the
        // diagonal is needed.
        let (mut folded_weight, mut folded_bias) = (vec![0.0; c * c], vec![0.0; c]);
        let mut identity = vec![0.0; c * c];
        for channel in 0..c {
            let total = |part: usize| (0..n).map(|image| sums[image * c + channel][part]).sum();
            (folded_weight[channel * (c + 1)], folded_bias[channel]) = (total(0), total(1));
            identity[channel * (c + 1)] = 1.0;
        }
        let gradients = norm.unfold(&identity, &folded_weight, &folded_bias);
        let planes = x_gradient.par_chunks_exact_mut(h * w).zip(x.values().par_chunks_exact(h * w)).enumerate();
        planes.for_each(|(plane, (gradient, x))| {
            let ([scale, _], [slope, offset]) = (affine[plane % c], gradients.correction[plane % c]);
            combine(scale as f32, x, slope, offset, gradient);
        });
        [x_gradient, gradients.norm_weight, gradients.norm_bias]
    }
}
