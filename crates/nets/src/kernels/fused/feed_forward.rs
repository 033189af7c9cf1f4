//! The feed-forward half of a block, `gelu(W2 gelu(dw3x3(W1 norm(x) + b1)) + b2 + residual)`,
//! without its wide middle.
//!
//! The middle is four times as wide as the ends, and it is what training's memory went to. Here it
//! never exists as a whole: strips of rows pass through it, sixteen channels at a time, and the
//! gradient computes it again. Where the 3x3 convolution looks over a strip's edge, the rows beyond
//! are computed twice.
//!
//! A [`Strip`]'s rows lie one behind the other, so that the 3x3 convolution is one run over them:
//! output `i` reads `i + ky * stride + kx`. Each convolution loses a row above and below and a zero
//! before the first.

use std::ops::Range;

use rayon::prelude::*;

use super::affine::{Moments, Norm, correct};
use super::frame::{Taps, convolve, correlate, sum};
use super::lanes::{LANES, Lanes, flat, flat_mut, multiply_by, room, zeroed};
use super::norm_pointwise::{image, total};
use super::operator::{Map, Operator};
use super::panels::{Tile, add_row_sums, group_size, pack_row, tiles, unpack_row};
use super::product::{Matrix, Start, Strides, multiply, multiply_transposed};
use super::strip::Strip;
use crate::kernels::gelu::normal::{gelu, gelu_and_slope, gelu_gradient};

/// The channels of the middle that are computed at a time.
const BLOCK: usize = 16;
/// The approximate pixels of a strip: it stays in the second-level cache, and its edges cost
/// little.
const STRIP: usize = 4096;
/// The taps of the depthwise convolution.
const TAPS: usize = 9;

/// `[x, residual, norm weight, norm bias, W1, b1, depthwise weight, depthwise bias, W2, b2]`
pub(super) const INPUTS: usize = 10;

/// The operator; its input is normalised by `moments`.
#[derive(Clone, Debug)]
pub(super) struct FeedForward {
    pub(super) moments: Moments,
    pub(super) epsilon: f64,
}

/// The wide middle.
struct Middle<'a> {
    /// Height and width.
    size: [usize; 2],
    channels: usize,
    wide: usize,
    blocks: Vec<Block<'a>>,
}

/// The weights of up to sixteen channels of the middle, and their transposes for the gradient.
struct Block<'a> {
    /// The channels.
    rows: Range<usize>,
    expand: Matrix,
    expand_turned: Matrix,
    expand_bias: &'a [f32],
    depthwise: &'a [f32],
    depthwise_turned: Vec<f32>,
    depthwise_bias: &'a [f32],
    project: Matrix,
    project_turned: Matrix,
}

/// Returns the taps of the 3x3 convolution over rows of a stride.
fn taps(stride: usize) -> Taps {
    Taps::at((0..TAPS).map(|tap| tap / 3 * stride + tap % 3))
}

/// Computes the 3x3 convolution of a block's planes, as panels.
fn depthwise(
    planes: &[Lanes],
    taps: &Taps,
    weight: &[f32],
    bias: Option<&[f32]>,
    line: &mut Vec<f32>,
    y: &mut [Lanes],
) {
    let rows = weight.len() / TAPS;
    let run = y.len() / rows * LANES;
    line.resize(run + 2 * LANES, 0.0);
    for (channel, plane) in planes.chunks_exact(planes.len() / rows).enumerate() {
        let bias = bias.map_or(0.0, |bias| bias[channel]);
        convolve(flat(plane), taps, &weight[channel * TAPS..(channel + 1) * TAPS], bias, false, run, line);
        pack_row(&line[..run], rows, channel, y);
    }
}

