//! Normalisation and attention: two 1x1 convolutions with the AMS map between them,
//! `W3 (g * (W2 ams(g) + b2)) + b3` with `g = gelu(W1 norm(x) + b1)`.
//!
//! Image by image, three passes: `g` by tiles of pixels, the map by blocks of channels (see
//! [`Chain`]), the rest by tiles again. Between them lie `g` and the map, in blocks of channels;
//! nothing is kept for the gradient but the input. The gradient makes the passes again, with `u`
//! instead of `g`, and then back: where a map's gradient is known, it takes the map's place.

#![allow(unsafe_code, reason = "threads write to parts of a map that interleave")]

use rayon::prelude::*;

use super::affine::{Moments, Norm, correct};
use super::blocks::{group_size, pack, tile_pixels, unpack, vector};
use super::buffer::{Buffer, zeros};
use super::chain::{Chain, DEPTHWISE, Rows};
use super::lanes::{Lanes, block_count, flat, flat_mut, room};
use super::map::Map;
use super::norm_pointwise::{add_sums, image, total};
use super::operator::Operator;
use super::product::{Matrix, Start, dense, multiply, multiply_shared, multiply_transposed, sums};
use super::rows::{add_sum, multiply_in_place, times};
use super::shared::Shared;
use crate::gelu::{gelu, gelu_gradient, gelu_in_place};

/// `x`, weight and bias of the normalisation, and of the first convolution.
const FIRST: usize = 5;
/// The inputs: those, then weight and bias of the depthwise convolutions (see [`Chain`]), of the
/// mixing and of the last 1x1 convolution.
const INPUTS: usize = FIRST + 2 * DEPTHWISE + 4;
const MIX: usize = FIRST + 2 * DEPTHWISE;
const PROJECT: usize = MIX + 2;

/// The operator; its input is normalised by `moments`.
#[derive(Clone, Debug)]
pub struct Attention {
    /// The statistics that it normalises by.
    pub moments: Moments,
    /// Added to the variance.
    pub epsilon: f64,
    /// The dilation of the atrous convolution.
    pub dilation: usize,
}

/// The pieces of a map of blocks that hold the same pixels, tile by tile.
fn pieces(map: &mut [Lanes], size: usize, pixels: usize) -> Vec<Vec<&mut [Lanes]>> {
    let mut tiles: Vec<Vec<&mut [Lanes]>> = (0..size).step_by(pixels).map(|_| Vec::new()).collect();
    for plane in map.chunks_exact_mut(size) {
        for (tile, piece) in tiles.iter_mut().zip(plane.chunks_mut(pixels)) {
            tile.push(piece);
        }
    }
    tiles
}

/// Returns the pieces of the planes of one image that hold the same pixels, tile by tile.
fn planes(image: &mut [f32], size: usize, pixels: usize) -> Vec<super::blocks::Tile<'_>> {
    super::blocks::tiles(image, image.len() / size, size, pixels)
}

/// One image, and the products around the chain.
struct Image<'a> {
    x: &'a [f32],
    size: usize,
    channels: usize,
    blocks: usize,
    expand: Matrix,
    expand_bias: Vec<Lanes>,
    mix: Matrix,
    mix_bias: Vec<Lanes>,
}

