//! Batch normalisation as what it is, an affine map per channel, and its place inside the 1x1
//! convolution behind it.
//!
//! With `s = weight / sqrt(var + e)`, `W (s (x - mean) + bias) + b` is `W' x + b'` for `W' = W s`
//! and `b' = b + W (bias - s mean)`: the normalised map need not exist. Its gradients follow from
//! those of `W'` and `b'`, which are products that the convolution's gradient needs anyway.

use rayon::prelude::*;

use super::planes::{combine, squares, sum};

/// The statistics that a batch normalisation works with.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    /// The mean of each channel.
    pub mean: Vec<f64>,
    /// The biased variance of each channel.
    pub variance: Vec<f64>,
    /// The number of values that they were taken from where they are the batch's own, so that they
    /// depend on the input.
    pub count: Option<usize>,
}

impl Moments {
    /// Computes the batch's own statistics of maps of `channels` planes of `size` pixels.
    pub fn from_batch(x: &[f32], channels: usize, size: usize) -> Self {
        let images = x.len() / (channels * size);
        let count = images * size;
        let plane = |image: usize, channel: usize| &x[(image * channels + channel) * size..][..size];
        let moments = (0..channels).into_par_iter().map(|channel| {
            let planes: Vec<_> = (0..images).map(|image| plane(image, channel)).collect();
            mean_and_variance(&planes, count)
        });
        let (mean, variance) = moments.unzip();
        Self { mean, variance, count: Some(count) }
    }
}

/// Returns the mean and the biased variance of planes that hold `count` values together.
pub(crate) fn mean_and_variance(planes: &[&[f32]], count: usize) -> (f64, f64) {
    let mean = planes.iter().map(|plane| sum(plane)).sum::<f64>() / count as f64;
    let middle = mean as f32;
    // About the rounded mean, whose distance from the exact one is taken off again.
    let squares: f64 = planes.iter().map(|plane| squares(plane, middle)).sum();
    (mean, squares / count as f64 - (mean - f64::from(middle)).powi(2))
}

/// A batch normalisation: `x -> (x - mean) / sqrt(variance + epsilon) * weight + bias`.
pub(crate) struct Norm<'a> {
    pub(crate) moments: &'a Moments,
    pub(crate) epsilon: f64,
    pub(crate) weight: &'a [f32],
    pub(crate) bias: &'a [f32],
}

/// The gradients of a normalisation and of the linear map behind it.
pub(crate) struct NormGradients {
    /// The gradient of the normalisation's weight.
    pub(crate) norm_weight: Vec<f32>,
    /// The gradient of its bias.
    pub(crate) norm_bias: Vec<f32>,
    /// The gradient of the linear map's weight, `[rows, channels]`.
    pub(crate) weight: Vec<f32>,
    /// The rest of the input's gradient beside `W'^T` times the output's: `slope * x + offset` per
    /// channel.
    pub(crate) correction: Vec<[f32; 2]>,
}

impl NormGradients {
    /// Makes zeros for a number of channels and one of the linear map's weights.
    fn zeros(channels: usize, weights: usize) -> Self {
        Self {
            norm_weight: vec![0.0; channels],
            norm_bias: vec![0.0; channels],
            weight: vec![0.0; weights],
            correction: vec![[0.0; 2]; channels],
        }
    }
}