/// The buffers of a thread.
#[derive(Default)]
struct Scratch {
    line: Vec<f32>,
    /// The input, packed for the expansion, and the expansion's value, as planes.
    input: Vec<Lanes>,
    wide: Vec<Lanes>,
    /// The inner GELU's slope and value.
    middle: Vec<Lanes>,
    activated: Vec<Lanes>,
    /// The projection's value; in the gradient, the input's.
    narrow: Vec<Lanes>,
    /// For the gradient: the input without a halo, the output's gradient with and without one, the
    /// middle's, as panels and as planes, and the expansion's.
    own_input: Vec<Lanes>,
    of_output: Vec<Lanes>,
    of_own_output: Vec<Lanes>,
    of_middle: Vec<Lanes>,
    of_middle_planes: Vec<Lanes>,
    of_wide: Vec<Lanes>,
}

impl FeedForward {
    fn norm<'a>(&'a self, inputs: &'a [Map; INPUTS]) -> Norm<'a> {
        let (weight, bias) = (inputs[2].values(), inputs[3].values());
        Norm { moments: &self.moments, epsilon: self.epsilon, weight, bias }
    }

    /// Returns the pixels of a strip: whole rows.
    fn strip_pixels([height, width]: [usize; 2]) -> usize {
        STRIP.div_ceil(width).min(height) * width
    }
}

impl<'a> Middle<'a> {
    /// Creates the middle with the normalisation in its expansion.
    fn new(inputs: &'a [Map; INPUTS], expand: &[f32], expand_bias: &'a [f32]) -> Self {
        let [_, channels, height, width] = inputs[0].shape();
        let wide = expand_bias.len();
        let [depthwise, depthwise_bias, project] = [6, 7, 8].map(|index| inputs[index].values());
        let block = |first: usize| {
            let rows = first..(first + BLOCK).min(wide);
            let (count, kernels) = (rows.len(), &depthwise[rows.start * TAPS..rows.end * TAPS]);
            Block {
                expand: Matrix::new([count, channels], |row, column| expand[(first + row) * channels + column]),
                expand_turned: Matrix::new([channels, count], |row, column| expand[(first + column) * channels + row]),
                expand_bias: &expand_bias[rows.clone()],
                depthwise: kernels,
                depthwise_turned: kernels.chunks_exact(TAPS).flat_map(|kernel| kernel.iter().rev().copied()).collect(),
                depthwise_bias: &depthwise_bias[rows.clone()],
                project: Matrix::new([channels, count], |row, column| project[row * wide + first + column]),
                project_turned: Matrix::new([count, channels], |row, column| project[column * wide + first + row]),
                rows,
            }
        };
        Self { size: [height, width], channels, wide, blocks: (0..wide).step_by(BLOCK).map(block).collect() }
    }

    /// Computes the expansion, the depthwise convolution and the GELU of a block over a strip:
    /// `scratch.wide`, and `scratch.activated` with the GELU's slope in `scratch.middle`.
    fn open(&self, block: &Block<'_>, from: &Strip, to: &Strip, scratch: &mut Scratch) {
        let wide = room(&mut scratch.wide, from.panels_read() * block.rows.len());
        let strides = Strides::planes(from.panels_read());
        multiply(&block.expand, &scratch.input, Start::Bias(block.expand_bias), wide, strides);
        from.clear(wide);
        let middle = room(&mut scratch.middle, to.panels() * block.rows.len());
        let bias = Some(block.depthwise_bias);
        depthwise(wide, &taps(to.stride()), block.depthwise, bias, &mut scratch.line, middle);
        gelu_and_slope(flat_mut(middle), flat_mut(room(&mut scratch.activated, to.panels() * block.rows.len())));
    }

    /// `W2 gelu(dw3x3(W1 x + b1))` of a strip, in `scratch.narrow`.
    fn forward(&self, x: &[f32], tile: &Tile<'_>, scratch: &mut Scratch) {
        let [own, outer] = [0, 1].map(|halo| Strip::new(tile, self.size, halo));
        outer.pack(x, self.size[0] * self.size[1], &mut scratch.line, &mut scratch.input);
        zeroed(&mut scratch.narrow, own.panels() * self.channels);
        for block in &self.blocks {
            self.open(block, &outer, &own, scratch);
            let strides = Strides::panels(self.channels);
            multiply(&block.project, &scratch.activated, Start::Output, &mut scratch.narrow, strides);
        }
    }

