//! The join of a skip connection and the decoder: the weighting of the skip by place and by
//! channel, the 1x1 convolution of its half, and the sum with the other half.

use rayon::prelude::*;

use super::lanes::{LANES, Lanes, room};
use super::norm_pointwise::{image, total};
use super::operator::{Map, Operator};
use super::panels::{add_row_sums, group_size, pack, tile_pixels, tiles, unpack_row};
use super::product::{Matrix, Start, Strides, multiply, multiply_transposed};

/// `W (x + x^2 sigmoid(a x) g) + b + other` of `[x, other, a, g, W, b]`, with `a` `[1, c, 1, 1]`
/// and the gate `g` `[n, c, 1, 1]`.
#[derive(Clone, Debug)]
pub(super) struct Join;

/// Computes the weight of each place: `sigmoid(a x)`.
fn places(x: &[Lanes], a: &[f32], weights: &mut Vec<Lanes>) {
    weights.clear();
    weights.extend(x.chunks_exact(a.len()).map(|panel| {
        let mut sums = [0.0; LANES];
        for (x, a) in panel.iter().zip(a) {
            for lane in 0..LANES {
                sums[lane] += a * x.0[lane];
            }
        }
        Lanes(sums.map(|sum| 1.0 / (1.0 + (-sum).exp())))
    }));
}

/// `x + x^2 weight gate`
fn weigh(x: &[Lanes], weights: &[Lanes], gate: &[f32], y: &mut Vec<Lanes>) {
    y.resize(x.len(), Lanes::ZERO);
    let panels = x.chunks_exact(gate.len()).zip(y.chunks_exact_mut(gate.len()));
    for ((x, y), weight) in panels.zip(weights) {
        for ((x, y), gate) in x.iter().zip(y).zip(gate) {
            for lane in 0..LANES {
                y.0[lane] = x.0[lane] + x.0[lane] * x.0[lane] * weight.0[lane] * gate;
            }
        }
    }
}

impl Operator<6> for Join {
    type Saved = ();

    fn forward(&self, [x, other, a, gate, weight, bias]: &[Map; 6]) -> (Map, ()) {
        let ([n, c, h, w], rows) = (x.shape(), bias.values().len());
        let size = h * w;
        let matrix = Matrix::new([rows, c], |row, column| weight.values()[row * c + column]);
        let mut y = other.values().to_vec();
        tiles(&mut y, rows, size, tile_pixels(c.max(rows))).into_par_iter().for_each_init(
            || [(); 4].map(|()| Vec::new()),
            |[input, weights, weighed, output], mut tile| {
                pack(image(x, tile.image), size, tile.start, tile.pixels(), input);
                places(input, a.values(), weights);
                weigh(input, weights, image(gate, tile.image), weighed);
                let output = room(output, input.len() / c * rows);
                multiply(&matrix, weighed, Start::Bias(bias.values()), output, Strides::panels(rows));
                for (row, plane) in tile.planes.iter_mut().enumerate() {
                    for (plane, lanes) in plane.chunks_mut(LANES).zip(output.iter().skip(row).step_by(rows)) {
                        for (value, sum) in plane.iter_mut().zip(&lanes.0) {
                            *value += sum;
                        }
                    }
                }
            },
        );
        (Map::new(y, [n, rows, h, w]), ())
    }

    fn backward(&self, [x, _, a, gate, weight, bias]: &[Map; 6], (): (), gradient: Map) -> [Vec<f32>; 6] {
        let ([n, c, h, w], rows) = (x.shape(), bias.values().len());
        let (size, a) = (h * w, a.values());
        let transposed = Matrix::new([c, rows], |row, column| weight.values()[column * c + row]);
        let mut x_gradient = vec![0.0; n * c * size];
        let mut tiles = tiles(&mut x_gradient, c, size, tile_pixels(c.max(rows)));
        let group = group_size(tiles.len());
        let sums = tiles.par_chunks_mut(group).map(|tiles| {
            let mut sums = [vec![0.0; c], vec![0.0; n * c], vec![0.0; rows * c], vec![0.0; rows]];
            let [mut input, mut weights, mut weighed, mut of_output, mut product] = [(); 5].map(|()| Vec::new());
            for tile in tiles {
                pack(image(x, tile.image), size, tile.start, tile.pixels(), &mut input);
                pack(image(&gradient, tile.image), size, tile.start, tile.pixels(), &mut of_output);
                places(&input, a, &mut weights);
                weigh(&input, &weights, image(gate, tile.image), &mut weighed);
                let [of_a, of_gate, of_weight, of_bias] = &mut sums;
                multiply_transposed(&of_output, &weighed, [rows, c], of_weight);
                add_row_sums(&of_output, of_bias);
                let of_weighed = room(&mut product, input.len());
                multiply(&transposed, &of_output, Start::Zero, of_weighed, Strides::panels(c));
                let of_gate = &mut of_gate[tile.image * c..(tile.image + 1) * c];
                let panels = of_weighed.chunks_exact_mut(c).zip(input.chunks_exact(c)).zip(&weights);
                for ((gradient, x), weight) in panels {
                    weigh_gradient(gradient, x, weight, a, image(gate, tile.image), of_a, of_gate);
                }
                for (row, plane) in tile.planes.iter_mut().enumerate() {
                    unpack_row(of_weighed, c, row, plane);
                }
            }
            sums
        });
        let [of_a, of_gate, of_weight, of_bias] = total(sums.collect());
        [x_gradient, gradient.values().to_vec(), of_a, of_gate, of_weight, of_bias]
    }
}

/// Turns the gradient of a weighed panel into that of the panel; adds those of `a` and of the gate.
fn weigh_gradient(
    gradient: &mut [Lanes],
    x: &[Lanes],
    weight: &Lanes,
    a: &[f32],
    gate: &[f32],
    of_a: &mut [f32],
    of_gate: &mut [f32],
) {
    let mut of_weight = [0.0; LANES];
    for (((gradient, x), gate), of_gate) in gradient.iter_mut().zip(x).zip(gate).zip(of_gate) {
        let mut sums = [0.0; LANES];
        for lane in 0..LANES {
            let (value, of_value) = (x.0[lane], gradient.0[lane]);
            let square = of_value * value * value;
            of_weight[lane] += square * gate;
            sums[lane] = square * weight.0[lane];
            gradient.0[lane] = of_value * (1.0 + 2.0 * value * weight.0[lane] * gate);
        }
        *of_gate += sums.iter().sum::<f32>();
    }
    // The sigmoid's slope.
    for lane in 0..LANES {
        of_weight[lane] *= weight.0[lane] * (1.0 - weight.0[lane]);
    }
    for (((gradient, x), a), of_a) in gradient.iter_mut().zip(x).zip(a).zip(of_a) {
        let mut sums = [0.0; LANES];
        for lane in 0..LANES {
            sums[lane] = of_weight[lane] * x.0[lane];
            gradient.0[lane] += a * of_weight[lane];
        }
        *of_a += sums.iter().sum::<f32>();
    }
}