impl Image<'_> {
    /// Prepares the weights for images of a batch; `expand` has taken in the normalisation.
    fn new(inputs: &[Map; INPUTS], expand: &[f32], expand_bias: &[f32]) -> Self {
        let [_, c, h, w] = inputs[0].shape();
        Self {
            x: &[],
            size: h * w,
            channels: c,
            blocks: block_count(c),
            expand: Matrix::new(expand, [c, c]),
            expand_bias: vector(expand_bias),
            mix: Matrix::new(inputs[MIX].values(), [c, c]),
            mix_bias: vector(inputs[MIX + 1].values()),
        }
    }

    /// Returns the pixels of a tile.
    fn pixels(&self) -> usize {
        tile_pixels(self.channels)
    }

    /// Computes `W1 norm(x) + b1` in blocks, or its GELU.
    fn expand(&self, activated: bool, map: &mut [Lanes]) {
        let (size, shared) = (self.size, Shared::new(map));
        (0..size).into_par_iter().step_by(self.pixels()).for_each_init(Vec::new, |input, start| {
            let pixels = self.pixels().min(size - start);
            let input = room(input, pixels * self.blocks);
            pack(self.x, size, start, pixels, input, pixels);
            let bias = Start::Bias(&self.expand_bias);
            // SAFETY: tiles have no pixel in common.
            unsafe {
                multiply_shared(self.expand.whole(), &[0], input, bias, shared.from(start), [pixels, size], pixels);
                for block in (0..self.blocks).filter(|_| activated) {
                    gelu_in_place(flat_mut(shared.part(block * size + start..block * size + start + pixels)));
                }
            }
        });
    }

    /// Computes what is behind the chain, in place of `g`.
    fn finish(&self, map: &[Lanes], g: &mut [Lanes], project: &Matrix, bias: &[Lanes]) {
        let (size, shared) = (self.size, Shared::new(g));
        (0..size).into_par_iter().step_by(self.pixels()).for_each_init(Vec::new, |mixed, start| {
            let pixels = self.pixels().min(size - start);
            let mixed = room(mixed, pixels * self.blocks);
            self.mix(&map[start..], size, pixels, mixed);
            // SAFETY: tiles have no pixel in common.
            unsafe {
                for (block, mixed) in mixed.chunks_exact_mut(pixels).enumerate() {
                    multiply_in_place(shared.part(block * size + start..block * size + start + pixels), mixed);
                }
                let (y, bias) = (shared.from(start), Start::Bias(bias));
                multiply_shared(project.whole(), &[0], mixed, bias, y, [pixels, size], pixels);
            }
        });
    }

    /// Computes `W2 map + b2` of a tile.
    fn mix(&self, map: &[Lanes], stride: usize, pixels: usize, y: &mut [Lanes]) {
        multiply(self.mix.whole(), map, Start::Bias(&self.mix_bias), y, [stride, pixels], pixels);
    }
}

impl Attention {
    fn norm<'a>(&'a self, inputs: &'a [Map; INPUTS]) -> Norm<'a> {
        let (weight, bias) = (inputs[1].values(), inputs[2].values());
        Norm { moments: &self.moments, epsilon: self.epsilon, weight, bias }
    }

    fn chain(&self, inputs: &[Map; INPUTS]) -> Chain {
        let [_, _, h, w] = inputs[0].shape();
        let (layers, _) = inputs[FIRST..MIX].as_chunks::<2>();
        Chain::new(layers, [h, w], self.dilation)
    }
}

/// Computes the chain's map of all blocks of an image, from `g`.
fn chain_map(chain: &Chain, [h, w]: [usize; 2], g: &[Lanes], map: &mut [Lanes]) {
    // Values do not depend on the cut, so that there may be a piece for each thread.
    let blocks = g.len() / (h * w);
    let rows = h.div_ceil(rayon::current_num_threads().div_ceil(blocks));
    let bands: Vec<_> = map
        .chunks_exact_mut(h * w)
        .zip(g.chunks_exact(h * w))
        .enumerate()
        .flat_map(|(block, (map, g))| map.chunks_mut(rows * w).enumerate().map(move |band| (block, g, band)))
        .collect();
    bands.into_par_iter().for_each_init(Rows::default, |work, (block, g, (band, map))| {
        let first = band * rows;
        chain.forward(block, g, first..first + map.len() / w, work, map);
    });
}

impl Operator<INPUTS> for Attention {
    type Saved = ();

