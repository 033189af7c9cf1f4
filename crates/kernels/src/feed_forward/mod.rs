//! The feed-forward half of a block, `gelu(W2 gelu(dw3x3(W1 norm(x) + b1)) + b2 + residual)`,
//! without its wide middle.
//!
//! The middle is four times as wide as the ends, and it is what training's memory went to. Here it
//! never exists as a whole: bands of rows pass through it, thirty-two channels at a time, and of
//! these only the rows that the 3x3 convolution still reads are kept, in the second-level cache
//! (see [`Ring`]). The gradient computes it again, in the same way: expansion, convolution, GELU,
//! then the gradients of the convolution's output, of its input and of the weights, each as soon as
//! its rows are there. Only at the edges of a band are rows computed twice.

mod gradient;
mod middle;

pub(crate) use middle::{Middle, Scratch, kernels, turned};

use rayon::prelude::*;

use super::affine::{Moments, Norm, correct};
use super::blocks::{group_size, tiles, unpack};
use super::buffer::{copied, zeros};
use super::lanes::{LANES, Lanes, block_count, flat};
use super::map::Map;
use super::norm_pointwise::{image, total};
use super::operator::Operator;
use super::product::{Layer, Matrix, dense, sums};
use crate::gelu::{gelu, gelu_gradient, gelu_of_sum};
use gradient::Turned;
use middle::TAPS;

/// The approximate pixels of a band: its edges cost little.
pub(crate) const BAND: usize = 4096;

/// `[x, residual, norm weight, norm bias, W1, b1, depthwise weight, depthwise bias, W2, b2]`
pub(crate) const INPUTS: usize = 10;

/// The operator; its input is normalised by `moments`.
#[derive(Clone, Debug)]
pub struct FeedForward {
    /// The statistics that it normalises by.
    pub moments: Moments,
    /// Added to the variance.
    pub epsilon: f64,
}

/// Returns sums of a depthwise convolution's weights, channel by channel.
fn channels(sums: &[Lanes], taps: usize, channels: usize) -> Vec<f32> {
    let value = |channel: usize, tap: usize| sums[channel / LANES * taps + tap].0[channel % LANES];
    (0..channels).flat_map(|channel| (0..taps).map(move |tap| value(channel, tap))).collect()
}

impl FeedForward {
    fn norm<'a>(&'a self, inputs: &'a [Map; INPUTS]) -> Norm<'a> {
        let (weight, bias) = (inputs[2].values(), inputs[3].values());
        Norm { moments: &self.moments, epsilon: self.epsilon, weight, bias }
    }

    /// Creates the middle with the normalisation in its expansion.
    fn middle(&self, inputs: &[Map; INPUTS], expand: &[f32], expand_bias: &[f32]) -> Middle {
        let [_, _, height, width] = inputs[0].shape();
        let [c, wide] = [inputs[9].values().len(), expand_bias.len()];
        let [depthwise, depthwise_bias, project, project_bias] = [6, 7, 8, 9].map(|index| inputs[index].values());
        let expand = Layer::floats(expand, [wide, c], expand_bias);
        Middle::new(
            [height, width],
            expand,
            [depthwise, depthwise_bias],
            Layer::floats(project, [c, wide], project_bias),
        )
    }

    /// Computes the value, and the input of the last GELU where it is kept.
    fn compute(&self, inputs: &[Map; INPUTS], keep: bool) -> (Map, Option<Map>) {
        let ([x, residual], [n, c, h, w]) = ([&inputs[0], &inputs[1]], inputs[0].shape());
        let (expand, expand_bias) = self.norm(inputs).fold(inputs[4].values(), inputs[5].values());
        let middle = self.middle(inputs, &expand, &expand_bias);
        let mut y = zeros(n * c * h * w);
        let mut before = zeros(if keep { y.len() } else { 0 });
        // Values do not depend on the cut, so that each thread may have a band.
        let rows = BAND.div_ceil(w).min((n * h).div_ceil(rayon::current_num_threads())).clamp(1, h);
        let mut bands = tiles(&mut y, c, h * w, rows * w);
        let mut kept: Vec<_> = if keep {
            tiles(&mut before, c, h * w, rows * w).into_iter().map(Some).collect()
        } else {
            bands.iter().map(|_| None).collect()
        };
        bands.par_iter_mut().zip(&mut kept).for_each_init(Scratch::default, |scratch, (y, before)| {
            middle.forward(image(x, y.image), y, scratch);
            let pixels = y.pixels();
            for (block, planes) in y.planes.chunks_mut(LANES).enumerate() {
                let narrow = &scratch.narrow[block * pixels..];
                unpack(narrow, pixels, planes);
                for (channel, y_plane) in (block * LANES..).zip(planes) {
                    let residual = &image(residual, y.image)[channel * h * w + y.start..][..pixels];
                    if let Some(before) = before {
                        let before = &mut *before.planes[channel];
                        for ((before, value), residual) in before.iter_mut().zip(&**y_plane).zip(residual) {
                            *before = value + residual;
                        }
                        gelu(before, y_plane);
                    } else {
                        gelu_of_sum(y_plane, residual);
                    }
                }
            }
        });
        drop((bands, kept));
        (Map::new(y, [n, c, h, w]), keep.then(|| Map::new(before, [n, c, h, w])))
    }
}

