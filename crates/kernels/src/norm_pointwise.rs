//! Batch normalisation and the 1x1 convolution behind it, as one product.

use rayon::prelude::*;

use super::affine::{Moments, Norm, correct};
use super::blocks::{Tile, group_size, pack, tile_pixels, tiles, unpack, vector};
use super::buffer::zeros;
use super::lanes::{Lanes, block_count, flat, room};
use super::map::Map;
use super::operator::Operator;
use super::product::{Matrix, Start, dense, multiply, multiply_transposed, sums};
use super::rows::add_sum;

/// `W norm(x) + b` of `[x, norm weight, norm bias, W, b]`.
#[derive(Clone, Debug)]
pub struct NormPointwise {
    /// The statistics that it normalises by.
    pub moments: Moments,
    /// Added to the variance.
    pub epsilon: f64,
}

impl NormPointwise {
    fn norm<'a>(&'a self, [_, weight, bias, _, _]: &'a [Map; 5]) -> Norm<'a> {
        Norm { moments: &self.moments, epsilon: self.epsilon, weight: weight.values(), bias: bias.values() }
    }
}

impl Operator<5> for NormPointwise {
    type Saved = ();

    fn forward(&self, inputs: &[Map; 5]) -> (Map, ()) {
        let [x, _, _, weight, bias] = inputs;
        let (weight, bias) = self.norm(inputs).fold(weight.values(), bias.values());
        (linear(x, &weight, &bias), ())
    }

    fn backward(&self, inputs: &[Map; 5], (): (), gradient: Map) -> [Vec<f32>; 5] {
        let [x, _, _, weight, bias] = inputs;
        let norm = self.norm(inputs);
        let (folded, _) = norm.fold(weight.values(), bias.values());
        let [mut x_gradient, folded_weight, folded_bias] = linear_gradients(x, &folded, &gradient);
        let gradients = norm.unfold(weight.values(), &folded_weight, &folded_bias);
        let [_, _, h, w] = x.shape();
        correct(x.values(), &gradients.correction, h * w, &mut x_gradient);
        [x_gradient, gradients.norm_weight, gradients.norm_bias, gradients.weight, folded_bias]
    }
}

/// `W x + b` at every pixel.
pub(crate) fn linear(x: &Map, weight: &[f32], bias: &[f32]) -> Map {
    let ([n, channels, h, w], rows) = (x.shape(), bias.len());
    let (size, bias) = (h * w, vector(bias));
    let matrix = Matrix::new(weight, [rows, channels]);
    let mut y = zeros(n * rows * size);
    let tiles = tiles(&mut y, rows, size, tile_pixels(channels.max(rows)));
    tiles.into_par_iter().for_each_init(
        || [(); 2].map(|()| Vec::new()),
        |[input, output], mut tile| {
            let pixels = tile.pixels();
            let input = pack_tile(x, &tile, input);
            let output = room(output, pixels * block_count(rows));
            multiply(matrix.whole(), input, Start::Bias(&bias), output, [pixels; 2], pixels);
            unpack(output, pixels, &mut tile.planes);
        },
    );
    Map::new(y, [n, rows, h, w])
}

/// Computes the gradients of `x`, `W` and `b` of [`linear`].
pub(crate) fn linear_gradients(x: &Map, weight: &[f32], gradient: &Map) -> [Vec<f32>; 3] {
    let ([n, channels, h, w], [_, rows, _, _]) = (x.shape(), gradient.shape());
    let size = h * w;
    let transposed = Matrix::transposed(weight, [rows, channels]);
    let mut x_gradient = zeros(n * channels * size);
    let mut tiles = tiles(&mut x_gradient, channels, size, tile_pixels(channels.max(rows)));
    let group = group_size(tiles.len());
    let blocks = [rows, channels].map(block_count);
    let totals = tiles.par_chunks_mut(group).map(|tiles| {
        let mut totals = [sums([rows, channels]), vec![Lanes::ZERO; blocks[0]]];
        let [mut input, mut of_output, mut products] = [(); 3].map(|()| Vec::new());
        for tile in tiles {
            let pixels = tile.pixels();
            let input = pack_tile(x, tile, &mut input);
            let of_output = pack_tile(gradient, tile, &mut of_output);
            multiply_transposed(of_output, input, blocks, [pixels; 2], pixels, &mut totals[0]);
            add_sums(of_output, pixels, &mut totals[1]);
            let products = room(&mut products, pixels * blocks[1]);
            multiply(transposed.whole(), of_output, Start::Zero, products, [pixels; 2], pixels);
            unpack(products, pixels, &mut tile.planes);
        }
        totals
    });
    let [of_weight, of_bias] = total(totals.collect());
    [x_gradient, dense(&of_weight, [rows, channels]), flat(&of_bias)[..rows].to_vec()]
}

/// Copies the pixels of a tile of another map of the same size into blocks, one behind the other.
pub(crate) fn pack_tile<'a>(map: &Map, tile: &Tile<'_>, blocks: &'a mut Vec<Lanes>) -> &'a [Lanes] {
    let [_, c, h, w] = map.shape();
    let blocks = room(blocks, tile.pixels() * block_count(c));
    pack(image(map, tile.image), h * w, tile.start, tile.pixels(), blocks, tile.pixels());
    blocks
}

/// Adds the sums over the pixels of blocks that lie `stride` lanes apart.
pub(crate) fn add_sums(blocks: &[Lanes], stride: usize, sums: &mut [Lanes]) {
    for (block, sum) in blocks.chunks(stride).zip(sums) {
        add_sum(block, sum);
    }
}

/// Returns the planes of one image of a batch.
pub(crate) fn image(map: &Map, index: usize) -> &[f32] {
    let [_, c, h, w] = map.shape();
    &map.values()[index * c * h * w..(index + 1) * c * h * w]
}

/// Adds up the sums of all groups in their order.
pub(crate) fn total<const N: usize>(groups: Vec<[Vec<Lanes>; N]>) -> [Vec<Lanes>; N] {
    groups.into_iter().reduce(add).expect("a map has at least one tile")
}

fn add<const N: usize>(mut total: [Vec<Lanes>; N], group: [Vec<Lanes>; N]) -> [Vec<Lanes>; N] {
    for (total, group) in total.iter_mut().zip(&group) {
        for (total, value) in total.iter_mut().zip(group) {
            for (total, value) in total.0.iter_mut().zip(value.0) {
                *total += value;
            }
        }
    }
    total
}

/// `W x + b` of `[x, W, b]`.
#[derive(Clone, Debug)]
pub struct Pointwise;

impl Operator<3> for Pointwise {
    type Saved = ();

    fn forward(&self, [x, weight, bias]: &[Map; 3]) -> (Map, ()) {
        (linear(x, weight.values(), bias.values()), ())
    }

    fn backward(&self, [x, weight, _]: &[Map; 3], (): (), gradient: Map) -> [Vec<f32>; 3] {
        linear_gradients(x, weight.values(), &gradient)
    }
}
