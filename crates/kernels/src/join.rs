//! The join of a skip connection and the decoder: the weighting of the skip by place and by
//! channel, the 1x1 convolution of its half, and the sum with the other half.

use rayon::prelude::*;

use super::blocks::{Tile, group_size, tile_pixels, tiles, unpack, vector};
use super::buffer::{copied, zeros};
use super::lanes::{LANES, Lanes, block_count, flat, room};
use super::map::Map;
use super::norm_pointwise::{add_sums, image, pack_tile, total};
use super::operator::Operator;
use super::planes::add_plane;
use super::product::{Matrix, Start, dense, multiply, multiply_transposed, sums};
use super::vector::{Vector, vectorized};

/// `W (x + x^2 sigmoid(a x) g) + b + other` of `[x, other, a, g, W, b]`, with `a` `[1, c, 1, 1]`
/// and the gate `g` `[n, c, 1, 1]`.
#[derive(Clone, Debug)]
pub struct Join;

/// Computes the weight of each place, `sigmoid(a x)`, of pixels whose blocks lie `stride` apart.
pub(crate) fn places<'a>(
    x: &[Lanes],
    stride: usize,
    pixels: usize,
    a: &[Lanes],
    weights: &'a mut Vec<f32>,
) -> &'a [f32] {
    weights.resize(pixels, 0.0);
    dots(x, stride, a, weights);
    for weight in &mut *weights {
        *weight = 1.0 / (1.0 + (-*weight).exp());
    }
    weights
}

vectorized! {
    /// Computes `sum over channels of a x` of each pixel.
    fn dots(x: &[Lanes], stride: usize, a: &[Lanes], sums: &mut [f32]) = dots_with
}

#[inline(always)]
fn dots_with<V: Vector>(x: &[Lanes], stride: usize, a: &[Lanes], sums: &mut [f32]) {
    let (groups, rest) = sums.as_chunks_mut::<LANES>();
    let first = groups.len() * LANES;
    for (group, sums) in groups.iter_mut().enumerate() {
        let mut totals = [V::splat(0.0); LANES];
        for (block, a) in a.iter().enumerate() {
            let x: &[Lanes; LANES] = x[block * stride + group * LANES..].first_chunk().expect("blocks hold all pixels");
            let a = V::load(&a.0);
            for pixel in 0..LANES {
                totals[pixel] = totals[pixel].add_product(V::load(&x[pixel].0), a);
            }
        }
        V::sums(totals).store(sums);
    }
    for (pixel, sum) in rest.iter_mut().enumerate() {
        let mut total = V::splat(0.0);
        for (block, a) in a.iter().enumerate() {
            total = total.add_product(V::load(&x[block * stride + first + pixel].0), V::load(&a.0));
        }
        *sum = total.sum();
    }
}

vectorized! {
    /// `y = x + x^2 weight gate` of pixels, whose blocks in `x` lie `stride` apart.
    pub(crate) fn weigh(x: &[Lanes], stride: usize, weights: &[f32], gate: &[Lanes], y: &mut [Lanes]) = weigh_with
}

#[inline(always)]
fn weigh_with<V: Vector>(x: &[Lanes], stride: usize, weights: &[f32], gate: &[Lanes], y: &mut [Lanes]) {
    let pixels = weights.len();
    for ((x, y), gate) in x.chunks(stride).zip(y.chunks_exact_mut(pixels)).zip(gate) {
        let gate = V::load(&gate.0);
        for ((x, y), weight) in x.iter().zip(y).zip(weights) {
            let x = V::load(&x.0);
            x.add_product(x.multiply(x), gate.multiply(V::splat(*weight))).store(&mut y.0);
        }
    }
}

vectorized! {
    /// Turns the gradient of a weighed map into that of the map; adds those of `a` and of the gate.
    fn weigh_gradient(gradient: &mut [Lanes], x: &[Lanes], weights: &[f32], a: &[Lanes], gate: &[Lanes], of_a: &mut [Lanes], of_gate: &mut [Lanes]) = weigh_gradient_with
}

#[inline(always)]
fn weigh_gradient_with<V: Vector>(
    gradient: &mut [Lanes],
    x: &[Lanes],
    weights: &[f32],
    a: &[Lanes],
    gate: &[Lanes],
    of_a: &mut [Lanes],
    of_gate: &mut [Lanes],
) {
    let pixels = weights.len();
    for (pixel, weight) in weights.iter().enumerate() {
        let place = V::splat(*weight);
        let mut of_place = V::splat(0.0);
        for (block, gate) in gate.iter().enumerate() {
            let index = block * pixels + pixel;
            let (value, of_value, gate) = (V::load(&x[index].0), V::load(&gradient[index].0), V::load(&gate.0));
            let square = of_value.multiply(value).multiply(value);
            of_place = of_place.add_product(square, gate);
            let sum = &mut of_gate[block].0;
            V::load(sum).add_product(square, place).store(sum);
            let slope = V::splat(1.0).add_product(value.add(value), place.multiply(gate));
            of_value.multiply(slope).store(&mut gradient[index].0);
        }
        // The sigmoid's slope.
        let of_place = V::splat(of_place.sum() * weight * (1.0 - weight));
        for (block, a) in a.iter().enumerate() {
            let index = block * pixels + pixel;
            let sum = &mut of_a[block].0;
            V::load(sum).add_product(of_place, V::load(&x[index].0)).store(sum);
            let of_value = V::load(&gradient[index].0);
            of_value.add_product(V::load(&a.0), of_place).store(&mut gradient[index].0);
        }
    }
}