impl Operator<INPUTS> for FeedForward {
    /// The input of the last GELU.
    type Saved = Option<Map>;

    fn forward(&self, inputs: &[Map; INPUTS]) -> (Map, Option<Map>) {
        self.compute(inputs, true)
    }

    fn value(&self, inputs: &[Map; INPUTS]) -> Map {
        self.compute(inputs, false).0
    }

    fn backward(&self, inputs: &[Map; INPUTS], before: Option<Map>, gradient: Map) -> [Vec<f32>; INPUTS] {
        let (x, [n, c, h, w]) = (&inputs[0], inputs[0].shape());
        let norm = self.norm(inputs);
        let (expand, expand_bias) = norm.fold(inputs[4].values(), inputs[5].values());
        let middle = self.middle(inputs, &expand, &expand_bias);
        let wide = middle.wide;
        let reversed = Turned {
            expand: Matrix::transposed(&expand, [wide, c]),
            depthwise: turned(&middle.depthwise, TAPS),
            project: Matrix::transposed(inputs[8].values(), [c, wide]),
        };

        // The gradient of what the last GELU was applied to is the residual's as well.
        let before = before.expect("a recorded step keeps it");
        let mut of_sum = copied(gradient.values());
        let planes = of_sum.par_chunks_exact_mut(h * w).zip(before.values().par_chunks_exact(h * w));
        planes.for_each(|(gradient, before)| gelu_gradient(before, gradient));

        let mut x_gradient = zeros(n * c * h * w);
        let rows = BAND.div_ceil(w).min(h.div_ceil(2));
        let mut bands = tiles(&mut x_gradient, c, h * w, rows * w);
        let group = group_size(bands.len());
        let blocks = block_count(wide);
        let totals = bands.par_chunks_mut(group).map(|bands| {
            let vectors = [blocks, TAPS * blocks, blocks, block_count(c)].map(|count| vec![Lanes::ZERO; count]);
            let [expand_bias, depthwise, depthwise_bias, project_bias] = vectors;
            let [expand, project] = [(); 2].map(|()| sums([wide, c]));
            let mut sums = [expand, expand_bias, depthwise, depthwise_bias, project, project_bias];
            let mut scratch = Scratch::default();
            for band in bands {
                let of_sum = &of_sum[band.image * c * h * w..(band.image + 1) * c * h * w];
                middle.backward(&reversed, image(x, band.image), of_sum, band, &mut scratch, &mut sums);
                unpack(&scratch.narrow, band.pixels(), &mut band.planes);
            }
            sums
        });
        let [of_expand, of_expand_bias, depthwise, depthwise_bias, of_project, project_bias] = total(totals.collect());
        let [of_expand, of_project] = [of_expand, of_project].map(|sums| dense(&sums, [wide, c]));
        let of_expand_bias = flat(&of_expand_bias)[..wide].to_vec();
        let gradients = norm.unfold(inputs[4].values(), &of_expand, &of_expand_bias);
        correct(x.values(), &gradients.correction, h * w, &mut x_gradient);
        let project = (0..c * wide).map(|index| of_project[index % wide * c + index / wide]).collect();
        [
            x_gradient,
            of_sum,
            gradients.norm_weight,
            gradients.norm_bias,
            gradients.weight,
            of_expand_bias,
            channels(&depthwise, TAPS, wide),
            flat(&depthwise_bias)[..wide].to_vec(),
            project,
            flat(&project_bias)[..c].to_vec(),
        ]
    }
}
