//! The feed-forward half of a block, `gelu(W2 gelu(dw3x3(W1 norm(x) + b1)) + b2 + residual)`,
//! without its wide middle.
//!
//! The middle is four times as wide as the ends, and it is what training's memory went to. Here it
//! never exists as a whole: bands of rows pass through it, thirty-two channels at a time, and of
//! these only the rows that the 3x3 convolution still reads are kept, in the second-level cache
//! (see [`Ring`]). The gradient computes it again, in the same way: expansion, convolution, GELU,
//! then the gradients of the convolution's output, of its input and of the weights, each as soon as
//! its rows are there. Only at the edges of a band are rows computed twice.

use std::ops::Range;

use rayon::prelude::*;

use super::affine::{Moments, Norm, correct};
use super::blocks::{Tile, group_size, pack, tiles, unpack, vector};
use super::lanes::{LANES, Lanes, block_count, flat, flat_mut, room};
use super::norm_pointwise::{add_sums, image, total};
use super::operator::{Map, Operator, zeros};
use super::product::{Matrix, Start, dense, multiply, multiply_transposed, sums};
use super::ring::Ring;
use super::rows::{add_sum, convolve, correlate, times};
use crate::kernels::gelu::polynomial::{gelu, gelu_and_slope, gelu_gradient, gelu_in_place, gelu_of_sum};

/// The blocks of the middle's channels that are computed at a time.
const CHUNK: usize = 2;
/// The approximate pixels of a band: its edges cost little.
const BAND: usize = 4096;
/// The approximate pixels of the rows that take a step together.
const STEP: usize = 256;
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
struct Middle {
    /// Height and width.
    size: [usize; 2],
    channels: usize,
    wide: usize,
    expand: Matrix,
    expand_bias: Vec<Lanes>,
    /// The taps of each block of channels.
    depthwise: Vec<Lanes>,
    depthwise_bias: Vec<Lanes>,
    project: Matrix,
    project_bias: Vec<Lanes>,
}

/// The weights that the gradient needs beside it.
struct Turned {
    expand: Matrix,
    depthwise: Vec<Lanes>,
    project: Matrix,
}

/// Returns the kernels of depthwise channels as lanes, one tap behind the other for each block.
pub(super) fn kernels(weights: &[f32], taps: usize) -> Vec<Lanes> {
    let mut lanes = vec![Lanes::ZERO; block_count(weights.len() / taps) * taps];
    for (channel, kernel) in weights.chunks_exact(taps).enumerate() {
        for (lanes, weight) in lanes[channel / LANES * taps..].iter_mut().zip(kernel) {
            lanes.0[channel % LANES] = *weight;
        }
    }
    lanes
}

/// Turns kernels by 180 degrees.
pub(super) fn turned(kernels: &[Lanes], taps: usize) -> Vec<Lanes> {
    kernels.chunks_exact(taps).flat_map(|kernel| kernel.iter().rev().copied()).collect()
}

/// Returns sums of a depthwise convolution's weights, channel by channel.
fn channels(sums: &[Lanes], taps: usize, channels: usize) -> Vec<f32> {
    let value = |channel: usize, tap: usize| sums[channel / LANES * taps + tap].0[channel % LANES];
    (0..channels).flat_map(|channel| (0..taps).map(move |tap| value(channel, tap))).collect()
}

/// The buffers of a thread.
#[derive(Default)]
struct Scratch {
    /// The input and the projection's value; in the gradient, the input's.
    input: Vec<Lanes>,
    narrow: Vec<Lanes>,
    /// The expansion.
    wide: Ring,
    /// The convolution, then the inner GELU's value, and its slope.
    middle: Vec<Lanes>,
    slope: Vec<Lanes>,
    /// For the gradient: those of the output, the middle and the expansion.
    of_output: Vec<Lanes>,
    of_middle: Vec<Lanes>,
    of_middle_rows: Ring,
    of_wide: Vec<Lanes>,
}

impl FeedForward {
    fn norm<'a>(&'a self, inputs: &'a [Map; INPUTS]) -> Norm<'a> {
        let (weight, bias) = (inputs[2].values(), inputs[3].values());
        Norm { moments: &self.moments, epsilon: self.epsilon, weight, bias }
    }