    fn forward(&self, inputs: &[Map; INPUTS]) -> (Map, ()) {
        let [n, c, h, w] = inputs[0].shape();
        let (size, blocks, chain) = (h * w, block_count(c), self.chain(inputs));
        let (expand, expand_bias) = self.norm(inputs).fold(inputs[3].values(), inputs[4].values());
        let mut image = Image::new(inputs, &expand, &expand_bias);
        let project = Matrix::new(inputs[PROJECT].values(), [c, c]);
        let project_bias = vector(inputs[PROJECT + 1].values());
        let mut y = Vec::new();
        for (index, x) in inputs[0].values().chunks_exact(c * size).enumerate() {
            image.x = x;
            let [mut g, mut map] = [(); 2].map(|()| Buffer::zeros(blocks * size));
            image.expand(true, g.lanes());
            chain_map(&chain, [h, w], g.lanes(), map.lanes());
            image.finish(map.lanes(), g.lanes(), &project, &project_bias);
            // The output waits until the map is free: its memory is the same.
            drop(map);
            if y.is_empty() {
                y = zeros(n * c * size);
            }
            let (map, y) = (&*g.lanes(), &mut y[index * c * size..(index + 1) * c * size]);
            planes(y, size, image.pixels()).into_par_iter().for_each(|mut tile| {
                unpack(&map[tile.start..], size, &mut tile.planes);
            });
        }
        (Map::new(y, [n, c, h, w]), ())
    }