impl Operator<6> for Join {
    type Saved = ();

    fn forward(&self, [x, other, a, gate, weight, bias]: &[Map; 6]) -> (Map, ()) {
        let ([n, c, h, w], rows) = (x.shape(), bias.values().len());
        let size = h * w;
        let matrix = Matrix::new(weight.values(), [rows, c]);
        let [a, bias] = [a, bias].map(|map| vector(map.values()));
        let mut y = zeros(n * rows * size);
        tiles(&mut y, rows, size, tile_pixels(c.max(rows))).into_par_iter().for_each_init(
            || ([(); 3].map(|()| Vec::new()), Vec::new()),
            |([input, weighed, output], weights), mut tile| {
                let pixels = tile.pixels();
                let input = pack_tile(x, &tile, input);
                let weights = places(input, pixels, pixels, &a, weights);
                let weighed = room(weighed, input.len());
                weigh(input, pixels, weights, &vector(image(gate, tile.image)), weighed);
                let output = room(output, pixels * block_count(rows));
                multiply(matrix.whole(), weighed, Start::Bias(&bias), output, [pixels; 2], pixels);
                unpack(output, pixels, &mut tile.planes);
                let Tile { image: index, start, planes } = &mut tile;
                for (row, plane) in planes.iter_mut().enumerate() {
                    add_plane(&image(other, *index)[row * size + *start..][..pixels], plane);
                }
            },
        );
        (Map::new(y, [n, rows, h, w]), ())
    }

    fn backward(&self, [x, _, a, gate, weight, bias]: &[Map; 6], (): (), gradient: Map) -> [Vec<f32>; 6] {
        let ([n, c, h, w], rows) = (x.shape(), bias.values().len());
        let (size, a) = (h * w, vector(a.values()));
        let transposed = Matrix::transposed(weight.values(), [rows, c]);
        let mut x_gradient = zeros(n * c * size);
        let mut tiles = tiles(&mut x_gradient, c, size, tile_pixels(c.max(rows)));
        let group = group_size(tiles.len());
        let both = [rows, c].map(block_count);
        let totals = tiles.par_chunks_mut(group).map(|tiles| {
            let lanes = |count| vec![Lanes::ZERO; count];
            let mut totals = [lanes(both[1]), lanes(n * both[1]), sums([rows, c]), lanes(both[0])];
            let [mut input, mut weighed, mut of_output, mut product] = [(); 4].map(|()| Vec::new());
            let mut weights = Vec::new();
            for tile in tiles {
                let pixels = tile.pixels();
                let gate = vector(image(gate, tile.image));
                let input = pack_tile(x, tile, &mut input);
                let of_output = pack_tile(&gradient, tile, &mut of_output);
                let weights = places(input, pixels, pixels, &a, &mut weights);
                let weighed = room(&mut weighed, input.len());
                weigh(input, pixels, weights, &gate, weighed);
                let [of_a, of_gate, of_weight, of_bias] = &mut totals;
                multiply_transposed(of_output, weighed, both, [pixels; 2], pixels, of_weight);
                add_sums(of_output, pixels, of_bias);
                let of_weighed = room(&mut product, input.len());
                multiply(transposed.whole(), of_output, Start::Zero, of_weighed, [pixels; 2], pixels);
                // Short sums first, so that rounding is small.
                let (mut of_a_here, mut of_gate_here) = (lanes(both[1]), lanes(both[1]));
                weigh_gradient(of_weighed, input, weights, &a, &gate, &mut of_a_here, &mut of_gate_here);
                let of_gate = &mut of_gate[tile.image * both[1]..(tile.image + 1) * both[1]];
                super::rows::add_in_place(&of_a_here, of_a);
                super::rows::add_in_place(&of_gate_here, of_gate);
                unpack(of_weighed, pixels, &mut tile.planes);
            }
            totals
        });
        let [of_a, of_gate, of_weight, of_bias] = total(totals.collect());
        let of_gate = of_gate.chunks_exact(both[1]).flat_map(|gate| flat(gate)[..c].to_vec()).collect();
        let [of_a, of_bias] = [(of_a, c), (of_bias, rows)].map(|(sums, count)| flat(&sums)[..count].to_vec());
        [x_gradient, copied(gradient.values()), of_a, of_gate, dense(&of_weight, [rows, c]), of_bias]
    }
}