    /// Computes the value, and the input of the last GELU where it is kept.
    fn compute(&self, inputs: &[Map; INPUTS], keep: bool) -> (Map, Option<Map>) {
        let ([x, residual], [n, c, h, w]) = ([&inputs[0], &inputs[1]], inputs[0].shape());
        let (expand, expand_bias) = self.norm(inputs).fold(inputs[4].values(), inputs[5].values());
        let middle = Middle::new(inputs, &expand, &expand_bias);
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

impl Middle {
    /// Creates the middle with the normalisation in its expansion.
    fn new(inputs: &[Map; INPUTS], expand: &[f32], expand_bias: &[f32]) -> Self {
        let [_, channels, height, width] = inputs[0].shape();
        let wide = expand_bias.len();
        let [depthwise, depthwise_bias, project, project_bias] = [6, 7, 8, 9].map(|index| inputs[index].values());
        Self {
            size: [height, width],
            channels,
            wide,
            expand: Matrix::new(expand, [wide, channels]),
            expand_bias: vector(expand_bias),
            depthwise: kernels(depthwise, TAPS),
            depthwise_bias: vector(depthwise_bias),
            project: Matrix::new(project, [channels, wide]),
            project_bias: vector(project_bias),
        }
    }

    /// Returns the blocks of channels that are computed together.
    fn chunks(&self) -> impl Iterator<Item = Range<usize>> {
        let blocks = block_count(self.wide);
        (0..blocks).step_by(CHUNK).map(move |first| first..(first + CHUNK).min(blocks))
    }

    /// Returns the rows that take a step together.
    fn step(&self) -> usize {
        STEP.div_ceil(self.size[1])
    }

    /// Computes a row of the expansion, from the input's rows from `first` on.
    fn widen(&self, chunk: &Range<usize>, input: &[Lanes], stride: usize, first: usize, row: usize, wide: &mut Ring) {
        let width = self.size[1];
        let (x, strides) = (&input[(row - first) * width..], [stride, wide.stride()]);
        let bias = Start::Bias(&self.expand_bias[chunk.clone()]);
        let matrix = self.expand.rows(chunk.start, chunk.len());
        multiply(matrix, x, bias, &mut wide.row_mut(row)[1..], strides, width);
    }

    /// `W2 gelu(dw3x3(W1 x + b1)) + b2` of a band, in `scratch.narrow`.
    fn forward(&self, x: &[f32], tile: &Tile<'_>, scratch: &mut Scratch) {
        let [height, width] = self.size;
        let rows = tile.start / width..(tile.start + tile.pixels()) / width;
        let outer = rows.start.saturating_sub(1)..(rows.end + 1).min(height);
        let (stride, pixels) = (outer.len() * width, rows.len() * width);
        let Scratch { input, narrow, wide, middle, .. } = scratch;
        let input = room(input, stride * block_count(self.channels));
        pack(x, height * width, outer.start * width, stride, input, stride);
        let narrow = room(narrow, pixels * block_count(self.channels));
        let step = self.step();
        for chunk in self.chunks() {
            wide.reset(chunk.len(), height, width + 2, step + 2);
            let mut next = outer.start;
            for top in rows.clone().step_by(step) {
                let end = (top + step).min(rows.end);
                while next < (end + 1).min(height) {
                    self.widen(&chunk, input, stride, outer.start, next, wide);
                    next += 1;
                }
                let count = (end - top) * width;
                let middle = room(middle, count * chunk.len());
                for (index, block) in chunk.clone().enumerate() {
                    for row in top..end {
                        let y = &mut middle[index * count + (row - top) * width..][..width];
                        self.convolve(block, wide.around::<3>(index, row, 1, 0), y);
                        gelu_in_place(flat_mut(y));
                    }
                }
                let start = if chunk.start == 0 { Start::Bias(&self.project_bias) } else { Start::Output };
                let matrix = self.project.columns(chunk.start, chunk.len());
                multiply(matrix, middle, start, &mut narrow[(top - rows.start) * width..], [count, pixels], count);
            }
        }
    }

    /// Computes a row of the depthwise convolution.
    fn convolve(&self, block: usize, rows: [&[Lanes]; 3], y: &mut [Lanes]) {
        convolve(&rows, 1, &self.depthwise[block * TAPS..(block + 1) * TAPS], &self.depthwise_bias[block], y);
    }

    /// Computes the gradient of a band's input in `scratch.narrow`, from the output's of the whole
    /// image; adds those of the weights to `sums`.
    fn backward(
        &self,
        turned: &Turned,
        x: &[f32],
        of_output: &[f32],
        tile: &Tile<'_>,
        scratch: &mut Scratch,
        sums: &mut Sums,
    ) {
        let ([height, width], blocks) = (self.size, block_count(self.channels));
        let rows = tile.start / width..(tile.start + tile.pixels()) / width;
        let [outer, outmost] = [1, 2].map(|halo| rows.start.saturating_sub(halo)..(rows.end + halo).min(height));
        let [pixels, of_stride, stride] = [&rows, &outer, &outmost].map(|rows| rows.len() * width);
        let Scratch { input, narrow, wide, middle, slope, of_middle_rows, of_wide, .. } = scratch;
        let input = room(input, stride * blocks);
        pack(x, height * width, outmost.start * width, stride, input, stride);
        let own_input = &input[(rows.start - outmost.start) * width..];
        let of_output_lanes = room(&mut scratch.of_output, of_stride * blocks);
        pack(of_output, height * width, outer.start * width, of_stride, of_output_lanes, of_stride);
        let of_output = &*of_output_lanes;
        let own_output = (rows.start - outer.start) * width;
        for (block, sum) in sums[PROJECT_BIAS].iter_mut().enumerate() {
            add_sum(&of_output[block * of_stride + own_output..][..pixels], sum);
        }
        let narrow = room(narrow, pixels * blocks);
        let step = self.step();
        for chunk in self.chunks() {
            let (count, taps) = (chunk.len(), chunk.start * TAPS..chunk.end * TAPS);
            let matrix = chunk.start * LANES * blocks..chunk.end * LANES * blocks;
            wide.reset(count, height, width + 2, step + 4);
            of_middle_rows.reset(count, height, width + 2, step + 3);
            let (mut next_wide, mut next_middle) = (outmost.start, outer.start);
            for top in rows.clone().step_by(step) {
                let end = (top + step).min(rows.end);
                // Rows of the middle, with their gradients.
                while next_middle < (end + 1).min(height) {
                    let new = next_middle..(end + 1).min(height).min(next_middle + step);
                    let size = new.len() * width;
                    let middle = room(middle, size * count);
                    while next_wide < (new.end + 1).min(height) {
                        self.widen(&chunk, input, stride, outmost.start, next_wide, wide);
                        next_wide += 1;
                    }
                    for (index, block) in chunk.clone().enumerate() {
                        for row in new.clone() {
                            let y = &mut middle[index * size + (row - new.start) * width..][..width];
                            self.convolve(block, wide.around::<3>(index, row, 1, 0), y);
                        }
                    }
                    let slope = room(slope, size * count);
                    gelu_and_slope(middle, slope);
                    let of_middle = room(&mut scratch.of_middle, size * count);
                    let of_rows = &of_output[(new.start - outer.start) * width..];
                    let part = turned.project.rows(chunk.start, count);
                    multiply(part, of_rows, Start::Zero, of_middle, [of_stride, size], size);
                    for index in 0..count {
                        for row in new.clone() {
                            let place = index * size + (row - new.start) * width;
                            let y = &mut of_middle_rows.block_row_mut(index, row)[1..=width];
                            times(&of_middle[place..][..width], &slope[place..][..width], y);
                        }
                    }
                    let own = new.start.max(rows.start)..new.end.min(rows.end);
                    if !own.is_empty() {
                        multiply_transposed(
                            &middle[(own.start - new.start) * width..],
                            &of_output[(own.start - outer.start) * width..],
                            [count, blocks],
                            [size, of_stride],
                            own.len() * width,
                            &mut sums[PROJECT][matrix.clone()],
                        );
                    }
                    next_middle = new.end;
                }
                // Rows of the expansion's gradient.
                let size = (end - top) * width;
                let of_wide = room(of_wide, size * count);
                for (index, block) in chunk.clone().enumerate() {
                    let kernel = &turned.depthwise[block * TAPS..(block + 1) * TAPS];
                    for row in top..end {
                        let gradient = &of_middle_rows.row(index, row as isize)[1..=width];
                        let around = wide.around::<3>(index, row, 1, 0);
                        let read: [&[Lanes]; TAPS] = std::array::from_fn(|tap| &around[tap / 3][tap % 3..]);
                        correlate(
                            &read,
                            gradient,
                            &mut sums[DEPTHWISE][taps.clone()][index * TAPS..(index + 1) * TAPS],
                        );
                        add_sum(gradient, &mut sums[DEPTHWISE_BIAS][block]);
                        let y = &mut of_wide[index * size + (row - top) * width..][..width];
                        convolve(&of_middle_rows.around::<3>(index, row, 1, 0), 1, kernel, &Lanes::ZERO, y);
                    }
                }
                let place = (top - rows.start) * width;
                let (blocks, strides) = ([count, blocks], [size, stride]);
                multiply_transposed(
                    of_wide,
                    &own_input[place..],
                    blocks,
                    strides,
                    size,
                    &mut sums[EXPAND][matrix.clone()],
                );
                add_sums(of_wide, size, &mut sums[EXPAND_BIAS][chunk.clone()]);
                let start = if chunk.start == 0 { Start::Zero } else { Start::Output };
                let part = turned.expand.columns(chunk.start, count);
                multiply(part, of_wide, start, &mut narrow[place..], [size, pixels], size);
            }
        }
    }
}

/// The sums of the weights' gradients, in the order of the indices below; matrices have the wide
/// side first.
type Sums = [Vec<Lanes>; 6];
const EXPAND: usize = 0;
const EXPAND_BIAS: usize = 1;
const DEPTHWISE: usize = 2;
const DEPTHWISE_BIAS: usize = 3;
const PROJECT: usize = 4;
const PROJECT_BIAS: usize = 5;

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
        let middle = Middle::new(inputs, &expand, &expand_bias);
        let wide = middle.wide;
        let reversed = Turned {
            expand: Matrix::transposed(&expand, [wide, c]),
            depthwise: turned(&middle.depthwise, TAPS),
            project: Matrix::transposed(inputs[8].values(), [c, wide]),
        };

        // The gradient of what the last GELU was applied to is the residual's as well.
        let before = before.expect("a recorded step keeps it");
        let mut of_sum = gradient.values().to_vec();
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