impl Norm<'_> {
    fn inverse_deviation(&self, channel: usize) -> f64 {
        (self.moments.variance[channel] + self.epsilon).sqrt().recip()
    }

    /// Scale and shift of each channel.
    pub(crate) fn affine(&self) -> Vec<[f64; 2]> {
        (0..self.weight.len()).map(|channel| self.scale_and_shift(channel)).collect()
    }

    fn scale_and_shift(&self, channel: usize) -> [f64; 2] {
        let scale = f64::from(self.weight[channel]) * self.inverse_deviation(channel);
        [scale, f64::from(self.bias[channel]) - scale * self.moments.mean[channel]]
    }

    /// `W'` and `b'` of the linear map `weight` `[rows, channels]`, `bias` behind the
    /// normalisation.
    ///
    /// A row may see every channel through several taps, one beside the other.
    pub(crate) fn fold(&self, weight: &[f32], bias: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let affine = self.affine();
        let taps = weight.len() / (bias.len() * affine.len());
        let mut folded = weight.to_vec();
        let mut shifted = bias.to_vec();
        for (row, shifted) in folded.chunks_exact_mut(affine.len() * taps).zip(&mut shifted) {
            let mut sum = f64::from(*shifted);
            for (weights, [scale, shift]) in row.chunks_exact_mut(taps).zip(&affine) {
                for weight in weights {
                    sum += f64::from(*weight) * shift;
                    *weight = (f64::from(*weight) * scale) as f32;
                }
            }
            *shifted = sum as f32;
        }
        (folded, shifted)
    }

    /// Computes the gradients where nothing linear is behind the normalisation, from the sums over
    /// each channel of the gradient times the input and of the gradient alone.
    ///
    /// They are those of [`unfold`](Self::unfold) with `W` and `b` the identity, of which only the
    /// diagonal is needed; there is no gradient of a weight.
    pub(super) fn gradients(&self, sums: impl Iterator<Item = [f64; 2]>) -> NormGradients {
        let mut gradients = NormGradients::zeros(self.weight.len(), 0);
        for (channel, [of_x, alone]) in sums.enumerate() {
            let norm_weight = self.inverse_deviation(channel) * (of_x - self.moments.mean[channel] * alone);
            self.set(channel, [norm_weight, alone], &mut gradients);
        }
        gradients
    }

    /// Sets the gradients of a channel's weight and bias, and what follows from them for the
    /// input's where the statistics are the batch's.
    fn set(&self, channel: usize, [norm_weight, norm_bias]: [f64; 2], gradients: &mut NormGradients) {
        gradients.norm_weight[channel] = norm_weight as f32;
        gradients.norm_bias[channel] = norm_bias as f32;
        if let Some(count) = self.moments.count {
            let [scale, _] = self.scale_and_shift(channel);
            let (mean, inverse) = (self.moments.mean[channel], self.inverse_deviation(channel));
            let slope = -scale * inverse * norm_weight / count as f64;
            let offset = -scale * norm_bias / count as f64 - slope * mean;
            gradients.correction[channel] = [slope as f32, offset as f32];
        }
    }

    /// Computes the gradients from those of `W'` and `b'`.
    ///
    /// With `x^ = r (x - mean)`, `r = 1 / sqrt(var + e)`: `dW = s (dW' - mean db') + bias db'`, the
    /// bias's gradient is `W^T db'`, the weight's `sum over rows of W r (dW' - mean db')`, and the
    /// batch statistics take `s (d bias + x^ d weight) / count` off the input's.
    pub(crate) fn unfold(&self, weight: &[f32], folded_weight: &[f32], folded_bias: &[f32]) -> NormGradients {
        let channels = self.weight.len();
        let taps = weight.len() / (folded_bias.len() * channels);
        let mut gradients = NormGradients::zeros(channels, weight.len());
        for (channel, [scale, _]) in self.affine().into_iter().enumerate() {
            let (mean, inverse) = (self.moments.mean[channel], self.inverse_deviation(channel));
            let (mut norm_weight, mut norm_bias) = (0.0, 0.0);
            for (row, bias) in folded_bias.iter().map(|bias| f64::from(*bias)).enumerate() {
                for index in (row * channels + channel) * taps..(row * channels + channel + 1) * taps {
                    let centered = f64::from(folded_weight[index]) - mean * bias;
                    gradients.weight[index] = (scale * centered + f64::from(self.bias[channel]) * bias) as f32;
                    norm_weight += f64::from(weight[index]) * inverse * centered;
                    norm_bias += f64::from(weight[index]) * bias;
                }
            }
            self.set(channel, [norm_weight, norm_bias], &mut gradients);
        }
        gradients
    }
}

/// `gradient += slope * x + offset`, channel by channel, over planes of `size` pixels.
pub(crate) fn correct(x: &[f32], correction: &[[f32; 2]], size: usize, gradient: &mut [f32]) {
    gradient.par_chunks_exact_mut(size).zip(x.par_chunks_exact(size)).enumerate().for_each(|(plane, (gradient, x))| {
        let [slope, offset] = correction[plane % correction.len()];
        // Where the statistics are not the batch's, there is nothing to add.
        if [slope, offset] != [0.0; 2] {
            combine(1.0, x, slope, offset, gradient);
        }
    });
}
