//! Group normalisation and the activation behind it, as one pass.

use rayon::prelude::*;

use super::affine::mean_and_variance;
use super::buffer::{copied, zeros};
use super::map::Map;
use super::norm_activation::Activation;
use super::operator::Operator;
use super::planes::{RUN, affine, combine, dot, sum};

/// `activation(weight (x - mean) / sqrt(variance + epsilon) + bias)` of `[x, weight, bias]`, mean
/// and biased variance over a group of channels of one image.
#[derive(Clone, Debug)]
pub struct GroupNorm {
    /// The number of groups, which divides the channels.
    pub groups: usize,
    /// Added to the variance.
    pub epsilon: f64,
    /// The function behind it.
    pub activation: Activation,
}

/// The mean and the inverse deviation of a group.
type Statistics = (f64, f64);

impl GroupNorm {
    /// Returns the mean and the inverse deviation of a group's values.
    fn statistics(&self, x: &[f32]) -> Statistics {
        let (mean, variance) = mean_and_variance(&[x], x.len());
        (mean, (variance + self.epsilon).sqrt().recip())
    }
}

/// Returns scale and shift of a channel.
fn affine_of((mean, inverse): Statistics, weight: f32, bias: f32) -> [f32; 2] {
    let scale = f64::from(weight) * inverse;
    [scale as f32, (f64::from(bias) - scale * mean) as f32]
}

impl Operator<3> for GroupNorm {
    type Saved = Vec<Statistics>;

    fn forward(&self, [x, weight, bias]: &[Map; 3]) -> (Map, Vec<Statistics>) {
        let [n, c, h, w] = x.shape();
        let (size, channels) = (h * w, c / self.groups);
        let mut y = zeros(x.count());
        let mut statistics = vec![(0.0, 0.0); n * self.groups];
        let groups = y.par_chunks_exact_mut(channels * size).zip(x.values().par_chunks_exact(channels * size));
        groups.zip(&mut statistics).enumerate().for_each(|(group, ((y, x), statistics))| {
            *statistics = self.statistics(x);
            let first = group % self.groups * channels;
            for (channel, (y, x)) in y.chunks_exact_mut(size).zip(x.chunks_exact(size)).enumerate() {
                let [weight, bias] = [weight, bias].map(|values| values.values()[first + channel]);
                let [scale, shift] = affine_of(*statistics, weight, bias);
                for (y, x) in y.chunks_mut(RUN).zip(x.chunks(RUN)) {
                    affine(x, scale, shift, y);
                    self.activation.apply(y);
                }
            }
        });
        (Map::new(y, x.shape()), statistics)
    }

    /// With `r` the inverse deviation, `x^ = r (x - mean)` and `g` the gradient before the
    /// activation: the weight's is `sum(g x^)`, the bias's `sum(g)`, and the input's `r (weight g -
    /// mean(weight g) - x^ mean(weight g x^))`, the means over the group.
    fn backward(&self, [x, weight, bias]: &[Map; 3], statistics: Vec<Statistics>, gradient: Map) -> [Vec<f32>; 3] {
        let [n, c, h, w] = x.shape();
        let (size, channels) = (h * w, c / self.groups);
        let mut x_gradient = copied(gradient.values());
        // The sums of weight and bias for each channel of each image.
        let mut sums = vec![[0.0; 2]; n * c];
        let groups = x_gradient.par_chunks_exact_mut(channels * size).zip(x.values().par_chunks_exact(channels * size));
        let groups = groups.zip(sums.par_chunks_exact_mut(channels)).zip(&statistics).enumerate();
        groups.for_each(|(group, (((gradient, x), sums), statistics))| {
            let (mean, inverse) = *statistics;
            let first = group % self.groups * channels;
            let weights = &weight.values()[first..first + channels];
            let mut line = [0.0; RUN];
            let planes = gradient.chunks_exact_mut(size).zip(x.chunks_exact(size)).zip(&mut *sums);
            for (channel, ((gradient, x), sums)) in planes.enumerate() {
                let [scale, shift] = affine_of(*statistics, weights[channel], bias.values()[first + channel]);
                let [mut of_x, mut alone] = [0.0; 2];
                for (gradient, x) in gradient.chunks_mut(RUN).zip(x.chunks(RUN)) {
                    if self.activation != Activation::Identity {
                        let line = &mut line[..x.len()];
                        affine(x, scale, shift, line);
                        self.activation.chain(line, gradient);
                    }
                    of_x += dot(x, gradient);
                    alone += sum(gradient);
                }
                *sums = [inverse * (of_x - mean * alone), alone];
            }
            let total = |part: usize| -> f64 {
                sums.iter().zip(weights).map(|(sums, weight)| sums[part] * f64::from(*weight)).sum()
            };
            let count = (channels * size) as f64;
            let slope = -inverse * inverse * total(0) / count;
            let offset = -inverse * total(1) / count - slope * mean;
            for ((gradient, x), weight) in gradient.chunks_exact_mut(size).zip(x.chunks_exact(size)).zip(weights) {
                let scale = f64::from(*weight) * inverse;
                combine(scale as f32, x, slope as f32, offset as f32, gradient);
            }
        });
        let of_parameter = |part: usize| -> Vec<f32> {
            let total = |channel: usize| -> f64 { (0..n).map(|image| sums[image * c + channel][part]).sum() };
            (0..c).map(|channel| total(channel) as f32).collect()
        };
        [x_gradient, of_parameter(0), of_parameter(1)]
    }
}