    /// Computes the gradient of a strip's input in `scratch.narrow`, from the output's of the whole
    /// image; adds those of the weights to `sums`.
    fn backward(&self, x: &[f32], of_output: &[f32], tile: &Tile<'_>, scratch: &mut Scratch, sums: &mut Sums) {
        let (size, channels) = (self.size[0] * self.size[1], self.channels);
        let [own, outer, outmost] = [0, 1, 2].map(|halo| Strip::new(tile, self.size, halo));
        let taps = taps(own.stride());
        // The beginning and the end of the strip itself in planes with one row of halo.
        let inner = outer.lead + own.stride()..outer.lead + own.stride() + own.len() - 1;
        outmost.pack(x, size, &mut scratch.line, &mut scratch.input);
        own.pack(x, size, &mut scratch.line, &mut scratch.own_input);
        outer.pack(of_output, size, &mut scratch.line, &mut scratch.of_output);
        outer.without_halo().pack(of_output, size, &mut scratch.line, &mut scratch.of_own_output);
        add_row_sums(&scratch.of_own_output, &mut sums[PROJECT_BIAS]);
        zeroed(&mut scratch.narrow, own.panels() * channels);
        for block in &self.blocks {
            let (rows, count) = (block.rows.clone(), block.rows.len());
            let matrix = rows.start * channels..rows.end * channels;
            self.open(block, &outmost, &outer, scratch);
            multiply_transposed(
                &scratch.activated,
                &scratch.of_own_output,
                [count, channels],
                &mut sums[PROJECT][matrix.clone()],
            );

            let of_middle = room(&mut scratch.of_middle, outer.panels() * count);
            multiply(&block.project_turned, &scratch.of_output, Start::Zero, of_middle, Strides::panels(count));
            multiply_by(of_middle, &scratch.middle);
            let of_planes = room(&mut scratch.of_middle_planes, outer.panels_read() * count);
            for (channel, plane) in of_planes.chunks_exact_mut(outer.panels_read()).enumerate() {
                unpack_row(of_middle, count, channel, &mut flat_mut(plane)[..outer.panels() * LANES]);
            }
            outer.clear(of_planes);
            let planes =
                of_planes.chunks_exact(outer.panels_read()).zip(scratch.wide.chunks_exact(outmost.panels_read()));
            for (channel, (of_plane, plane)) in rows.clone().zip(planes) {
                let gradient = &flat(of_plane)[inner.clone()];
                correlate(
                    &flat(plane)[inner.start..],
                    &taps,
                    gradient,
                    &mut sums[DEPTHWISE][channel * TAPS..(channel + 1) * TAPS],
                );
                sums[DEPTHWISE_BIAS][channel] += sum(gradient);
            }

            let of_wide = room(&mut scratch.of_wide, own.panels() * count);
            depthwise(of_planes, &taps, &block.depthwise_turned, None, &mut scratch.line, of_wide);
            own.clear_gaps(of_wide, count);
            multiply_transposed(of_wide, &scratch.own_input, [count, channels], &mut sums[EXPAND][matrix]);
            add_row_sums(of_wide, &mut sums[EXPAND_BIAS][rows]);
            let strides = Strides::panels(channels);
            multiply(&block.expand_turned, of_wide, Start::Output, &mut scratch.narrow, strides);
        }
    }

    /// Calls `with` with each row of a plane of `scratch.narrow` and the same row of a strip's
    /// plane.
    fn rows(
        &self,
        scratch: &mut Scratch,
        channel: usize,
        plane: &mut [f32],
        mut with: impl FnMut(usize, &[f32], &mut [f32]),
    ) {
        let width = self.size[1];
        scratch.line.resize(scratch.narrow.len() / self.channels * LANES, 0.0);
        unpack_row(&scratch.narrow, self.channels, channel, &mut scratch.line);
        for (row, (plane, line)) in plane.chunks_exact_mut(width).zip(scratch.line.chunks(width + 1)).enumerate() {
            with(row * width, &line[..width], plane);
        }
    }
}