    fn backward(&self, inputs: &[Map; INPUTS], (): (), gradient: Map) -> [Vec<f32>; INPUTS] {
        let x = &inputs[0];
        let [n, c, h, w] = x.shape();
        let (size, blocks, chain) = (h * w, block_count(c), self.chain(inputs));
        let norm = self.norm(inputs);
        let (expand, expand_bias) = norm.fold(inputs[3].values(), inputs[4].values());
        let mut one = Image::new(inputs, &expand, &expand_bias);
        let expand_turned = Matrix::transposed(&expand, [c, c]);
        let [mix_turned, project_turned] =
            [MIX, PROJECT].map(|index| Matrix::transposed(inputs[index].values(), [c, c]));

        let pixels = one.pixels();
        let group = group_size(size.div_ceil(pixels));
        let mut x_gradient = zeros(n * c * size);
        let mut depthwise = vec![Lanes::ZERO; blocks * chain.parameters()];
        let mut totals = Vec::new();
        let mut buffers = [(); 3].map(|()| Buffer::zeros(blocks * size));
        let [u, map, of_u] = buffers.each_mut().map(Buffer::lanes);
        for index in 0..n {
            one.x = image(x, index);
            one.expand(false, u);
            of_u.par_chunks_mut(1 << 10).zip(u.par_chunks(1 << 10)).for_each(|(g, u)| gelu(flat(u), flat_mut(g)));
            chain_map(&chain, [h, w], of_u, map);

            // Back to the map, whose gradient takes its place, and to `g`.
            let mut tiles: Vec<_> =
                pieces(map, size, pixels).into_iter().zip(pieces(of_u, size, pixels)).enumerate().collect();
            let sums_of_tiles = tiles.par_chunks_mut(group).map(|tiles| {
                let mut totals = [sums([c, c]), vec![Lanes::ZERO; blocks], sums([c, c]), vec![Lanes::ZERO; blocks]];
                let [mut map, mut mixed, mut of_output, mut product, mut gated] = [(); 5].map(|()| Vec::new());
                for (tile, (of_map, of_g)) in tiles {
                    let pixels = of_map[0].len();
                    let strides = [pixels; 2];
                    let buffers = [&mut map, &mut mixed, &mut of_output, &mut product, &mut gated];
                    let [map, mixed, of_output, product, gated] = buffers.map(|buffer| room(buffer, pixels * blocks));
                    for (map, piece) in map.chunks_exact_mut(pixels).zip(&*of_map) {
                        map.copy_from_slice(piece);
                    }
                    one.mix(map, pixels, pixels, mixed);
                    pack(image(&gradient, index), size, *tile * one.pixels(), pixels, of_output, pixels);
                    for (block, g) in of_g.iter().enumerate() {
                        let range = block * pixels..(block + 1) * pixels;
                        times(&mixed[range.clone()], g, &mut gated[range]);
                    }
                    multiply_transposed(of_output, gated, [blocks; 2], strides, pixels, &mut totals[2]);
                    add_sums(of_output, pixels, &mut totals[3]);
                    // The gradient of the product, and from it those of its two factors.
                    multiply(project_turned.whole(), of_output, Start::Zero, product, strides, pixels);
                    for (block, g) in of_g.iter_mut().enumerate() {
                        let range = block * pixels..(block + 1) * pixels;
                        times(&product[range.clone()], g, &mut gated[range.clone()]);
                        times(&product[range.clone()], &mixed[range], g);
                    }
                    multiply_transposed(gated, map, [blocks; 2], strides, pixels, &mut totals[0]);
                    add_sums(gated, pixels, &mut totals[1]);
                    multiply(mix_turned.whole(), gated, Start::Zero, product, strides, pixels);
                    for (product, piece) in product.chunks_exact(pixels).zip(of_map) {
                        piece.copy_from_slice(product);
                    }
                }
                totals
            });
            let behind = total(sums_of_tiles.collect());

            // Back through the chain and the GELU.
            of_u.par_chunks_exact_mut(size)
                .zip(map.par_chunks_exact(size))
                .zip(u.par_chunks_exact(size))
                .zip(depthwise.par_chunks_exact_mut(chain.parameters()))
                .enumerate()
                .for_each_init(
                    || (Rows::default(), Vec::new()),
                    |(work, g), (block, (((of_g, of_map), u), sums))| {
                        let g = room(g, size);
                        gelu(flat(u), flat_mut(g));
                        chain.backward(block, g, of_map, work, of_g, sums);
                        gelu_gradient(flat(u), flat_mut(of_g));
                    },
                );

            // Back through the first convolution.
            let mut tiles = planes(&mut x_gradient[index * c * size..(index + 1) * c * size], size, pixels);
            let of_u = &*of_u;
            let sums_of_tiles = tiles.par_chunks_mut(group).map(|tiles| {
                let mut totals = [sums([c, c]), vec![Lanes::ZERO; blocks]];
                let [mut input, mut product] = [(); 2].map(|()| Vec::new());
                for tile in tiles {
                    let pixels = tile.pixels();
                    let [input, product] = [&mut input, &mut product].map(|buffer| room(buffer, pixels * blocks));
                    pack(one.x, size, tile.start, pixels, input, pixels);
                    let of_here = &of_u[tile.start..];
                    multiply_transposed(of_here, input, [blocks; 2], [size, pixels], pixels, &mut totals[0]);
                    for (of_here, sum) in of_here.chunks(size).zip(&mut totals[1]) {
                        add_sum(&of_here[..pixels], sum);
                    }
                    multiply(expand_turned.whole(), of_here, Start::Zero, product, [size, pixels], pixels);
                    unpack(product, pixels, &mut tile.planes);
                }
                totals
            });
            let [of_expand, of_expand_bias] = total(sums_of_tiles.collect());
            let [of_mix, of_mix_bias, of_project, of_project_bias] = behind;
            totals.push([of_expand, of_expand_bias, of_mix, of_mix_bias, of_project, of_project_bias]);
        }
        let [of_expand, of_expand_bias, of_mix, of_mix_bias, of_project, of_project_bias] = total(totals);
        let [of_expand, of_mix, of_project] = [of_expand, of_mix, of_project].map(|sums| dense(&sums, [c, c]));
        let [of_expand_bias, of_mix_bias, of_project_bias] =
            [of_expand_bias, of_mix_bias, of_project_bias].map(|sums| flat(&sums)[..c].to_vec());
        let unfolded = norm.unfold(inputs[3].values(), &of_expand, &of_expand_bias);
        correct(x.values(), &unfolded.correction, size, &mut x_gradient);
        let mut gradients = std::array::from_fn(|_| Vec::new());
        let first = [x_gradient, unfolded.norm_weight, unfolded.norm_bias, unfolded.weight, of_expand_bias];
        let convolutions = (0..DEPTHWISE).flat_map(|index| chain.gradients(index, &depthwise, c));
        let last = [of_mix, of_mix_bias, of_project, of_project_bias];
        for (slot, values) in gradients.iter_mut().zip(first.into_iter().chain(convolutions).chain(last)) {
            *slot = values;
        }
        gradients
    }
}
