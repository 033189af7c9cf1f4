//! Batch normalisation and the 1x1 convolution behind it, as one product.

use rayon::prelude::*;

use super::affine::{Moments, Norm, correct};
use super::operator::{Map, Operator};
use super::panels::{add_row_sums, group_size, pack, tile_pixels, tiles, unpack_row};
use super::product::{Matrix, Start, Strides, multiply, multiply_transposed};

/// `W norm(x) + b` of `[x, norm weight, norm bias, W, b]`.
#[derive(Clone, Debug)]
pub(super) struct NormPointwise {
    pub(super) moments: Moments,
    pub(super) epsilon: f64,
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
pub(super) fn linear(x: &Map, weight: &[f32], bias: &[f32]) -> Map {
    let ([n, channels, h, w], rows) = (x.shape(), bias.len());
    let size = h * w;
    let matrix = Matrix::new([rows, channels], |row, column| weight[row * channels + column]);
    let mut y = vec![0.0; n * rows * size];
    let tiles = tiles(&mut y, rows, size, tile_pixels(channels.max(rows)));
    tiles.into_par_iter().for_each_init(
        || (Vec::new(), Vec::new()),
        |(panels, products), mut tile| {
            pack(image(x, tile.image), size, tile.start, tile.pixels(), panels);
            let products = super::lanes::room(products, panels.len() / channels * rows);
            multiply(&matrix, panels, Start::Bias(bias), products, Strides::panels(rows));
            for (row, plane) in tile.planes.iter_mut().enumerate() {
                unpack_row(products, rows, row, plane);
            }
        },
    );
    Map::new(y, [n, rows, h, w])
}

/// Computes the gradients of `x`, `W` and `b` of [`linear`].
pub(super) fn linear_gradients(x: &Map, weight: &[f32], gradient: &Map) -> [Vec<f32>; 3] {
    let ([n, channels, h, w], [_, rows, _, _]) = (x.shape(), gradient.shape());
    let size = h * w;
    let transposed = Matrix::new([channels, rows], |row, column| weight[column * channels + row]);
    let mut x_gradient = vec![0.0; n * channels * size];
    let mut tiles = tiles(&mut x_gradient, channels, size, tile_pixels(channels.max(rows)));
    let group = group_size(tiles.len());
    let sums = tiles.par_chunks_mut(group).map(|tiles| {
        let mut sums = [vec![0.0; rows * channels], vec![0.0; rows]];
        let (mut inputs, mut gradients, mut products) = (Vec::new(), Vec::new(), Vec::new());
        for tile in tiles {
            pack(image(x, tile.image), size, tile.start, tile.pixels(), &mut inputs);
            pack(image(gradient, tile.image), size, tile.start, tile.pixels(), &mut gradients);
            multiply_transposed(&gradients, &inputs, [rows, channels], &mut sums[0]);
            add_row_sums(&gradients, &mut sums[1]);
            let products = super::lanes::room(&mut products, inputs.len());
            multiply(&transposed, &gradients, Start::Zero, products, Strides::panels(channels));
            for (row, plane) in tile.planes.iter_mut().enumerate() {
                unpack_row(products, channels, row, plane);
            }
        }
        sums
    });
    let [weight, bias] = total(sums.collect());
    [x_gradient, weight, bias]
}

/// Returns the planes of one image of a batch.
pub(super) fn image(map: &Map, index: usize) -> &[f32] {
    let [_, c, h, w] = map.shape();
    &map.values()[index * c * h * w..(index + 1) * c * h * w]
}

/// Adds up the sums of all groups in their order.
pub(super) fn total<const N: usize>(groups: Vec<[Vec<f32>; N]>) -> [Vec<f32>; N] {
    groups.into_iter().reduce(add).expect("a map has at least one tile")
}

fn add<const N: usize>(mut total: [Vec<f32>; N], group: [Vec<f32>; N]) -> [Vec<f32>; N] {
    for (total, group) in total.iter_mut().zip(&group) {
        for (total, value) in total.iter_mut().zip(group) {
            *total += value;
        }
    }
    total
}

/// `W x + b` of `[x, W, b]`.
#[derive(Clone, Debug)]
pub(super) struct Pointwise;

impl Operator<3> for Pointwise {
    type Saved = ();

    fn forward(&self, [x, weight, bias]: &[Map; 3]) -> (Map, ()) {
        (linear(x, weight.values(), bias.values()), ())
    }

    fn backward(&self, [x, weight, _]: &[Map; 3], (): (), gradient: Map) -> [Vec<f32>; 3] {
        linear_gradients(x, weight.values(), &gradient)
    }
}