/// The sums of the weights' gradients, in the order of the indices below; matrices have the wide
/// side first.
type Sums = [Vec<f32>; 6];
const EXPAND: usize = 0;
const EXPAND_BIAS: usize = 1;
const DEPTHWISE: usize = 2;
const DEPTHWISE_BIAS: usize = 3;
const PROJECT: usize = 4;
const PROJECT_BIAS: usize = 5;

impl Operator<INPUTS> for FeedForward {
    /// The input of the last GELU.
    type Saved = Map;

    fn forward(&self, inputs: &[Map; INPUTS]) -> (Map, Map) {
        let ([x, residual], [n, c, h, w]) = ([&inputs[0], &inputs[1]], inputs[0].shape());
        let (expand, expand_bias) = self.norm(inputs).fold(inputs[4].values(), inputs[5].values());
        let middle = Middle::new(inputs, &expand, &expand_bias);
        let bias = inputs[9].values();
        let [mut before, mut y] = [(); 2].map(|()| vec![0.0; n * c * h * w]);
        let pixels = Self::strip_pixels([h, w]);
        let strips = tiles(&mut before, c, h * w, pixels).into_par_iter().zip(tiles(&mut y, c, h * w, pixels));
        strips.for_each_init(Scratch::default, |scratch, (before, y)| {
            middle.forward(image(x, y.image), &y, scratch);
            for (channel, (before, y_plane)) in before.planes.into_iter().zip(y.planes).enumerate() {
                let residual = &image(residual, y.image)[channel * h * w + y.start..];
                middle.rows(scratch, channel, before, |start, line, before| {
                    for ((before, value), residual) in before.iter_mut().zip(line).zip(&residual[start..]) {
                        *before = value + bias[channel] + residual;
                    }
                });
                gelu(before, y_plane);
            }
        });
        (Map::new(y, [n, c, h, w]), Map::new(before, [n, c, h, w]))
    }

    fn backward(&self, inputs: &[Map; INPUTS], before: Map, gradient: Map) -> [Vec<f32>; INPUTS] {
        let (x, [n, c, h, w]) = (&inputs[0], inputs[0].shape());
        let norm = self.norm(inputs);
        let (expand, expand_bias) = norm.fold(inputs[4].values(), inputs[5].values());
        let middle = Middle::new(inputs, &expand, &expand_bias);

        // The gradient of what the last GELU was applied to is the residual's as well.
        let mut of_sum = gradient.values().to_vec();
        let planes = of_sum.par_chunks_exact_mut(h * w).zip(before.values().par_chunks_exact(h * w));
        planes.for_each(|(gradient, before)| gelu_gradient(before, gradient));

        let mut x_gradient = vec![0.0; n * c * h * w];
        let mut strips = tiles(&mut x_gradient, c, h * w, Self::strip_pixels([h, w]));
        let group = group_size(strips.len());
        let sums = strips.par_chunks_mut(group).map(|strips| {
            let wide = middle.wide;
            let mut sums = [wide * c, wide, wide * TAPS, wide, wide * c, c].map(|count| vec![0.0; count]);
            let mut scratch = Scratch::default();
            for strip in strips {
                let of_sum = &of_sum[strip.image * c * h * w..(strip.image + 1) * c * h * w];
                middle.backward(image(x, strip.image), of_sum, strip, &mut scratch, &mut sums);
                for (channel, plane) in strip.planes.iter_mut().enumerate() {
                    middle.rows(&mut scratch, channel, plane, |_, line, plane| plane.copy_from_slice(line));
                }
            }
            sums
        });
        let [of_expand, of_expand_bias, depthwise, depthwise_bias, of_project, project_bias] = total(sums.collect());
        let gradients = norm.unfold(inputs[4].values(), &of_expand, &of_expand_bias);
        correct(x.values(), &gradients.correction, h * w, &mut x_gradient);
        let wide = middle.wide;
        let project = (0..c * wide).map(|index| of_project[index % wide * c + index / wide]).collect();
        [
            x_gradient,
            of_sum,
            gradients.norm_weight,
            gradients.norm_bias,
            gradients.weight,
            of_expand_bias,
            depthwise,
            depthwise_bias,
            project,
            project_bias,
        ]
    }
}
